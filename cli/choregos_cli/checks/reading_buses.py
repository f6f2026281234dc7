"""Reads what there is of each bus, a few at a time: a connection each, for a handful of requests."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from typing import Final

from nats.errors import Error as NatsError

from choregos_cli.checks.facts import AwayBus, BusFacts
from choregos_cli.checks.lines import Unknown
from choregos_cli.cluster.ambassadors import running_ambassadors
from choregos_cli.cluster.bus import ClusterBus, Given, JetStreamOff, cluster_bus
from choregos_cli.cluster.kubectl import Kubectl, Object
from choregos_cli.cluster.port_forward import Forwards
from choregos_cli.cluster.stored_events import first_stored
from choregos_cli.errors import CommandError, UnreachableError
from choregos_contract.configure import claims
from choregos_contract.document import resource_of
from choregos_contract.event_bus import EventBus
from choregos_contract.pages import ListTooLong
from choregos_contract.plan import plan
from choregos_contract.resources import Choreography
from choregos_contract.running import RunningAmbassador
from choregos_contract.survey import BusSurvey, DurableState, Reaction, survey
from choregos_contract.wire import JetStreamError
from choregos_contract.wiring import wanted

Scope = tuple[str, str]
"""Namespace and name of a bus."""
AT_ONCE: Final = 4
"""Buses that are read at the same time."""


async def read_buses(kubectl: Kubectl, resources: Sequence[Object], given: Given) -> tuple[BusFacts | AwayBus, ...]:
    """Read every bus that these choreographies and buses are about."""
    forwards, room = Forwards(kubectl), asyncio.Semaphore(AT_ONCE)

    async def read(scope: Scope, choreographies: tuple[Choreography, ...]) -> BusFacts | AwayBus:
        async with room:
            return await _read(cluster_bus(kubectl, *scope, given, forwards), scope, choreographies)

    return tuple(await asyncio.gather(*(read(*each) for each in scopes(resources).items())))


def scopes(resources: Sequence[Object]) -> Mapping[Scope, tuple[Choreography, ...]]:
    """Return the buses with those of their choreographies that the controller wires, the oldest first."""
    found: dict[Scope, tuple[Choreography, ...]] = {}
    for each in sorted(resources, key=lambda each: str(each["metadata"].get("creationTimestamp", ""))):
        read = resource_of(dict(each))
        if isinstance(read, EventBus):
            found.setdefault((read.metadata.namespace, read.metadata.name), ())
        elif isinstance(read, Choreography):
            scope = read.metadata.namespace, read.spec.bus
            found[scope] = (*found.get(scope, ()), *((read,) if _is_wired(each) else ()))
    return found


def _is_wired(choreography: Object) -> bool:
    conditions = (choreography.get("status") or {}).get("conditions") or ()
    invalid = any(each["type"] == "Valid" and each["status"] == "False" for each in conditions)
    return not invalid and not any(each["reason"] == "Conflict" for each in conditions)


async def _read(
    opening: AbstractAsyncContextManager[ClusterBus], scope: Scope, choreographies: tuple[Choreography, ...]
) -> BusFacts | AwayBus:
    try:
        async with opening as bus:
            return await _facts(bus, choreographies)
    except CommandError as error:
        return AwayBus(*scope, error)
    except JetStreamError as error:
        return AwayBus(*scope, UnreachableError(str(error), "look at the log of the NATS servers"))
    except ListTooLong as error:
        return AwayBus(*scope, UnreachableError(str(error), error.mend))


async def _facts(bus: ClusterBus, choreographies: tuple[Choreography, ...]) -> BusFacts:
    all_wanted = wanted(choreographies, bus.bus, bus.names.namespace)
    found = BusFacts(
        names=bus.names,
        wanted=all_wanted,
        suspended=_suspended(choreographies),
        where=bus.where,
        server_version=bus.server_version,
        servers=max(1, len(bus.server_info.get("connect_urls") or ())),
        ambassadors=await _ambassadors(bus),
    )
    try:
        seen = await survey(bus.ask, bus.names)
    except JetStreamOff:
        return replace(found, jetstream=False)
    except JetStreamError as error:
        if error.code != 503:
            raise
        return replace(found, jetstream=False)
    now = f"{datetime.now().astimezone().isoformat()}"
    steps = plan(all_wanted, seen.actual(bus.names), server_version=bus.server_version, now=now)
    return replace(found, survey=seen, steps=steps, oldest=await _oldest(bus, seen))


def _suspended(choreographies: Iterable[Choreography]) -> frozenset[Reaction]:
    found = claims(tuple(choreographies))
    return frozenset(Reaction(each.service, each.reaction.event) for each in found if each.reaction.suspend)


async def _oldest(bus: ClusterBus, seen: BusSurvey) -> Mapping[Reaction, datetime]:
    behind = [each for each in seen.durables.values() if each.ours and each.lag and not each.orphaned_since]
    stored = await asyncio.gather(*(_first(bus, each) for each in behind))
    return {each.reaction: moment for each, moment in zip(behind, stored, strict=True) if moment}


async def _first(bus: ClusterBus, durable: DurableState) -> datetime | None:
    return await first_stored(bus.ask, bus.names, durable.reaction.event, after=durable.floor)


async def _ambassadors(bus: ClusterBus) -> tuple[RunningAmbassador, ...] | Unknown:
    try:
        return await running_ambassadors(bus.client, bus.names)
    except (NatsError, OSError) as error:
        return Unknown(f"the ambassadors could not be asked: {error}")
