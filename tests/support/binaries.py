"""Where the binaries of the test cluster come from: etcd, kube-apiserver, kube-controller-manager, kubectl.

In this order:
* the directory that `KUBEBUILDER_ASSETS` names, for as many of them as are there;
* a cache outside of the tree, which `make cluster-binaries` fills: built once from the modules in
  `tests/cluster/kubernetes/go.mod`, whose go.sum pins every byte of source.

Against a cluster that `KUBECONFIG` names, only kubectl is needed; the one on PATH will do.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import go_toolchain

MODULE = Path(__file__).parents[1] / "cluster" / "kubernetes"
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
_DOWNLOADS = 3
_PAUSE = 10.0


class BinariesError(Exception):
    """A binary cannot be had; the message says what was tried, and how to mend it."""


def find(name: str) -> Path:
    """Return the path of one of the binaries; raises BinariesError if it is nowhere."""
    for directory in (*_assets(), _cache()):
        if (file := directory / name).exists():
            return file
    if name == "kubectl" and os.environ.get("KUBECONFIG") and (known := shutil.which(name)):
        return Path(known)
    raise BinariesError(
        f"no {name}: it is neither in KUBEBUILDER_ASSETS ({os.environ.get('KUBEBUILDER_ASSETS') or 'not set'}) nor in"
        f" {_cache()}; `make cluster-binaries` builds it (some minutes, once)"
    )


def missing() -> list[str]:
    """Return the names of the binaries that this machine's tests need and that are nowhere yet."""
    wanted = ("kubectl",) if os.environ.get("KUBECONFIG") else CONTROL_PLANE
    return [name for name in wanted if not _found(name)]


def build() -> Path:
    """Build all binaries into the cache, unless they are there; raises BinariesError. Returns their directory."""
    cache = _cache()
    with _alone(cache.with_name(f"{cache.name}.lock")):
        if not cache.exists():
            go = go_toolchain.find(cache.parent)
            _download(go)
            _compile(go, cache)
    return cache


def _compile(go: Path, cache: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{cache.name}.", dir=cache.parent) as temporary:
        built = Path(temporary) / "bin"
        built.mkdir()
        # `tool` stands for all tool lines of the go.mod.
        ended = _go(go, "build", "-o", f"{built}{os.sep}", *_flags(), "tool", stderr=None)
        if ended.returncode:
            raise BinariesError(f"`go build` failed in {MODULE}; its complaint is above")
        (built / "server").rename(built / "etcd")
        built.rename(cache)


def _download(go: Path) -> None:
    for attempt in range(1, _DOWNLOADS + 1):
        ended = _go(go, "mod", "download", stderr=subprocess.PIPE)
        if ended.returncode == 0:
            return
        if attempt < _DOWNLOADS:
            time.sleep(_PAUSE)
    raise BinariesError(
        f"`go mod download` failed {_DOWNLOADS} times in {MODULE}: {ended.stderr.strip()}\nWhat helps: a network or a"
        " GOPROXY that has the modules, or KUBEBUILDER_ASSETS with ready binaries, or KUBECONFIG of a running cluster"
    )


def _go(go: Path, *arguments: str, stderr: int | None) -> "subprocess.CompletedProcess[str]":
    # The go.mod and the toolchain at hand are all that decides: no workspace, no flags of the user's, no other toolchain.
    own = {"CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    return subprocess.run(
        [str(go), *arguments], cwd=MODULE, env={**os.environ, **own}, stderr=stderr, text=True, check=False
    )


def _flags() -> list[str]:
    version = _version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    linked = " ".join(f"-X {package}.{name}={value}" for package in packages for name, value in stamps.items())
    return ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {linked}"]


def _version() -> str:
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    assert found, f"{MODULE / 'go.mod'} requires no k8s.io/kubernetes"
    return found[1]


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(b"\0".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum")))
    digest.update(repr((_flags(), sys.platform, os.uname().machine)).encode())
    return home / "choregos" / f"kubernetes-{digest.hexdigest()[:16]}"


def _assets() -> tuple[Path, ...]:
    named = os.environ.get("KUBEBUILDER_ASSETS")
    return (Path(named),) if named else ()


def _found(name: str) -> bool:
    try:
        return bool(find(name))
    except BinariesError:
        return False


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Build what is missing, and say where everything is; exit code 1 if that cannot be."""
    try:
        if absent := missing():
            print(f"Building {', '.join(absent)} {_version()}: once, some minutes", flush=True)  # noqa: T201
            build()
        for name in ("kubectl",) if os.environ.get("KUBECONFIG") else CONTROL_PLANE:
            print(find(name))  # noqa: T201
    except (BinariesError, go_toolchain.GoError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
