"""Looking at choreographies: the API server and every bus of theirs, as far as they answer.

Connections stay open from one look to the next; a bus that failed is tried anew.
"""

import asyncio
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Self, TypeVar

import msgspec
from nats.errors import Error as NatsError

from choregos_cli.cluster.ambassadors import running_ambassadors
from choregos_cli.cluster.bus import ClusterBus, Given, cluster_bus
from choregos_cli.cluster.kinds import CHOREOGRAPHIES, CONFIG_MAPS, EVENT_BUSES, PODS
from choregos_cli.cluster.kubectl import Kubectl, Object
from choregos_cli.cluster.pods import SERVICE_LABEL, pods_by_service
from choregos_cli.cluster.port_forward import Forwards
from choregos_cli.cluster.scene import Scene, scene
from choregos_cli.cluster.stored_events import count_stored, first_stored, last_stored
from choregos_cli.errors import CommandError
from choregos_cli.live.figures import Entry, Seen, SeenBus, behind, entries_of
from choregos_contract.pages import ListTooLong
from choregos_contract.survey import BusSurvey, survey
from choregos_contract.wire import JetStreamError

T = TypeVar("T")
_Key = tuple[str, str]


class Looker:
    """Looks as often as it is asked; `async with` closes what it opened."""

    def __init__(self, kubectl: Kubectl, given: Given, namespace: str | None) -> None:
        self._kubectl = kubectl
        self._given = given
        self._namespace = namespace
        self._forwards = Forwards(kubectl)
        self._open: dict[_Key, tuple[ClusterBus, AsyncExitStack]] = {}
        self.unknown: tuple[str, ...] = ()
        """What could not be read at the last look, and why."""
        self.known: frozenset[str] = frozenset()
        """Names of all choreographies of the last look, whichever were asked for."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for key in [*self._open]:
            await self._close(key)

    async def look(self, names: Sequence[str] = ()) -> dict[str, Seen]:
        """Return what there is, by namespace; of the choreographies only `names`, if some are given.

        Raises CommandError if not even the choreographies can be read.
        """
        unknown: list[str] = []
        choreographies = await self._kubectl.all(CHOREOGRAPHIES, namespace=self._namespace)
        buses, pods, configmaps = await asyncio.gather(
            self._tried(self._kubectl.all(EVENT_BUSES, namespace=self._namespace), unknown),
            self._tried(self._kubectl.all(PODS, namespace=self._namespace, labels=SERVICE_LABEL), unknown),
            self._tried(self._kubectl.all(CONFIG_MAPS, namespace=self._namespace, labels=SERVICE_LABEL), unknown),
        )
        self.known = frozenset(each["metadata"]["name"] for each in choreographies)
        shown = [each for each in choreographies if not names or each["metadata"]["name"] in names]
        found = {}
        for namespace in dict.fromkeys(each["metadata"]["namespace"] for each in shown):
            objects = [*_in(namespace, choreographies), *_in(namespace, buses or ())]
            here = scene(namespace, objects)
            mine = _in(namespace, shown)
            found[namespace] = Seen(
                here,
                tuple(mine),
                None if pods is None else pods_by_service(_in(namespace, pods)),
                None if configmaps is None else dict(_generations(_in(namespace, configmaps))),
                await self._buses(
                    here, {str((each.get("spec") or {}).get("bus", "default")) for each in mine}, unknown
                ),
            )
        self.unknown = tuple(dict.fromkeys(unknown))
        return found

    async def _buses(self, here: Scene, buses: Iterable[str], unknown: list[str]) -> Mapping[str, SeenBus]:
        found = {}
        for bus in sorted(buses):
            key = here.namespace, bus
            try:
                found[bus] = await _look(await self._bus(key), here)
            except (CommandError, JetStreamError, ListTooLong, NatsError, OSError, TimeoutError) as error:
                unknown.append(f"the bus {bus} of {here.namespace}: {str(error) or type(error).__name__}")
                await self._close(key)
        return found

    async def _bus(self, key: _Key) -> ClusterBus:
        if key not in self._open:
            stack = AsyncExitStack()
            opened = await stack.enter_async_context(cluster_bus(self._kubectl, *key, self._given, self._forwards))
            self._open[key] = opened, stack
        return self._open[key][0]

    async def _close(self, key: _Key) -> None:
        if key in self._open:
            await self._open.pop(key)[1].aclose()

    async def _tried(self, asked: Awaitable[T], unknown: list[str]) -> T | None:
        try:
            return await asked
        except CommandError as error:
            unknown.append(error.what)
            return None


async def _look(bus: ClusterBus, here: Scene) -> SeenBus:
    names = bus.names
    at, found = time.monotonic(), await survey(bus.ask, names)
    running = await running_ambassadors(bus.client, names)
    entries = {}
    for event in entries_of(here.of(names.bus).choreographies):
        count = await count_stored(bus.ask, names, event)
        entries[event] = Entry(event, count, await last_stored(bus.ask, names, event) if count else None)
    return SeenBus(names, found, running, entries, await _oldest(bus, found), at)


async def _oldest(bus: ClusterBus, found: BusSurvey) -> dict[str, datetime]:
    oldest = {}
    for durable in behind(found):
        if stored := await first_stored(bus.ask, bus.names, durable.reaction.event, after=durable.floor):
            oldest[durable.name] = stored
    return oldest


def _in(namespace: str, objects: Iterable[Object]) -> list[Object]:
    return [each for each in objects if each["metadata"]["namespace"] == namespace]


class _Head(msgspec.Struct):
    generation: int = 0


def _generations(configmaps: Iterable[Object]) -> Iterable[tuple[str, int]]:
    """Yield the generation of each service's configuration, where it can be read."""
    for each in configmaps:
        service = each["metadata"]["labels"][SERVICE_LABEL]
        text = (each.get("data") or {}).get("configuration.json", "")
        if each["metadata"]["name"] == f"choregos-{service}" and text:
            try:
                yield service, msgspec.json.decode(text, type=_Head).generation
            except msgspec.DecodeError:
                continue
