"""Child processes that end when we end: politely if we can, by the guard if we cannot.

Each child leads a process group of its own, so that Ctrl-C on the terminal reaches us alone and a stop reaches
everything that the child has started. A child that daemonises itself leaves the group, and is beyond reach.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from asyncio import SubprocessProtocol, SubprocessTransport
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from choregos_cli import guard

OnLine = Callable[[str], None]

_GUARD: Final = (sys.executable, "-I", "-S", guard.__file__)
_TAIL_LINES: Final = 20
_LONGEST_LINE: Final = 64 * 1024
_PIPE_PATIENCE: Final = 1.0
"""Seconds for the output of a child that has ended; somebody who left its group may hold the pipe open."""


class Process(SubprocessProtocol):
    """One child process; its output, stderr included, goes line by line to `on_line`."""

    def __init__(self, on_line: OnLine, ended: Callable[["Process"], None]) -> None:
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        """The last lines of the output."""
        self._on_line = on_line
        self._on_end = ended
        self._rest = b""
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        """The process id, which is the id of its group too."""
        return self._pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return not self._code.done()

    async def wait(self) -> int:
        """Return the exit code once the process has ended and its output is read; -N if signal N ended it."""
        return await asyncio.shield(self._code)

    async def stop(self, grace: float) -> int:
        """Send SIGTERM to the group, SIGKILL after `grace` seconds; return the exit code."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                return await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and all that it started; none if it has ended."""
        if self.running:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, number)

    def connection_made(self, transport: Any) -> None:
        """Remember the transport (called by asyncio)."""
        self._transport: SubprocessTransport = transport
        self._pid: int = transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - the signature is asyncio's
        """Split the output into lines (called by asyncio); a line that never ends is cut."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._take(line)

    def process_exited(self) -> None:
        """End what the process has left behind in its group (called by asyncio)."""
        self.signal(signal.SIGKILL)
        asyncio.get_running_loop().call_later(_PIPE_PATIENCE, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is asyncio's
        """Deliver the last line and the exit code (called by asyncio)."""
        if self._rest:
            self._take(self._rest)
        self._transport.close()
        if self.running:
            self._code.set_result(self._transport.get_returncode() or 0)
            self._on_end(self)

    def _take(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        self.tail.append(text)
        self._on_line(text)


class Processes:
    """The child processes of one run, and its temporary directory; leaving the context ends and removes all of it."""

    async def __aenter__(self) -> Self:
        """Create the directory and start the guard."""
        self.directory = Path(tempfile.mkdtemp(prefix="choregos-"))
        self._running: set[Process] = set()
        reading, self._pipe = os.pipe()
        self._open = True
        try:
            self._guard = subprocess.Popen(  # noqa: ASYNC220, S603 - returns once it is forked; the command is ours
                [*_GUARD, "watch", str(self.directory)], stdin=reading, start_new_session=True
            )
        finally:
            os.close(reading)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what still runs. Whoever wants a polite end has stopped the processes before."""
        ending = [asyncio.ensure_future(process.wait()) for process in self._running]
        self._open = False
        os.close(self._pipe)  # now the guard does its work, even if we are cancelled here
        await asyncio.to_thread(self._guard.wait)
        if ending:
            await asyncio.wait(ending, timeout=2 * _PIPE_PATIENCE)

    async def start(
        self, command: Sequence[str], *, environment: Mapping[str, str], directory: Path, on_line: OnLine
    ) -> Process:
        """Start a command, whose first word is the path of a program."""
        _, process = await asyncio.get_running_loop().subprocess_exec(
            lambda: Process(on_line, self._ended),
            *(*_GUARD, "run", str(self._pipe), *command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=directory,
            pass_fds=(self._pipe,),
            start_new_session=True,
        )
        self._running.add(process)
        return process

    def _ended(self, process: Process) -> None:
        self._running.discard(process)
        if self._open:
            os.write(self._pipe, b"-%d\n" % process.pid)
