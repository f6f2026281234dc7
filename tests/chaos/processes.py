"""The processes of a round, as `support` starts them, with their logs kept in files."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from chaos import mode
from chaos.ledger import Died, Ledger
from chaos.mode import Mode
from choregos_contract.configuration import Configuration
from support.ambassador import Ambassador
from support.logging_process import LoggingProcess

_TESTS: Final = str(Path(__file__).parents[1])
_TAIL: Final = 20_000
"""Bytes of the output that an assertion shows; all of it is in the file."""
_HOP: Final = b'"message":"hop"'


class _Kept(LoggingProcess):
    """A process whose output goes to a file; hops, of which there are many, go nowhere else."""

    log: Path

    async def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        with self.log.open("ab", buffering=0) as log:
            async for line in self._process.stdout:
                log.write(line)
                if _HOP not in line:
                    await self._take(line)
        async with self._news:
            self._news.notify_all()

    async def __aexit__(self, *outcome: object) -> None:
        await super().__aexit__(*outcome)
        if self._reader is not None:
            await self._reader

    async def _take(self, line: bytes) -> None:
        self.output = (self.output + line)[-_TAIL:]
        parsed: dict[str, Any] = {"message": "not JSON"}
        with contextlib.suppress(ValueError):
            parsed = json.loads(line)
        async with self._news:
            self.lines.append(parsed)
            self._news.notify_all()

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more, by whoever's hand."""
        return self._ended

    async def stop(self) -> None:
        """End in order (SIGTERM), whatever state it is in; does nothing to one that has ended."""
        assert self._process
        if self._process.returncode is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        await self.ended()


class AmbassadorProcess(_Kept, Ambassador):
    """One ambassador. `start` may give it a fail point, as `fail_point.py` of the ambassador describes it."""

    def __init__(self, nats_url: str, configuration: Configuration, log: Path, **environment: str) -> None:
        super().__init__(nats_url, configuration, **environment)
        self.log = log

    async def start(self, fail_point: str = "") -> None:
        self._environment.pop("CHOREGOS_FAIL_POINT", None)
        if fail_point:
            self._environment["CHOREGOS_FAIL_POINT"] = fail_point
        await super().start()


class NaiveLoop(AmbassadorProcess):
    """The naive loop in an ambassador's place: the same configuration, the same ways to be ended."""

    def __init__(self, manner: str, nats_url: str, configuration: Configuration, log: Path, **environment: str) -> None:
        super().__init__(nats_url, configuration, log, PYTHONPATH=_TESTS, **environment)
        self._command = (sys.executable, "-m", "chaos.naive", manner)


class BusinessProcess(_Kept):
    """One business service; `misbehave` lasts until `behave`, over restarts too."""

    def __init__(self, replica: str, port: int, directory: Path, deaths: Ledger) -> None:
        command = (sys.executable, "-m", "chaos.business", replica, str(port), str(directory))
        super().__init__(command, {**os.environ, "PYTHONPATH": _TESTS})
        self.log = directory / f"{replica}.business.log"
        self._mode = directory / f"{replica}.mode"
        self._ledger = directory / f"{replica}.ledger"
        self._deaths = deaths

    def calls(self) -> int:
        """Count the calls that its ledger knows, of all its runs."""
        return self._ledger.read_bytes().count(b'"type":"begun"') if self._ledger.exists() else 0

    def misbehave(self, how: Mode) -> None:
        """Have it treat every call so from now on."""
        mode.write(self._mode, how)

    def behave(self) -> None:
        """Have it do its work again."""
        mode.write(self._mode, Mode.BEHAVE)

    def signal(self, number: int) -> None:
        """Send a signal; what it kills is written down first, for its calls end with it."""
        if number == signal.SIGKILL and not self._ended:
            self._write_death()
        super().signal(number)

    async def _read(self) -> None:
        try:
            await super()._read()
        finally:
            self._write_death()

    def _write_death(self) -> None:
        processes = [line["process"] for line in self.lines if "process" in line]
        self._deaths.write(Died(process, time.monotonic()) for process in processes[-1:])


@contextlib.asynccontextmanager
async def running(*processes: LoggingProcess) -> AsyncIterator[None]:
    """Start processes at the same time; none outlives the block."""
    async with contextlib.AsyncExitStack() as stack:
        for process in processes:
            stack.push_async_exit(process.__aexit__)
        async with asyncio.TaskGroup() as starting:
            for process in processes:
                starting.create_task(process.start())
        yield
