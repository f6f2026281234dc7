"""Network namespaces of a test's own: no link leads out of them, so no packet can leave the machine.

Each is held by a process that sleeps, and so ends with the test run, however that ends. It takes root, or a user
namespace in which one is (`unshare --user --map-root-user --net`).
"""

import subprocess
from pathlib import Path

from support.guarded import Guarded
from support.sandbox import tool
from support.waiting import eventually


class Networks:
    """Namespaces by name, with a loopback each; `close` ends all that runs in them."""

    def __init__(self, prefix: str) -> None:
        self.guarded = Guarded(prefix)

    def add(self, name: str) -> None:
        """Make a namespace."""
        process = self.guarded.start(_holder(name), tool("unshare"), "--net", tool("sleep"), "infinity")
        cmdline = Path(f"/proc/{process.pid}/cmdline")
        held = lambda: process.poll() is not None or cmdline.read_bytes().startswith(b"/usr/bin/sleep")  # noqa: E731
        eventually(held, f"the network {name} is there", patience=10)
        assert process.poll() is None, (
            f"no network namespace; run this as root, on Linux:\n{self.guarded.log(_holder(name))}"
        )
        self.ip(name, "link set lo up")

    def path(self, name: str) -> Path:
        """Return the namespace as a file."""
        return Path(f"/proc/{self._pid(name)}/ns/net")

    def ip(self, name: str, *commands: str) -> None:
        """Run commands of ip(8) in a namespace; raises AssertionError with its complaint."""
        ip = [*self._enter(name), tool("ip"), "-batch", "-"]
        ended = subprocess.run(ip, input="\n".join(commands), capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{commands}: {ended.stderr}"

    def join(self, name: str, to: str, bridge: str, address: str) -> None:
        """Give a namespace a link named like the bridge of another one that it leads to; the port is `BRIDGE-NAME`."""
        port = f"{bridge}-{name}"
        self.ip(
            to,
            f"link add name {port} type veth peer name {bridge} netns {self._pid(name)}",
            f"link set {port} master {bridge} up",
        )
        self.ip(name, f"address add {address} dev {bridge}", f"link set {bridge} up")

    def start(self, name: str, process: str, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a process in a namespace; what it prints is added to `PROCESS.log` of the directory."""
        return self.guarded.start(process, *self._enter(name), *command)

    def close(self) -> None:
        """End all processes, and with the last of them the namespaces; remove the directory."""
        self.guarded.close()

    def _pid(self, name: str) -> int:
        return self.guarded.processes[_holder(name)].pid

    def _enter(self, name: str) -> tuple[str | Path, ...]:
        return tool("nsenter"), f"--net={self.path(name)}"


def _holder(name: str) -> str:
    return f"network-{name}"
