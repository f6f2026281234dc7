"""Tasks that take one event after the other, for a task made anew for each costs more than twice as much."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from choregos_ambassador.log import log
from choregos_ambassador.tasks import watched

Work = Coroutine[Any, Any, None]


class Workers:
    """As many tasks as there was ever work for at the same time; those without work wait for some."""

    def __init__(self) -> None:
        self._idle: list[asyncio.Future[Work]] = []

    def run(self, work: Work) -> None:
        """Begin it in the next turn of the loop; whatever it raises is logged as a bug."""
        if self._idle:
            self._idle.pop().set_result(work)
        else:
            watched(self._work_on(work), "worker")

    async def _work_on(self, work: Work) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await work
            except Exception as error:  # noqa: BLE001  every foreseen trouble is handled in it, and the next one may go well
                log.error("bug", task="worker", error=repr(error), exc_info=error)
            next_work: asyncio.Future[Work] = loop.create_future()
            self._idle.append(next_work)
            work = await next_work
