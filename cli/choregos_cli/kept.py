"""A process that is started again whenever it ends unasked, as Kubernetes would do it, only sooner."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from choregos_cli.processes import Process

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
SOUND_AFTER: Final = 60.0
"""Seconds before the first restart; at most; and of running, after which the pause is the first one again."""


class Exited(Protocol):
    """Told of every end that nobody asked for: exit code, last output, seconds until the restart."""

    def __call__(self, code: int, output: tuple[str, ...], restart_in_s: float) -> None:
        """Take note of it."""


class Kept:
    """One such process."""

    def __init__(self, start: Callable[[], Awaitable[Process]], exited: Exited) -> None:
        self._start = start
        self._exited = exited
        self._keeper: asyncio.Task[None] | None = None
        self.process: Process | None = None
        """The process that was started last."""
        self.fell = asyncio.Event()
        """Set when the process has ended unasked for the first time."""

    async def start(self) -> None:
        """Start the process; raises what the start raises."""
        self.process = await self._start()
        self._keeper = asyncio.create_task(self._keep(self.process))

    async def stop(self, grace: float) -> None:
        """End the process for good: SIGTERM, then after `grace` seconds SIGKILL."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self.process is not None and self.process.running:
            await self.process.stop(grace)

    async def _keep(self, process: Process) -> None:
        pause = FIRST_PAUSE
        while True:
            started = time.monotonic()
            code = await process.wait()
            if time.monotonic() - started > SOUND_AFTER:
                pause = FIRST_PAUSE
            self._exited(code, tuple(process.tail), pause)
            self.fell.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            process = self.process = await self._start()
