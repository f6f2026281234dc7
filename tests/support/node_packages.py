"""What the test node and the building of its images need of the machine, and how Debian brings it.

    python -m support.node_packages      # from tests/: installs what is missing (root on Debian), or says how

Nothing that is installed is started: the node runs its own containerd.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from support.containerd import plugins

PACKAGES: Final = {
    "buildah": ("buildah",),
    "containerd": ("containerd", "containerd-shim-runc-v2", "ctr"),
    "containernetworking-plugins": (),
    "debootstrap": ("debootstrap",),
    "iproute2": ("ip",),
    "iptables": ("iptables", "iptables-restore"),
    "mount": ("mount",),
    "runc": ("runc",),
    "util-linux": ("nsenter", "unshare"),
}
"""The commands that are needed, by the Debian package that has them; the network plugins are not on PATH."""
_NETWORK: Final = ("bridge", "host-local", "loopback")
# Debian's own switch against daemons that start as they are installed; 101 is its word for "not allowed".
_POLICY: Final = Path("/usr/sbin/policy-rc.d")
_FORBIDDEN: Final = "#!/bin/sh\nexit 101\n"


class PackagesError(Exception):
    """The machine cannot run the node; the message says what to do."""


def missing() -> list[str]:
    """Return the Debian packages that have what is not there."""
    absent = [name for name, commands in PACKAGES.items() if not all(map(shutil.which, commands))]
    if not all((plugins() / plugin).exists() for plugin in _NETWORK):
        absent.append("containernetworking-plugins")
    return sorted(absent)


def require() -> None:
    """Raise PackagesError if the node cannot run here as things are."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise PackagesError("the test node makes namespaces and mounts of the kernel: run it as root, on Linux")
    if absent := missing():
        raise PackagesError(f"the test node needs {', '.join(absent)}: {_advice(absent)}")


def install() -> list[str]:
    """Install what is missing, and return its packages; raises PackagesError if that cannot be."""
    absent = missing()
    if absent and (os.geteuid() != 0 or not shutil.which("apt-get")):
        raise PackagesError(f"the test node needs {', '.join(absent)}: {_advice(absent)}")
    if absent:
        with _no_daemons():
            _apt("update")
            _apt("install", "--yes", "--no-install-recommends", *absent)
    require()
    return absent


def _advice(absent: list[str]) -> str:
    packages = " ".join(absent)
    if shutil.which("apt-get"):
        return f"as root, `apt-get update && apt-get install --no-install-recommends {packages}`"
    return f"install what Debian has in its packages {packages}"


def _apt(*arguments: str) -> None:
    command = ["apt-get", "--quiet", *arguments]
    print(" ".join(command), flush=True)  # noqa: T201
    if subprocess.run(command, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, check=False).returncode:
        raise PackagesError(f"`{' '.join(command)}` failed; its complaint is above")


@contextmanager
def _no_daemons() -> Iterator[None]:
    if _POLICY.exists():  # the machine has a policy of its own
        yield
        return
    _POLICY.write_text(_FORBIDDEN)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def main() -> int:
    """Install what is missing; exit code 1 if that cannot be."""
    try:
        installed = install()
    except PackagesError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(f"installed {', '.join(installed)}" if installed else "nothing is missing")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
