"""What a node could leave on the machine, as it is now: to be compared with what was there before."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PLACES = ("/run/containerd", "/run/netns", "/run/runc", "/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet")
_LOGS = ("/var/log/containers", "/var/log/pods")
_SYSCTLS = (
    "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
    "net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/netfilter/nf_conntrack_max",
    "vm/overcommit_memory", "vm/panic_on_oom",
)  # fmt: skip
# Of others, which come and go meanwhile on a machine that does more than this test.
_FOREIGN_MOUNT = re.compile(r"/containers/storage/|^/proc/sys/fs/binfmt_misc$")


@dataclass(frozen=True)
class Traces:
    """One field for each kind of thing; equal when nothing was left."""

    mounts: frozenset[str]
    links: frozenset[str]
    routes: frozenset[str]
    filters: frozenset[str]
    groups: frozenset[str]
    sysctls: tuple[str, ...]
    files: frozenset[str]

    @classmethod
    def now(cls) -> Self:
        """Return what there is."""
        return cls(
            mounts=frozenset(_mounts()),
            links=frozenset(_lines("ip", "-oneline", "-brief", "link")),
            routes=frozenset(_lines("ip", "route", "show", "table", "all")),
            filters=frozenset(line for tool in ("iptables-save", "ip6tables-save") for line in _filters(tool)),
            groups=frozenset(str(group) for group in Path("/sys/fs/cgroup").glob("**/choregos-node-*") if _ours(group)),
            sysctls=tuple(_sysctl(name) for name in _SYSCTLS),
            files=frozenset(str(file) for place in (*_PLACES, *_LOGS) for file in Path(place).glob("**")),
        )


def processes_in(network: str) -> list[str]:
    """Return the commands of all processes in a network namespace, which `readlink /proc/PID/ns/net` names."""
    return [command for pid in _pids() if _namespace(pid) == network and (command := _command(pid))]


def _mounts() -> list[str]:
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [point for point in points if not _FOREIGN_MOUNT.search(point)]


def _ours(group: Path) -> bool:
    # A node of another test run, which goes on meanwhile, has its process in the name.
    owner = group.name.split("-")[2]
    return owner == str(os.getpid()) or not Path(f"/proc/{owner}").exists()


def _filters(tool: str) -> list[str]:
    # Without the comments, which hold the time, and the counters.
    return [re.sub(r"\s*\[\d+:\d+\]", "", line) for line in _lines(tool) if not line.startswith("#")]


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _sysctl(name: str) -> str:
    file = Path("/proc/sys") / name
    return f"{name}={file.read_text().strip() if file.exists() else None}"


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:  # it has ended
        return ""


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""
