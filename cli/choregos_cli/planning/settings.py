"""Which settings of a reaction, a service, an event or a bus differ, spelt as a document spells them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from choregos_contract.configuration import Configuration, Reaction
from choregos_contract.configure import Claim
from choregos_contract.event_bus import EventBus
from choregos_contract.quantities import format_duration, format_size
from choregos_contract.resources import Choreography
from choregos_contract.wiring import moment

IDENTITY: Final = ("stream.prefix", "stream.partitions", "stream.shards", "stream.storage")
"""Settings of a bus that never change: the names of its streams and their content follow from them."""
_DURATIONS: Final = ("timeout", "backoffDelay", "backoffMax")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting that differs; None is one that is not there."""

    name: str
    before: str | None
    after: str | None


def of_reaction(before: tuple[Claim, Reaction] | None, after: tuple[Claim, Reaction] | None) -> tuple[Setting, ...]:
    """Return what differs between the settings in force for a reaction, whichever choreography they come from."""
    return _differing(_reaction(*before) if before else {}, _reaction(*after) if after else {})


def of_bus(before: EventBus | None, after: EventBus | None) -> tuple[Setting, ...]:
    """Return what differs between two versions of a bus."""
    return _differing(_flat(before.spec) if before else {}, _flat(after.spec) if after else {})


def of_service(before: Configuration | None, after: Configuration | None) -> tuple[Setting, ...]:
    """Return what differs in what a service's ambassadors are told, beside the reactions."""
    return _differing(_service(before) if before else {}, _service(after) if after else {})


def of_event(before: Choreography | None, after: Choreography | None, name: str) -> tuple[Setting, ...]:
    """Return what differs in the declaration of an event."""
    return _differing(_event(before, name), _event(after, name))


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Setting, ...]:
    names = dict.fromkeys((*before, *after))
    found = (Setting(name, before.get(name), after.get(name)) for name in names)
    return tuple(each for each in found if each.before != each.after)


def _reaction(claim: Claim, reaction: Reaction) -> dict[str, str]:
    plain = msgspec.to_builtins(reaction)
    delivery = {f"delivery.{name}": _quantity(name, value) for name, value in plain.pop("delivery").items()}
    for name in ("event", "idempotency"):
        plain.pop(name, None)
    given = claim.reaction
    own = {
        "choreography": claim.choreography.metadata.name,
        "startFrom": moment(given.start_from),
        "compensates": given.compensates,
        "idempotency.ttl": format_duration(given.idempotency.ttl) if given.idempotency else None,
    }
    return _spelt({**plain, **delivery, **own})


def _service(configuration: Configuration) -> dict[str, str]:
    readiness = configuration.readiness
    port, path = (readiness.port, readiness.path) if readiness else (None, None)
    return _spelt({"port": port, "readiness": path, "emits": configuration.emits})


def _event(choreography: Choreography | None, name: str) -> dict[str, str]:
    if choreography is None or name not in choreography.spec.events:
        return {}
    event = choreography.spec.events[name]
    return _spelt({"outcome": event.outcome, "external": event.external, "description": event.description})


def _flat(model: BaseModel, above: str = "") -> dict[str, str]:
    found: dict[str, Any] = {}
    for name, value in model.model_dump(mode="json", by_alias=True).items():
        if isinstance(value, dict):
            found |= {f"{name}.{each}": inner for each, inner in value.items()}
        else:
            found[above + name] = value
    return _spelt(found)


def _quantity(name: str, value: Any) -> Any:
    if name in _DURATIONS:
        return format_duration(value)
    return format_size(value) if name == "maxReplyBytes" else value


def _spelt(settings: Mapping[str, Any]) -> dict[str, str]:
    """Spell the settings; what is empty is not there."""
    return {name: _spell(value) for name, value in settings.items() if value not in (None, "", False, (), [])}


def _spell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    return "true" if value is True else str(value)
