"""Processes of a test and their directory, which end with the test run, however that ends (see `choregos_cli.guard`)."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from choregos_cli import guard

_GUARD = (sys.executable, "-I", "-S", guard.__file__)


class Guarded:
    """A temporary directory and the processes that work in it; `close` ends and removes all of it."""

    def __init__(self, prefix: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=prefix))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        reading, self._pipe = os.pipe()
        self._closed = False
        try:
            self._guard = subprocess.Popen(
                [*_GUARD, "watch", str(self.directory)], stdin=reading, start_new_session=True
            )
        finally:
            os.close(reading)

    def start(self, name: str, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a process; what it prints is added to `NAME.log` of the directory."""
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*_GUARD, "run", str(self._pipe), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._pipe,),
                start_new_session=True,
                cwd=self.directory,
            )
        self.processes[name] = process
        return process

    def kill(self, name: str) -> None:
        """End a process as a power cut would (SIGKILL)."""
        process = self.processes.pop(name)
        # The list of the guard holds groups; ours is taken off before its number can be another's.
        os.write(self._pipe, b"-%d\n" % process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def log(self, name: str) -> str:
        """Return what a process has printed so far."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def close(self) -> None:
        """End all processes, and remove the directory."""
        if self._closed:
            return
        self._closed = True
        os.close(self._pipe)
        self._guard.wait()
        for process in self.processes.values():
            process.wait()
