"""The status as it is printed: a table per choreography, and one JSON document."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from choregos_cli.console import printable
from choregos_cli.live.figures import Entry, ReactionRow, Room, ServiceRow, Shown

_UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_SIZES: Final = (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))
_UNKNOWN: Final = "?"
_RIGHT: Final = ("WAITING", "OUT", "RETRIED", "OLDEST", "DEAD", "RATE")


def text(shown: Sequence[Shown], unknown: Sequence[str], *, now: datetime, rates: bool) -> Group:
    """Return what is printed for people; `rates` adds the column."""
    parts: list[RenderableType] = []
    for each in shown:
        parts += [*_head(each, now), _table(each, rates=rates), *_orphaned(each), Text("")]
    parts += [Text(f"unknown: {printable(each)}", style="yellow") for each in unknown]
    return Group(*(parts or [Text("no choreography here")]))


def as_json(shown: Iterable[Shown], unknown: Sequence[str]) -> dict[str, Any]:
    """Return the same as one JSON document; null is what could not be asked, or is not there."""
    return {"choreographies": [_as_json(each) for each in shown], "unknown": list(unknown)}


def _head(shown: Shown, now: datetime) -> Iterator[Text]:
    title = f"{shown.namespace}/{shown.name}"
    yield Text.assemble((printable(title), "bold"), printable(f"  bus {shown.bus}, {_duration(shown.age)} old"))
    conditions = {each["type"]: each for each in shown.conditions}
    ready = conditions.get("Ready")
    if ready is None:
        yield Text("  not looked at by the controller yet", style="yellow")
    else:
        colour = "green" if ready["status"] == "True" else "red"
        text_ = f"  Ready={ready['status']} {ready['reason']}: {ready.get('message', '')}"
        yield Text(printable(text_), style=colour)
    for each in conditions.values():
        if each["type"] != "Ready" and each["status"] != "True" and each.get("message") != (ready or {}).get("message"):
            yield Text(printable(f"  {each['type']}={each['status']} {each['reason']}: {each.get('message', '')}"))
    yield Text(f"  events {_room(shown.events)}; dead letters {_room(shown.dead_letters)}")
    for entry in shown.entries:
        yield Text(printable(f"  begins with {entry.event}: {_entry(entry, now)}"))


def _orphaned(shown: Shown) -> Iterator[Text]:
    for each in shown.orphaned:
        told = f"  orphaned since {each.since}: {each.service}/{each.event}, {each.pending} events would be dropped with it"
        yield Text(printable(told), style="yellow")


def _entry(entry: Entry, now: datetime) -> str:
    if entry.stored is None:
        return _UNKNOWN
    last = f", the last {_duration((now - entry.last).total_seconds())} ago" if entry.last else ""
    return f"{entry.stored} stored{last}"


def _table(shown: Shown, *, rates: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    columns = ["  SERVICE", "PODS", "CURRENT", "BREAKER", "EVENT", "WAITING", "OUT", "RETRIED", "OLDEST", "DEAD"]
    for name in [*columns, *(["RATE"] if rates else []), "NOTE"]:
        table.add_column(name, justify="right" if name in _RIGHT else "left", no_wrap=name != "NOTE")
    reactions: dict[str, list[ReactionRow]] = {}
    for each in shown.reactions:
        reactions.setdefault(each.service, []).append(each)
    for service in shown.services:
        first = _service(service)
        rows: list[ReactionRow | None] = [*reactions.get(service.name, ())]
        for row in rows or [None]:
            table.add_row(*(Text(printable(cell)) for cell in (*first, *_reaction(row, rates=rates))))
            first = ("", "", "", "")
    return table


def _service(row: ServiceRow) -> tuple[str, str, str, str]:
    return (
        f"  {row.name}",
        f"{_number(row.ready)}/{_number(row.pods)}",
        f"{_number(row.current)}/{_number(row.ambassadors)}",
        _breaker(row),
    )


def _breaker(row: ServiceRow) -> str:
    if row.breakers is None:
        return _UNKNOWN
    ailing = {state: count for state, count in row.breakers.items() if state != "closed"}
    if not ailing:
        return "closed" if row.breakers else "-"
    told = ", ".join(f"{state} {count}/{row.ambassadors}" for state, count in sorted(ailing.items()))
    return f"{told}: {row.reasons[0]}" if row.reasons else told


def _reaction(row: ReactionRow | None, *, rates: bool) -> Iterator[str]:
    if row is None:
        yield from ("-", "", "", "", "", "", *([""] if rates else []), "")
        return
    yield row.event
    yield from map(_number, (row.waiting, row.unacknowledged, row.redelivered))
    yield "-" if row.oldest is None else _duration(row.oldest)
    yield _number(row.dead_letters)
    if rates:
        yield _UNKNOWN if row.rate is None else f"{row.rate:.1f}/s"
    yield row.note


def _number(number: int | None) -> str:
    return _UNKNOWN if number is None else str(number)


def _room(room: Room | None) -> str:
    if room is None:
        return _UNKNOWN
    if room.most <= 0:
        return f"{room.messages}, {_size(room.size)}"
    return f"{room.messages}, {_size(room.size)} of {_size(room.most)} ({100 * room.size / room.most:.0f} %)"


def _size(size: int) -> str:
    for unit, length in _SIZES:
        if size >= length:
            return f"{size / length:.1f}".removesuffix(".0") + unit
    return f"{size} B"


def _duration(seconds: float) -> str:
    """Spell an age by its two largest units at most."""
    rest, parts = max(math.floor(seconds), 0), list[str]()
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
        if len(parts) == 2:
            break
    return "".join(parts) or "0s"


def _as_json(shown: Shown) -> dict[str, Any]:
    return {
        "namespace": shown.namespace,
        "name": shown.name,
        "bus": shown.bus,
        "ageSeconds": round(shown.age),
        "conditions": [dict(each) for each in shown.conditions],
        "events": _room_as_json(shown.events),
        "deadLetters": _room_as_json(shown.dead_letters),
        "entries": [{"event": each.event, "stored": each.stored, "last": _moment(each.last)} for each in shown.entries],
        "services": [_service_as_json(each) for each in shown.services],
        "reactions": [_reaction_as_json(each) for each in shown.reactions],
        "orphaned": [
            {"service": each.service, "event": each.event, "pending": each.pending, "since": each.since}
            for each in shown.orphaned
        ],
    }


def _service_as_json(row: ServiceRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "pods": {"ready": row.ready, "total": row.pods},
        "ambassadors": {"current": row.current, "total": row.ambassadors},
        "breakers": row.breakers,
        "breakerReasons": list(row.reasons),
    }


def _reaction_as_json(row: ReactionRow) -> Mapping[str, Any]:
    return {
        "service": row.service,
        "event": row.event,
        "note": row.note or None,
        "waiting": row.waiting,
        "unacknowledged": row.unacknowledged,
        "redelivered": row.redelivered,
        "inHand": row.in_hand,
        "oldestSeconds": None if row.oldest is None else round(row.oldest, 1),
        "deadLetters": row.dead_letters,
        "rate": None if row.rate is None else round(row.rate, 2),
    }


def _room_as_json(room: Room | None) -> dict[str, int] | None:
    if room is None:
        return None
    return {"messages": room.messages, "bytes": room.size, "maxBytes": room.most}


def _moment(when: datetime | None) -> str | None:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z") if when else None
