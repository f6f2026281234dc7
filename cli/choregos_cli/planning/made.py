"""A plan, made: the files tried at the API server, the namespaces read before and after, the buses asked."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from choregos_cli.cluster.bus import Given as GivenBus
from choregos_cli.cluster.bus import cluster_bus
from choregos_cli.cluster.kinds import CHOREOGRAPHIES, EVENT_BUSES, PODS
from choregos_cli.cluster.kubectl import Kubectl, Object
from choregos_cli.cluster.pods import SERVICE_LABEL, ServicePods, pods_by_service
from choregos_cli.cluster.scene import Scene, applied, scene
from choregos_cli.cluster.stored_events import count_stored
from choregos_cli.documents import Examined
from choregos_cli.errors import CommandError
from choregos_cli.planning.changes import Change, changes, to_be_counted
from choregos_cli.planning.fate import Live
from choregos_cli.planning.verdicts import Verdict, given_in, told, verdicts
from choregos_contract.checks import check_beside
from choregos_contract.findings import Finding
from choregos_contract.pages import ListTooLong
from choregos_contract.resources import Choreography
from choregos_contract.survey import survey
from choregos_contract.wire import JetStreamError

_BESIDE = ("nobody-emits", "claimed-twice", "conflicting-port", "conflicting-bus")
"""What lint finds between files is found again beside all that the namespace holds."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Whom to ask, and for which namespace."""

    kubectl: Kubectl
    bus: GivenBus
    namespace: str | None
    """None for the context's."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that can be told about an apply."""

    examined: Examined
    findings: tuple[Finding, ...]
    verdicts: tuple[Verdict, ...]
    changes: tuple[Change, ...]
    pods: Mapping[str, Mapping[str, ServicePods]]
    """By namespace and service; a namespace whose pods could not be read is left out."""
    unknown: tuple[str, ...]
    """What could not be asked, and why."""

    @property
    def refused(self) -> bool:
        """Whether something of it would be refused."""
        return any(each.refusal for each in self.verdicts) or any(each.refused for each in self.changes)


@dataclass(frozen=True, slots=True)
class _Namespace:
    """One namespace before and after."""

    before: Scene
    after: Scene
    planned: frozenset[str]
    """Identities of what is in the files."""


async def make(asking: Asking, examined: Examined) -> Plan:
    """Make the plan for files without an error; raises CommandError if the API server cannot be asked."""
    namespace = asking.namespace or await asking.kubectl.namespace()
    given = given_in(examined.texts, namespace=namespace, forced=asking.namespace is not None)
    tried = await verdicts(asking.kubectl, given)
    namespaces = sorted({each.namespace for each in given})
    seen = await asyncio.gather(*(_namespace(asking.kubectl, each, tried) for each in namespaces))
    unknown: list[str] = []
    found: list[Change] = []
    pods: dict[str, Mapping[str, ServicePods]] = {}
    for each in seen:
        changed = await _changes(asking, each, unknown)
        found += changed
        if changed:
            pods |= await _pods(asking.kubectl, each.after.namespace, unknown)
    findings = _findings(examined, seen)
    known = {told(each) for each in findings}
    fresh = [replace(each, warnings=tuple(w for w in each.warnings if w not in known)) for each in tried]
    return Plan(examined, findings, tuple(fresh), tuple(found), pods, tuple(unknown))


async def _namespace(kubectl: Kubectl, namespace: str, tried: Sequence[Verdict]) -> _Namespace:
    kinds = (CHOREOGRAPHIES, EVENT_BUSES)
    lists = await asyncio.gather(*(kubectl.all(kind, namespace=namespace) for kind in kinds))
    stored = [each for one in lists for each in one]
    mine = [each for each in tried if each.given.namespace == namespace]
    accepted: list[Object] = [each.stored for each in mine if each.stored is not None]
    planned = frozenset(each.given.identity for each in mine if each.stored is not None)
    return _Namespace(scene(namespace, stored), scene(namespace, applied(stored, accepted)), planned)


async def _changes(asking: Asking, seen: _Namespace, unknown: list[str]) -> tuple[Change, ...]:
    """Find the changes, then ask the buses that they concern, then find them again with the figures."""
    found = changes(seen.before, seen.after, {})
    live: dict[str, Live] = {}
    for bus in sorted({each.bus for each in found}):
        counted = {event for of, event in to_be_counted(found) if of == bus}
        try:
            live[bus] = await _live(asking, seen, bus, counted)
        except (CommandError, JetStreamError, ListTooLong) as error:
            unknown.append(f"the bus {bus} of {seen.after.namespace}: {error}")
    return changes(seen.before, seen.after, live)


async def _live(asking: Asking, seen: _Namespace, bus: str, counted: set[str]) -> Live:
    old, new = seen.before.of(bus), seen.after.of(bus)
    names = old.names if old.claims else new.names
    async with cluster_bus(asking.kubectl, seen.after.namespace, bus, asking.bus) as opened:
        stored = {event: await count_stored(opened.ask, names, event) for event in sorted(counted)}
        return Live(await survey(opened.ask, names), opened.server_version, stored)


async def _pods(kubectl: Kubectl, namespace: str, unknown: list[str]) -> dict[str, Mapping[str, ServicePods]]:
    try:
        found = await kubectl.all(PODS, namespace=namespace, labels=SERVICE_LABEL)
    except CommandError as error:
        unknown.append(f"the pods of {namespace}: {error}")
        return {}
    return {namespace: pods_by_service(found)}


def _findings(examined: Examined, seen: Sequence[_Namespace]) -> tuple[Finding, ...]:
    alone = [each for each in examined.findings if each.code not in _BESIDE]
    return (*alone, *(found for each in seen for found in _beside(each)))


def _beside(seen: _Namespace) -> Iterator[Finding]:
    everyone: tuple[Choreography, ...] = seen.after.choreographies
    for index, each in enumerate(everyone):
        if each.identity in seen.planned:
            yield from check_beside(each, everyone[:index], everyone)
