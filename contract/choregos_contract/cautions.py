"""What is allowed in a choreography, and yet seldom meant: the warnings of `checks`."""

import re
from collections.abc import Iterator
from typing import Final

from choregos_contract.event_bus import EventBus, StreamSpec
from choregos_contract.findings import Finding, finding
from choregos_contract.graph import Graph, Step, shortest_cycle
from choregos_contract.quantities import format_duration
from choregos_contract.resources import DEFAULT_BUS, Choreography

ACK_WAIT: Final = 30.0
"""Seconds that a lease lasts beyond its last renewal; the ambassador renews it until the attempt has ended."""
LONGEST_CHAIN: Final = 8

_ORDERS: Final = frozenset(
    """accept activate add allocate approve archive assign authorize book calculate cancel capture charge check close
    collect complete compute confirm create deactivate decline delete deliver deploy disable dispatch do emit enable
    execute fetch finish fulfil fulfill generate get handle import initiate insert invoke issue launch load make mark
    modify notify open pay perform pick place prepare process publish pull push put read refund register reject release
    remove request reserve reset resolve retry return revoke run save schedule send set ship start stop store submit
    sync terminate trigger unassign update upload upsert validate verify withdraw write""".split()  # noqa: SIM905 - a list of words
)
_PAST: Final = frozenset(
    """been begun bought broken built caught chosen done fallen forgotten found given gone held kept known left lost
    made met overdue paid read ran run seen sent set shut sold spent split stolen taken told undone withdrawn won written""".split()  # noqa: SIM905 - a list of words
)


def cautions(choreography: Choreography, graph: Graph, bus: EventBus | None) -> Iterator[Finding]:
    """Yield the warnings for a choreography that has no errors."""
    yield from _ends(graph)
    yield from _circles(graph)
    yield from _names(graph)
    yield from _uncompensated(graph)
    yield from _long_chain(graph)
    yield from _window(choreography, graph, bus)
    yield from _inbox(choreography, graph, bus)


def _ends(graph: Graph) -> Iterator[Finding]:
    """Without any outcome, it is not told for each last event that it is none."""
    if graph.outcomes or all(event.external for event in graph.events):
        for event in graph.events:
            if not graph.steps_on[event.name] and not event.outcome:
                hint = "add a reaction, or declare it an outcome: {outcome: completed}"
                yield finding("unheard-event", ("spec", "events", event.name), f'nobody reacts to "{event.name}"', hint)
        return
    last = [name for name, following in graph.successors.items() if not following]
    hint = f"declare how a transaction ends, such as {last[0] if last else 'OrderShipped'}: {{outcome: completed}}"
    yield finding("no-outcome", ("spec", "events"), "no event is an outcome", hint)


def _circles(graph: Graph) -> Iterator[Finding]:
    """A circle that no entry leads to is told as unreachable only."""
    reached = graph.reachable(graph.entries)
    for cycle in graph.cycles:
        step = next(step for step in graph.steps if step.event in cycle and set(step.emits) & set(cycle))
        way = " -> ".join(shortest_cycle(graph.successors, step.event))
        if not reached & set(cycle):
            message, hint = (
                f"no entry leads to the events {way}",
                "let a service emit one of them, or declare it external",
            )
            yield finding("unreachable-reaction", (*step.path, "event"), message, hint)
        else:
            message, hint = f"these events may follow one another for ever: {way}", "see to it that a service ends it"
            yield finding("cycle-with-exit", (*step.path, "emits"), message, hint)


def _names(graph: Graph) -> Iterator[Finding]:
    for event in graph.events:
        if is_command_like(event.name) and not event.external:
            message, hint = f'"{event.name}" sounds like an order', "name what has happened, such as OrderPlaced"
            yield finding("command-like-name", ("spec", "events", event.name), message, hint)


def is_command_like(name: str) -> bool:
    """Tell whether an event's name begins with an order (`CreateOrder`, `order.create`) and states no fact."""
    last = name.rpartition(".")[2]
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", last)]
    if not words or any(word.endswith("ed") or word in _PAST for word in words):
        return False
    return words[0] in _ORDERS or words[-1] == "command"


