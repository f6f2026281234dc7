"""A process that logs JSON, a line each, as tests start, question and end it."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

PATIENCE = 60.0


class LoggingProcess:
    """One process. `lines` holds what it logged; with `async with` it never outlives its test."""

    ready = "listening"
    """The message that says that it is up."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()
        self.lines: list[dict[str, Any]] = []
        self.output = b""

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    async def start(self) -> None:
        """Start the process (again), and return once it is up."""
        known = len(self.lines)
        self._process = await asyncio.create_subprocess_exec(
            *self._command, env=self._environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        self._reader = asyncio.create_task(self._read())
        await self.until(lambda: any(line["message"] == self.ready for line in self.lines[known:]))

    async def until(self, condition: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait until a condition on the lines holds; fails with the whole log otherwise."""
        try:
            async with asyncio.timeout(patience), self._news:
                await self._news.wait_for(lambda: condition() or self._ended)
        except TimeoutError:
            raise AssertionError(f"not within {patience} s; its log:\n{self.output.decode()}") from None
        assert condition(), f"the process ended; its log:\n{self.output.decode()}"

    async def logged(self, message: str, **values: Any) -> dict[str, Any]:
        """Wait for a line with that message and these values, and return it."""

        def found() -> list[dict[str, Any]]:
            return [
                line
                for line in self.lines
                if line["message"] == message and all(line.get(name) == value for name, value in values.items())
            ]

        await self.until(lambda: bool(found()))
        return found()[0]

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send a signal to the process; one that has just ended takes it without harm."""
        assert self._process
        # asyncio's own send_signal polls first: it would reap a process that has just ended, and its exit code be lost.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    async def ended(self) -> int:
        """Wait for the end of the process; returns its exit code."""
        assert self._process
        async with asyncio.timeout(PATIENCE):
            code = await self._process.wait()
            assert self._reader
            await self._reader
        return code

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self.kill()
            await self.ended()

    @property
    def _ended(self) -> bool:
        return self._reader is None or self._reader.done()

    async def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        async for line in self._process.stdout:
            self.output += line
            try:
                parsed = json.loads(line)
            except ValueError:
                parsed = {"message": "not JSON", "text": line.decode(errors="replace")}
            async with self._news:
                self.lines.append(parsed)
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()
