"""What an apply changes, from what is there before and after it, and from what NATS holds. Pure.

The controller decides by the same functions: `claims` says which reactions are in force, `configurations` what ambassadors
are told, `step` what becomes of a durable.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from choregos_cli.cluster.scene import OfBus, Scene
from choregos_cli.planning.fate import Fate, Fates, Live, Wiring
from choregos_cli.planning.settings import IDENTITY, Setting, of_bus, of_event, of_reaction, of_service
from choregos_contract import configuration
from choregos_contract.configure import Claim
from choregos_contract.resources import Choreography
from choregos_contract.survey import Reaction


class What(StrEnum):
    """What kind of thing changes."""

    CHOREOGRAPHY = "choreography"
    EVENT = "event"
    BUS = "bus"
    SERVICE = "service"
    REACTION = "reaction"


class Sign(StrEnum):
    """How it changes."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is not afterwards as it was before."""

    what: What
    sign: Sign
    namespace: str
    bus: str
    name: str
    """Of the thing; a reaction's is `service/event`."""
    of: str = ""
    """Of an event: the choreography that declares it."""
    settings: tuple[Setting, ...] = ()
    fate: Fate | None = None
    """Of a reaction."""
    obstacle: str = ""
    """Of a bus: why it is refused, or cannot be wired, with the mend."""
    unread: int | None = None
    """Of a bus that moves, or would: events that stay behind, unread or unacknowledged."""

    @property
    def refused(self) -> bool:
        """Whether somebody would refuse it: the API server, or the controller when it wires."""
        return bool(self.obstacle) or (self.fate is not None and self.fate.wiring is Wiring.REFUSE)


def changes(before: Scene, after: Scene, live: Mapping[str, Live]) -> tuple[Change, ...]:
    """Return all changes; `live` is by name of the bus, and a bus that is not in it could not be asked."""
    found = [*_choreographies(before, after)]
    for bus in sorted(before.used | after.used):
        found += _on_a_bus(before.of(bus), after.of(bus), live.get(bus))
    return tuple(found)


def to_be_counted(found: tuple[Change, ...]) -> frozenset[tuple[str, str]]:
    """Return the bus and the type of the stored events that a new durable would be given."""
    created = (each for each in found if each.fate and each.fate.wiring is Wiring.CREATE)
    starts = ((each, each.fate.start_from) for each in created if each.fate)
    return frozenset((each.bus, each.name.partition("/")[2]) for each, start in starts if start != "created")


def _choreographies(before: Scene, after: Scene) -> Iterator[Change]:
    old = {each.metadata.name: each for each in before.choreographies}
    new = {each.metadata.name: each for each in after.choreographies}
    for name in dict.fromkeys((*old, *new)):
        was, is_ = old.get(name), new.get(name)
        if was and is_ and was.spec == is_.spec:
            continue
        either = is_ or was
        assert either
        settings = (Setting("bus", was.spec.bus, is_.spec.bus),) if was and is_ and was.spec.bus != is_.spec.bus else ()
        yield Change(
            what=What.CHOREOGRAPHY,
            sign=Sign.CHANGED if either.identity in before.unreadable else _sign(was, is_),
            namespace=after.namespace,
            bus=either.spec.bus,
            name=name,
            settings=settings,
        )
        yield from _events(was, is_, either)


def _events(was: Choreography | None, is_: Choreography | None, either: Choreography) -> Iterator[Change]:
    old, new = was.spec.events if was else {}, is_.spec.events if is_ else {}
    for name in dict.fromkeys((*old, *new)):
        settings = of_event(was, is_, name)
        if settings or (name in old) != (name in new):
            yield Change(
                what=What.EVENT,
                sign=_sign(old.get(name), new.get(name)),
                namespace=either.metadata.namespace,
                bus=either.spec.bus,
                name=name,
                of=either.metadata.name,
                settings=settings,
            )


def _on_a_bus(old: OfBus, new: OfBus, live: Live | None) -> Iterator[Change]:
    stuck = _obstacle(old, new)
    settings = of_bus(old.bus, new.bus) if new.bus and old.bus != new.bus else ()
    if stuck or settings or bool(old.bus) != bool(new.bus):
        yield Change(
            what=What.BUS,
            sign=_sign(old.bus, new.bus) if old.bus or new.bus else Sign.CHANGED,
            namespace=new.namespace,
            bus=new.name,
            name=new.name,
            settings=settings,
            obstacle=stuck,
            unread=_unread(old, live) if stuck or _leaves(old, new) else None,
        )
    for name in dict.fromkeys((*old.configurations, *new.configurations)):
        told, tells = old.configurations.get(name), new.configurations.get(name)
        if told != tells and not stuck:
            yield Change(
                what=What.SERVICE,
                sign=_sign(told, tells),
                namespace=new.namespace,
                bus=new.name,
                name=name,
                settings=of_service(told, tells),
            )
    for key in dict.fromkeys((*old.claims, *new.claims)):
        found = of_reaction(_settings(old, key), _settings(new, key))
        if found or (key in old.claims) != (key in new.claims):
            yield Change(
                what=What.REACTION,
                sign=_sign(old.claims.get(key), new.claims.get(key)),
                namespace=new.namespace,
                bus=new.name,
                name=str(key),
                settings=found,
                fate=Fates(old, new, live, waits=bool(stuck)).of(key),
            )


def _obstacle(old: OfBus, new: OfBus) -> str:
    """Return why the bus cannot be wired as it would be, in a sentence with the mend."""
    if new.choreographies and not new.exists:
        return f"there is no EventBus {new.name} in {new.namespace}; apply it as well, or write another `bus`"
    changed = [each.name for each in of_bus(old.bus, new.bus) if each.name in IDENTITY] if new.bus else []
    if old.bus and new.bus and changed:
        return f"{', '.join(changed)} cannot be changed; set it back, or make another EventBus and let this one run dry"
    if old.claims and old.names != new.names:
        return (
            f"the ambassadors are configured for the prefix {old.names.prefix}, {old.names.partitions} partitions and"
            f" {old.names.shards} shards, and the streams of {new.name} would be others; write the EventBus so that they"
            " stay, or use another bus"
        )
    return ""


def _leaves(old: OfBus, new: OfBus) -> bool:
    """Whether the bus goes to other servers, where its streams begin anew."""
    was, is_ = (part.bus.spec.servers if part.bus else () for part in (old, new))
    return bool(old.claims) and was != is_


def _unread(old: OfBus, live: Live | None) -> int | None:
    if live is None:
        return None
    seen = (live.survey.durables.get(each.name) for each in old.durables.values())
    return sum(each.lag for each in seen if each)


def _settings(part: OfBus, key: Reaction) -> tuple[Claim, configuration.Reaction] | None:
    if key not in part.claims:
        return None
    service, event = key
    reactions = part.configurations[service].reactions
    return part.claims[key], next(each for each in reactions if each.event == event)


def _sign(before: object, after: object) -> Sign:
    if before is None:
        return Sign.NEW
    return Sign.GONE if after is None else Sign.CHANGED
