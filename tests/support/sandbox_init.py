"""First process of the node's namespaces: it prepares them, says so by a file, then buries whoever ends in them.

`sandbox_init.py DIRECTORY BRIDGE ADDRESS/BITS SERVICES` runs below `unshare`. When it ends, the kernel ends all others
in its process namespace, and with the last of them mounts, links, routes and packet filters are gone too.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

_KEPT_APART = ("/var/lib", "/var/log")
"""Where kubelet and the network plugins write at fixed paths: seen as they are, written into DIRECTORY."""
_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What the kubelet would set for the whole machine; it reads these files instead, and is content."""


def prepare(directory: Path, bridge: str, address: str, services: str) -> None:
    """Make the namespaces a node: nothing that is written or routed here is seen, or gets, outside."""
    _run("mount", "--make-rshared", "/")
    for path in _KEPT_APART:
        _overlay(path, directory / "written" / path.strip("/"))
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    _bind(directory / "kubelet", "/var/lib/kubelet")
    _pretend_sysctls(directory / "sysctls")
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", bridge, "type", "bridge")
    _run("ip", "address", "add", address, "dev", bridge)
    _run("ip", "link", "set", bridge, "up")
    # An address of a Service that nobody translates must not be unknown: it ends on the bridge.
    _run("ip", "route", "add", services, "dev", bridge, "src", address.partition("/")[0])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    with suppress(FileNotFoundError):  # built in, or a module that is not loaded
        Path("/proc/sys/net/bridge/bridge-nf-call-iptables").write_text("1")


def _overlay(path: str, written: Path) -> None:
    upper, work = written / "upper", written / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    _run("mount", "-t", "overlay", "-o", f"lowerdir={path},upperdir={upper},workdir={work}", "overlay", path)


def _bind(directory: Path, path: str) -> None:
    """Show a directory at a path: it is on a disk proper, and no name of a socket in it gets too long."""
    directory.mkdir()
    Path(path).mkdir(exist_ok=True)
    _run("mount", "--bind", str(directory), path)


def _pretend_sysctls(directory: Path) -> None:
    for name, value in _SYSCTLS.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        _run("mount", "--bind", str(file), f"/proc/sys/{name}")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _bury() -> None:
    # As the first process of the namespace it is the parent of every orphan.
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.sigtimedwait([signal.SIGCHLD], 1)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    prepare(Path(sys.argv[1]), *sys.argv[2:5])
    (Path(sys.argv[1]) / "prepared").touch()
    _bury()
