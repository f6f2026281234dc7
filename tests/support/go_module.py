"""A Go module of the tests whose commands are built once, into a cache outside of the tree."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from support import caching, go_toolchain

_DOWNLOADS = 3
_PAUSE = 10.0


class BinariesError(Exception):
    """A binary cannot be had; the message says what was tried, and how to mend it."""


@dataclass(frozen=True)
class GoModule:
    """A module in the tree; its go.sum pins every byte of source that is not."""

    directory: Path
    cached_as: str
    """First part of the name of its directory in the cache; the rest is a digest of all that decides the result."""
    packages: str = "./..."
    """What `go build` is told to build."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Other names for binaries than Go gives them."""
    stamped: str = ""
    """The module whose version is linked into the binaries, as Kubernetes does it; empty for none."""

    @property
    def version(self) -> str:
        """The version of the stamped module."""
        found = re.search(
            rf"^\s*{re.escape(self.stamped)} (v\S+)", (self.directory / "go.mod").read_text(), re.MULTILINE
        )
        assert found, f"{self.directory / 'go.mod'} requires no {self.stamped}"
        return found[1]

    @property
    def cache(self) -> Path:
        """Where the binaries are, or will be."""
        return caching.directory() / f"{self.cached_as}-{self._key}"

    def build(self) -> Path:
        """Build all binaries into the cache, unless they are there; raises BinariesError. Returns their directory."""
        cache = self.cache
        with caching.alone(cache.with_name(f"{cache.name}.lock")):
            if not cache.exists():
                go = go_toolchain.find(cache.parent)
                self._download(go)
                self._compile(go, cache)
        return cache

    def _compile(self, go: Path, cache: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=f"{cache.name}.", dir=cache.parent) as temporary:
            built = Path(temporary) / "bin"
            built.mkdir()
            ended = self._go(go, "build", "-o", f"{built}{os.sep}", *self._flags, self.packages, stderr=None)
            if ended.returncode:
                raise BinariesError(f"`go build` failed in {self.directory}; its complaint is above")
            for given, name in self.renamed.items():
                (built / given).rename(built / name)
            built.rename(cache)

    def _download(self, go: Path) -> None:
        for attempt in range(1, _DOWNLOADS + 1):
            ended = self._go(go, "mod", "download", stderr=subprocess.PIPE)
            if ended.returncode == 0:
                return
            if attempt < _DOWNLOADS:
                time.sleep(_PAUSE)
        raise BinariesError(
            f"`go mod download` failed {_DOWNLOADS} times in {self.directory}: {ended.stderr.strip()}\nWhat helps: a"
            " network or a GOPROXY that has the modules, or KUBEBUILDER_ASSETS with ready binaries, or KUBECONFIG of a"
            " running cluster"
        )

    def _go(self, go: Path, *arguments: str, stderr: int | None) -> "subprocess.CompletedProcess[str]":
        # The go.mod and the toolchain at hand are all that decides: no workspace, no flags of the user's, no other
        # toolchain.
        own = {"CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        return subprocess.run(
            [str(go), *arguments], cwd=self.directory, env={**os.environ, **own}, stderr=stderr, text=True, check=False
        )

    @cached_property
    def _flags(self) -> list[str]:
        linked = " ".join(["-s -w", *self._stamps()])
        return ["-trimpath", "-buildvcs=false", "-ldflags", linked]

    def _stamps(self) -> list[str]:
        if not self.stamped:
            return []
        major, minor, _ = self.version.removeprefix("v").split(".", 2)
        stamps = {"gitVersion": self.version, "gitMajor": major, "gitMinor": minor}
        packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        return [f"-X {package}.{name}={value}" for package in packages for name, value in stamps.items()]

    @cached_property
    def _key(self) -> str:
        sources = [self.directory / "go.mod", self.directory / "go.sum", *sorted(self.directory.rglob("*.go"))]
        machine = repr((self._flags, sys.platform, os.uname().machine))
        return caching.key([*(file.read_bytes() for file in sources), machine.encode()])
