"""The ambassador as a real process, for tests."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from choregos_contract.configuration import Configuration, dump

PATIENCE = 20.0


class Ambassador:
    """One ambassador process. `lines` holds what it logged; with `async with` it never outlives its test."""

    def __init__(self, nats_url: str, configuration: Configuration | None, **environment: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="choregos-ambassador-")
        self._path = Path(self._directory.name) / "configuration.json"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CHOREGOS_")},
            "CHOREGOS_CONFIG": str(self._path),
            "CHOREGOS_NATS_URL": nats_url,
            "CHOREGOS_PUBLISH_PORT": "0",
            "CHOREGOS_PROBES_PORT": "0",
            "CHOREGOS_PROBES_HOST": "127.0.0.1",
            "CHOREGOS_LOG_EVENTS": "1",
            **environment,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()
        self.lines: list[dict[str, Any]] = []
        self.output = b""
        if configuration is not None:
            self.configure(configuration)

    def configure(self, configuration: Configuration) -> None:
        """Replace the mounted configuration, as a ConfigMap's update does."""
        self.configure_raw(dump(configuration))

    def configure_raw(self, document: bytes) -> None:
        successor = self._path.with_suffix(".new")
        successor.write_bytes(document)
        successor.rename(self._path)

    @property
    def publish_url(self) -> str:
        return str(self._listening["publish_url"])

    @property
    def probes_url(self) -> str:
        return str(self._listening["probes_url"])

    @property
    def _listening(self) -> dict[str, Any]:
        return next(line for line in reversed(self.lines) if line["message"] == "listening")

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def hops(self, verdict: str | None = None) -> list[dict[str, Any]]:
        """The ends of hops so far, or those with one verdict."""
        return [each for each in self.lines if each["message"] == "hop" and verdict in (None, each["verdict"])]

    async def start(self) -> None:
        """Start the process (again), and return once it listens."""
        known = len(self.lines)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "choregos_ambassador",
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reader = asyncio.create_task(self._read())
        await self.until(lambda: any(line["message"] == "listening" for line in self.lines[known:]))

    async def until(self, condition: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait until a condition on the lines holds; fails with the whole log otherwise."""
        try:
            async with asyncio.timeout(patience), self._news:
                await self._news.wait_for(lambda: condition() or self._ended)
        except TimeoutError:
            raise AssertionError(f"not within {patience} s; the ambassador's log:\n{self.output.decode()}") from None
        assert condition(), f"the ambassador ended; its log:\n{self.output.decode()}"

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
        self._directory.cleanup()

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
