"""Namespaces of the kernel in which a whole node runs: what happens there stays there, and ends with them.

The network has the loopback and one bridge: no link to the machine, so no packet can leave it. Mounts, packet filters
and sysctls are the namespaces' own. All of it ends with the first process, which ends with the test run.
"""

import os
import shutil
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

from support import sandbox_init
from support.guarded import Guarded
from support.waiting import eventually

BRIDGE = "choregos0"
ADDRESS = "10.244.0.1"
PODS = "10.244.0.0/24"
SERVICES = "10.96.0.0/20"
_CGROUPS = Path("/sys/fs/cgroup")
_PREFIX = "choregos-node-"


class Sandbox:
    """Starts at once; `close` ends all that runs in it, and removes the directory and the control groups."""

    def __init__(self) -> None:
        _remove_groups_of_the_dead()
        self.group = f"{_PREFIX}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        """Name of the control group below which the pods are."""
        self._guarded = Guarded(_PREFIX)
        self.directory = self._guarded.directory
        try:
            self._make_groups()
            self._first = self._guarded.start("init", *self._init())
            self._wait()
        except BaseException:
            self.close()
            raise

    @property
    def network(self) -> Path:
        """The network namespace, as a file."""
        return Path(f"/proc/{self._first.pid}/ns/net")

    @property
    def pids(self) -> list[int]:
        """The processes that were started."""
        return [process.pid for process in self._guarded.processes.values()]

    def groups(self) -> list[Path]:
        """Return the control groups below the sandbox's own."""
        return [group for root in _roots() for group in (root / self.group).glob("*/**")]

    def start(self, name: str, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a process in the namespaces; what it prints is added to `NAME.log` of the directory."""
        return self._guarded.start(name, *self._enter, *command)

    def run(self, *command: str | Path) -> str:
        """Run a command in the namespaces, and return its output; raises AssertionError with its complaint."""
        ended = subprocess.run([*self._enter, *map(str, command)], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{' '.join(map(str, command))}: exit {ended.returncode}\n{ended.stderr}"
        return ended.stdout

    def log(self, name: str) -> str:
        """Return what a process has printed so far."""
        return self._guarded.log(name)

    def close(self) -> None:
        """End all processes, and remove what they stored."""
        self._guarded.close()
        eventually(lambda: _removed(self.group), f"the control groups {self.group} are empty")

    def _init(self) -> list[str | Path]:
        unshare = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        script = [sys.executable, "-I", "-S", sandbox_init.__file__]
        return [tool("unshare"), *unshare, *script, self.directory, BRIDGE, f"{ADDRESS}/24", SERVICES]

    @property
    def _enter(self) -> list[str | Path]:
        # The process that was started is in its own process namespace still; only its child is in the new one.
        kinds = {"net": "net", "mount": "mnt", "pid": "pid_for_children"}
        return [tool("nsenter"), *(f"--{kind}=/proc/{self._first.pid}/ns/{file}" for kind, file in kinds.items())]

    def _wait(self) -> None:
        prepared = self.directory / "prepared"
        eventually(lambda: self._first.poll() is not None or prepared.exists(), "the namespaces are prepared")
        assert prepared.exists(), f"no namespaces for the node:\n{self.log('init')}"

    def _make_groups(self) -> None:
        for root in _roots():
            (root / self.group).mkdir()


def tool(name: str) -> Path:
    """Return the path of a command of the machine."""
    found = shutil.which(name)
    assert found, f"no {name} on PATH"
    return Path(found)


def _roots() -> list[Path]:
    """Return the tops of the control groups: one for each controller (version 1), or the only one."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [root for root in _CGROUPS.iterdir() if (root / "cgroup.procs").exists() and not root.is_symlink()]


def _removed(group: str) -> bool:
    """Remove empty control groups, and tell whether none is left; the kernel refuses those that have processes."""
    tops = [root / group for root in _roots() if (root / group).exists()]
    for top in tops:
        for directory, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(directory).rmdir()
    return not any(top.exists() for top in tops)


def _remove_groups_of_the_dead() -> None:
    names = {group.name for root in _roots() for group in root.glob(f"{_PREFIX}*")}
    for name in names:
        owner = name.removeprefix(_PREFIX).partition("-")[0]
        if not Path(f"/proc/{owner}").exists():
            _removed(name)
