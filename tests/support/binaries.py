"""Where the binaries of the test cluster come from: etcd, kube-apiserver, kubelet and so on.

In this order:
* the directory that `KUBEBUILDER_ASSETS` names, for as many of them as are there;
* a cache outside of the tree, which `make cluster-binaries` fills: built once from the modules in
  `tests/cluster/kubernetes/go.mod` and `tests/cluster/node/go.mod`, whose go.sum pins every byte of source.

Against a cluster that `KUBECONFIG` names, only kubectl is needed; the one on PATH will do.
"""

import os
import shutil
import sys
from pathlib import Path

from support import go_toolchain
from support.go_module import BinariesError, GoModule

__all__ = ["CONTROL_PLANE", "NODE", "BinariesError", "build", "find", "missing"]

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
NODE = ("kube-scheduler", "kubelet", "kube-proxy", "coredns", "probe")
"""What a node with real pods needs beside; all but coredns and probe are built with the control plane."""

_MODULES = Path(__file__).parents[1] / "cluster"
_KUBERNETES = GoModule(
    _MODULES / "kubernetes",
    "kubernetes",
    packages="tool",  # which stands for all tool lines of the go.mod
    renamed={"server": "etcd"},
    stamped="k8s.io/kubernetes",
)
_NODE = GoModule(_MODULES / "node", "node")


def find(name: str) -> Path:
    """Return the path of one of the binaries; raises BinariesError if it is nowhere."""
    for directory in (*_assets(), _module(name).cache):
        if (file := directory / name).exists():
            return file
    if name == "kubectl" and os.environ.get("KUBECONFIG") and (known := shutil.which(name)):
        return Path(known)
    raise BinariesError(
        f"no {name}: it is neither in KUBEBUILDER_ASSETS ({os.environ.get('KUBEBUILDER_ASSETS') or 'not set'}) nor in"
        f" {_module(name).cache}; `make {_target(name)}` builds it (some minutes, once)"
    )


def missing(names: tuple[str, ...] | None = None) -> list[str]:
    """Return which binaries are nowhere yet, of those that this machine's tests need if none are named."""
    return [name for name in names or _wanted() if not _found(name)]


def build(names: tuple[str, ...] | None = None) -> None:
    """Build the binaries into the cache, unless they are there; raises BinariesError or GoError."""
    for module in {_module(name).directory: _module(name) for name in missing(names)}.values():
        module.build()


def _module(name: str) -> GoModule:
    return _NODE if name in ("coredns", "probe") else _KUBERNETES


def _target(name: str) -> str:
    return "e2e" if name in NODE else "cluster-binaries"


def _wanted() -> tuple[str, ...]:
    return ("kubectl",) if os.environ.get("KUBECONFIG") else CONTROL_PLANE


def _assets() -> tuple[Path, ...]:
    named = os.environ.get("KUBEBUILDER_ASSETS")
    return (Path(named),) if named else ()


def _found(name: str) -> bool:
    try:
        return bool(find(name))
    except BinariesError:
        return False


def main(arguments: list[str]) -> int:
    """Build what is missing, and say where everything is; exit code 1 if that cannot be."""
    wanted = (*CONTROL_PLANE, *NODE) if "--node" in arguments else _wanted()
    try:
        if absent := missing(wanted):
            print(f"Building {', '.join(absent)} ({_KUBERNETES.version}): once, some minutes", flush=True)  # noqa: T201
            build(wanted)
        for name in wanted:
            print(find(name))  # noqa: T201
    except (BinariesError, go_toolchain.GoError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