def _uncompensated(graph: Graph) -> Iterator[Finding]:
    """Only a reaction with `onFailure` says that it may fail for good; what it may undo follows from that event."""
    acting = {(step.service, step.event): step for step in graph.steps if step.reaction.compensates is None}
    undone = {failed: _undone(graph, failed) for failed in {failed for failed, _, _ in _failures(graph)}}
    before = {event: graph.causes_of(event) for event in {event for _, event, _ in _failures(graph)}}
    for failed, event, services in _failures(graph):
        for service, cause in [each for each in acting if each not in undone[failed]]:
            step, others = acting[service, cause], services - {service}
            if others and not before[event].isdisjoint(step.reaction.emits):
                del acting[service, cause]
                message = (
                    f'"{service}" acts on "{cause}" before "{min(others)}" may fail for good, and nothing undoes it'
                )
                hint = f'let "{service}" react to "{failed}" with compensates: {cause}'
                yield finding("uncompensated", (*step.path, "event"), message, hint)


def _undone(graph: Graph, failed: str) -> frozenset[tuple[str, str | None]]:
    """Return the service and event of each reaction that is undone in what follows from a failure."""
    after = graph.reachable([failed])
    undoing = [step for step in graph.steps if step.reaction.compensates is not None]
    return frozenset((step.service, step.reaction.compensates) for step in undoing if step.event in after)


def _failures(graph: Graph) -> Iterator[tuple[str, str, set[str]]]:
    """Yield each event that tells of a failure, with the event that was being processed and the services doing so."""
    found: dict[tuple[str, str], set[str]] = {}
    for step in graph.steps:
        if step.reaction.on_failure is not None:
            found.setdefault((step.reaction.on_failure, step.event), set()).add(step.service)
    return ((failed, event, services) for (failed, event), services in found.items())


def _long_chain(graph: Graph) -> Iterator[Finding]:
    chain = graph.longest_chain
    if len(chain) > LONGEST_CHAIN:
        message = f"{len(chain)} reactions follow one another, from {chain[0].event} to {chain[-1].event}"
        hint = f"make do with {LONGEST_CHAIN}, or split the choreography at an outcome"
        yield finding("long-chain", (*chain[LONGEST_CHAIN].path, "event"), message, hint)


def _window(choreography: Choreography, graph: Graph, bus: EventBus | None) -> Iterator[Finding]:
    """The replies of an event are stored again if it comes back after the stream has forgotten them."""
    if bus is None and choreography.spec.bus != DEFAULT_BUS:
        return
    window = (bus.spec.stream if bus else StreamSpec()).duplicate_window
    late = {step.path: back for step in graph.steps if (back := _back(choreography, step)) > window}
    own = {
        step.path
        for step in graph.steps
        if (delivery := step.reaction.delivery) and (delivery.timeout or delivery.backoff_max)
    }
    if shared := [back for path, back in late.items() if path not in own]:
        late = {("spec",): max(shared)}
    for path, back in late.items():
        spoken, known = format_duration(back), format_duration(window)
        message = f"an event may come back after {spoken}, and the bus knows its replies again for {known} only"
        hint = f"shorten timeout or backoffMax, or set duplicateWindow of the bus to {spoken}"
        yield finding("short-duplicate-window", (*path, "delivery"), message, hint)


def _back(choreography: Choreography, step: Step) -> float:
    """Return the seconds after which an event may come back whose ambassador died as it had stored the replies."""
    delivery = choreography.delivery_of(step.service, step.reaction)
    return max(delivery.timeout, ACK_WAIT) + ACK_WAIT + delivery.backoff_max


def _inbox(choreography: Choreography, graph: Graph, bus: EventBus | None) -> Iterator[Finding]:
    """An inbox that forgets an event while it may still come back is no inbox for it."""
    known = bus is not None or choreography.spec.bus == DEFAULT_BUS
    window = (bus.spec.stream if bus else StreamSpec()).duplicate_window if known else 0.0
    for step in graph.steps:
        if step.reaction.idempotency is None:
            continue
        ttl, back = step.reaction.idempotency.ttl, _back(choreography, step)
        if ttl >= max(back, window):
            continue
        late = f"an event may come back after {format_duration(back)}"
        if ttl >= back:
            late = f"the bus itself knows a duplicate for {format_duration(window)}"
        message = f"the inbox forgets an event after {format_duration(ttl)}, and {late}"
        hint = f'write ttl: {format_duration(max(back, window))} or more, such as "1d"'
        yield finding("short-inbox-ttl", (*step.path, "idempotency", "ttl"), message, hint)
