"""A plan in sentences, the most that somebody who applies wants to know first. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from choregos_cli.cluster.pods import ServicePods
from choregos_cli.planning.changes import Change, Sign, What
from choregos_cli.planning.fate import Fate, Wiring

MARKS: Final = {Sign.NEW: "+", Sign.CHANGED: "~", Sign.GONE: "-"}
UNKNOWN: Final = "an unknown number of"
_MOST: Final = 3
"""Pods in a sentence."""

Pods = Mapping[str, ServicePods]


def heading(change: Change) -> str:
    """Return what changes, in one line."""
    if change.what is What.CHOREOGRAPHY:
        return f"{change.what} {change.name} (namespace {change.namespace}, bus {change.bus})"
    return f"{change.what} {change.name}" + (f" of {change.of}" if change.of else "")


def sentences(change: Change, pods: Pods | None) -> Iterator[str]:
    """Yield what happens, one thing after another. `pods`: of its namespace; None if they could not be read."""
    if change.obstacle:
        yield change.obstacle
    if change.unread is not None:
        yield f"{_events(change.unread)} unread stay behind on the streams as they are"
    if change.what is What.SERVICE:
        yield from _service(change, pods)
    if change.fate:
        yield from _fate(change.fate, change.sign)


def _service(change: Change, pods: Pods | None) -> Iterator[str]:
    if pods is None:
        yield "its pods could not be read"
        return
    mine = pods.get(change.name, ServicePods())
    if change.sign is Sign.GONE:
        yield f"{_pods(mine.with_ambassador, 'is', 'are')} told that there is nothing to do any more"
        return
    if mine.with_ambassador:
        yield f"{_pods(mine.with_ambassador, 'loads', 'load')} the new configuration; none is made anew"
    if mine.without:
        has = _pods(mine.without, "has", "have")
        yield f"{has} no ambassador yet: make them anew, such as by `kubectl rollout restart`"
    if not mine.all:
        yield "no pod carries its label choregos.dev/service yet"


def _fate(fate: Fate, sign: Sign) -> Iterator[str]:
    match fate.wiring:
        case Wiring.CREATE:
            yield from _created(fate)
        case Wiring.ADOPT:
            yield f"the durable {fate.durable} is there already, and goes on where it stands: {_pending(fate)}"
        case Wiring.UPDATE:
            yield f"the durable {fate.durable} is updated, and keeps its position: {_pending(fate)}"
        case Wiring.KEEP:
            yield "the durable stays as it is"
        case Wiring.ORPHAN:
            yield from _orphaned(fate)
        case Wiring.LEAVE:
            yield f"there is no durable {fate.durable} of the operator's to give up"
        case Wiring.REFUSE:
            yield f"the durable {fate.durable} would be refused: {fate.reason}"
        case Wiring.WAIT:
            yield "nothing of it happens until the bus can be wired"
    if sign is not Sign.GONE and fate.dead_letters:
        yield f"{_counted(fate.dead_letters, 'dead letter')} of it from before"


def _created(fate: Fate) -> Iterator[str]:
    made = f"the durable {fate.durable} is created"
    if fate.start_from == "created":
        yield f"{made}; it begins with what is stored from then on"
    elif fate.start_from == "all":
        yield f"{made}; it is given {_events(fate.waiting)} that the bus holds already"
    else:
        most = _events(fate.waiting)
        yield f"{made}; it is given what the bus holds since {fate.start_from}, of {most} in all"


def _orphaned(fate: Fate) -> Iterator[str]:
    yield f"the durable {fate.durable} is orphaned: kept idle for the operator's orphanTTL (7 days as a rule), then removed"
    yield f"{_events(fate.waiting)} waiting would be dropped with it, unless the reaction comes back before"
    if fate.in_hand is None or fate.in_hand:
        yield f"{_events(fate.in_hand)} out for delivery: requests that run are finished, the rest is handed back"
    if fate.dead_letters:
        yield f"{_counted(fate.dead_letters, 'dead letter')} kept"


def _pending(fate: Fate) -> str:
    if fate.waiting is None or fate.in_hand is None:
        return "how many events are before it is unknown"
    return f"{_events(fate.waiting)} waiting, {fate.in_hand} out for delivery"


def _pods(names: tuple[str, ...], one: str, many: str) -> str:
    listed = ", ".join(names[:_MOST]) + (" ..." if len(names) > _MOST else "")
    verb = one if len(names) == 1 else many
    return f"{_counted(len(names), 'pod')} {f'({listed}) ' if names else ''}{verb}"


def _events(number: int | None) -> str:
    return f"{UNKNOWN} events" if number is None else _counted(number, "event")


def _counted(number: int, one: str) -> str:
    return f"{number} {one}{'' if number == 1 else 's'}"
