"""What stands in an object's `status`, and when it is worth a request to write it.

An answer that changes is written at once, because people and `kubectl wait` look at it. Figures change with every event:
they are written once a minute at most, and what nobody could count this time stays as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from choregos_contract.status import (
    MOST_ORPHANS,
    Ambassadors,
    ChoreographyStatus,
    Condition,
    EventBusStatus,
    Orphan,
    Reported,
)
from choregos_operator.kube import Body

REFRESH: Final = timedelta(minutes=1)
"""The least time between two writes of figures."""
_AT_ONCE: Final = ("observedGeneration", "services", "reactions", "choreographies")

S = TypeVar("S", ChoreographyStatus, EventBusStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoreographyFigures:
    """What was counted for a choreography; None for what could not be."""

    services: int | None = None
    reactions: int | None = None
    ambassadors: Ambassadors | None = None
    lag: int | None = None
    dead_letters: int | None = None
    orphaned: tuple[Orphan, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BusFigures:
    """What was counted for a bus; None for what could not be."""

    choreographies: int | None = None
    reactions: int | None = None
    events: int | None = None
    dead_letters: int | None = None
    orphaned: tuple[Orphan, ...] | None = None


def choreography_status_of(body: Body) -> ChoreographyStatus:
    """Read the status that a choreography has; what cannot be read, after a downgrade for one, counts as not there."""
    return _read(body, ChoreographyStatus)


def bus_status_of(body: Body) -> EventBusStatus:
    """Read the status that a bus has; what cannot be read counts as not there."""
    return _read(body, EventBusStatus)


def choreography_status(
    generation: int, conditions: tuple[Condition, ...], figures: ChoreographyFigures, before: ChoreographyStatus
) -> ChoreographyStatus:
    """Return the status that a choreography should have."""
    return ChoreographyStatus(
        observed_generation=generation,
        conditions=conditions,
        services=_known(figures.services, before.services),
        reactions=_known(figures.reactions, before.reactions),
        ambassadors=figures.ambassadors or before.ambassadors,
        lag=_known(figures.lag, before.lag),
        dead_letters=_known(figures.dead_letters, before.dead_letters),
        orphaned=before.orphaned if figures.orphaned is None else _most(figures.orphaned),
    )


def bus_status(
    generation: int, conditions: tuple[Condition, ...], figures: BusFigures, before: EventBusStatus
) -> EventBusStatus:
    """Return the status that a bus should have."""
    return EventBusStatus(
        observed_generation=generation,
        conditions=conditions,
        choreographies=_known(figures.choreographies, before.choreographies),
        reactions=_known(figures.reactions, before.reactions),
        events=_known(figures.events, before.events),
        dead_letters=_known(figures.dead_letters, before.dead_letters),
        orphaned=before.orphaned if figures.orphaned is None else _most(figures.orphaned),
    )


def changed(
    old: Mapping[str, Any], new: Mapping[str, Any], *, now: datetime, last_written: datetime | None = None
) -> bool:
    """Whether a status, as reported, is to be written now; `last_written` is when this process last did so."""
    if old == new:
        return False
    if _urgent(old) != _urgent(new):
        return True
    return last_written is None or now - last_written >= REFRESH


def patch(body: Body, status: Reported) -> list[dict[str, Any]]:
    """Return the JSON patch that makes this the status of the object, and of no later one of its name.

    The test says so: in a merge patch of a status the API server ignores a uid.
    """
    return [
        {"op": "test", "path": "/metadata/uid", "value": body["metadata"]["uid"]},
        {"op": "add", "path": "/status", "value": status.as_reported()},
    ]


def _urgent(status: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what people wait for. The message of a condition may hold figures: it is none of it."""
    conditions = [
        (each.get("type"), each.get("status"), each.get("reason"), each.get("observedGeneration"))
        for each in status.get("conditions", ())
    ]
    orphaned = [each.get("reaction") for each in status.get("orphaned", ())]
    return (conditions, orphaned, *(status.get(name) for name in _AT_ONCE))


def _known(found: int | None, before: int | None) -> int | None:
    return before if found is None else found


def _most(orphaned: tuple[Orphan, ...]) -> tuple[Orphan, ...]:
    """Keep those with the most pending events, and then the order steady."""
    kept = sorted(orphaned, key=lambda each: (-each.pending, each.reaction))[:MOST_ORPHANS]
    return tuple(sorted(kept, key=lambda each: each.reaction))


def _read(body: Body, model: type[S]) -> S:
    """Read field by field: one that a newer release wrote otherwise must not cost the dates of the conditions."""
    status, readable = body.get("status") or {}, model()
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key not in status:
            continue
        try:
            readable = readable.model_copy(update={name: getattr(model.model_validate({key: status[key]}), name)})
        except ValidationError:
            continue
    return readable
