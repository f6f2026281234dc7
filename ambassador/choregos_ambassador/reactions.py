"""All running reactions of the process, kept in line with the configuration in force."""

import asyncio
from collections.abc import Iterator

from choregos_ambassador.equipment import Equipment
from choregos_ambassador.hop import Hop
from choregos_ambassador.log import log
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.reaction import RunningReaction
from choregos_ambassador.role import Role
from choregos_contract.configuration import Configuration


class Reactions:
    """Starts, changes and stops reactions one by one, so that a reload disturbs none that it does not name."""

    def __init__(self, equipment: Equipment, metrics: Metrics) -> None:
        self._with = equipment
        self._metrics = metrics
        self._running: dict[str, RunningReaction] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._draining = False

    def __iter__(self) -> Iterator[RunningReaction]:
        """Iterate over the running reactions."""
        return iter(list(self._running.values()))

    @property
    def draining(self) -> bool:
        """Whether no more is pulled, for good."""
        return self._draining

    async def apply(self, configuration: Configuration) -> None:
        """Bring the reactions in line with a configuration; the bus is connected."""
        if self._draining:
            return
        readiness = configuration.readiness
        self._with.gate.reconfigure(None if readiness is None else self._with.targets.client(readiness.port), readiness)
        self._with.targets.expect(configuration.reactions)
        wanted = {reaction.event: Role(configuration, reaction) for reaction in configuration.reactions}
        for event in self._running.keys() - wanted.keys():
            self._leave(self._running.pop(event))
        for event, role in wanted.items():
            if event in self._running:
                self._running[event].reconfigure(role)
            else:
                self._running[event] = running = RunningReaction(Hop(role, self._with), self._with, self._metrics)
                await running.start()
        log.info("configured", generation=configuration.generation, reactions=sorted(wanted))

    async def drain(self) -> None:
        """Pull no more, and wait until no event is in hand."""
        self._draining = True
        self._metrics.draining.set(1)
        await asyncio.gather(*(running.drain() for running in self._running.values()), *self._leaving)

    async def stop(self) -> None:
        """Drain, and end them all."""
        await self.drain()
        await asyncio.gather(*(running.stop() for running in self._running.values()))

    def _leave(self, running: RunningReaction) -> None:
        task = asyncio.create_task(self._retire(running))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _retire(self, running: RunningReaction) -> None:
        """Stop a reaction, and show its figures no longer, unless it has come back meanwhile."""
        await running.stop()
        if running.role.event not in self._running:
            self._metrics.forget(running.role.event)
