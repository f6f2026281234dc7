"""A choreography in sentences: a line for each reaction, and for each event that may follow from it. Pure."""

from collections.abc import Iterator
from typing import Any, Final

from choregos_cli.paths import Mention, Story, Way, time_to_dead_letter
from choregos_contract.event import MAX_HOPS
from choregos_contract.graph import Step, shortest_cycle
from choregos_contract.quantities import format_duration

LONGEST_WAY: Final = 8
"""Reactions of a way that are named one by one."""
CAVEAT: Final = (
    "Times are the most that time-outs and backoffs can add up to. On top come the waits that a service asks for by "
    "Retry-After, each up to backoffMax, and all the time in which the bus or a service is away or busy."
)
_OUTCOMES: Final = {"completed": "the transaction is completed", "failed": "the transaction has failed"}


def prose(story: Story) -> Iterator[str]:
    """Yield the lines that tell a story."""
    namespace, bus = story.scope
    yield f"{', '.join(story.names)}, in namespace {namespace} on bus {bus}"
    for depth, part in story.tale():
        if depth == 0:
            yield ""
        yield "   " * depth + (_event(story, part) if isinstance(part, Mention) else _reaction(story, part))
    yield ""
    for entry in story.graph.entries:
        if (way := story.longest[entry]).steps:
            yield f"From {entry}, a transaction takes {format_duration(way.seconds)} at most: by {_named(way)}."
    yield from _circles(story)
    for step in story.never_reached():
        yield f"No entry leads to {_name(step)}."


def as_json(story: Story) -> dict[str, Any]:
    """Return a story as one JSON object; times are in seconds."""
    graph = story.graph
    entries = [(entry, story.longest[entry]) for entry in graph.entries]
    return {
        "choreographies": list(story.names),
        "namespace": story.scope.namespace,
        "bus": story.scope.bus,
        "events": [
            {"name": event.name, "description": event.description, "outcome": event.outcome, "external": event.external}
            for event in graph.events
        ],
        "entries": [
            {
                "event": entry,
                "publishedBy": _publishers(story, entry),
                "longest": way.seconds,
                "longestWay": [_name(step) for step in way.steps],
            }
            for entry, way in entries
        ],
        "reactions": [_reaction_as_json(story, step) for step in graph.steps],
        "cycles": [list(shortest_cycle(graph.successors, cycle[0])) for cycle in graph.cycles],
        "neverReached": [_name(step) for step in story.never_reached()],
    }


def _reaction_as_json(story: Story, step: Step) -> dict[str, Any]:
    delivery, reaction = story.delivery(step), step.reaction
    return {
        "service": step.service,
        "event": step.event,
        "path": reaction.path,
        "emits": list(step.emits),
        "onSuccess": reaction.on_success,
        "onFailure": reaction.on_failure,
        "compensates": reaction.compensates,
        "idempotencyTtl": reaction.idempotency.ttl if reaction.idempotency else None,
        "suspended": reaction.suspend,
        "attempts": delivery.retry + 1,
        "timeout": delivery.timeout,
        "timeToDeadLetter": time_to_dead_letter(delivery),
    }


def _event(story: Story, mention: Mention) -> str:
    event = next(each for each in story.graph.events if each.name == mention.event)
    says = [event.name] if mention.after is None else [f"{_when(mention.after, event.name)}: {event.name}"]
    if mention.told:
        again = mention.after is not None and _in_one_circle(story, mention.after.event, event.name)
        return f"{says[0]}, {'and round again' if again else 'as told above'}"
    if mention.after is None:
        publishers = _publishers(story, event.name)
        says.append(f"published by {' and '.join(publishers)}" if publishers else "from outside")
    if event.outcome:
        says.append(_OUTCOMES[event.outcome])
    elif not story.graph.steps_on[event.name]:
        says.append("nobody here reacts to it")
    description = " ".join(event.description.split())
    return ", ".join(says) + (f" ({description})" if description else "")


def _reaction(story: Story, step: Step) -> str:
    reaction = step.reaction
    undone = f", to undo what it did on {reaction.compensates}" if reaction.compensates else ""
    beside = f" and {reaction.on_failure}" if reaction.on_failure else ""
    if reaction.suspend:
        return f"-> {step.service}, POST {reaction.path}{undone}; suspended, events wait"
    limit = format_duration(time_to_dead_letter(story.delivery(step)))
    inbox = reaction.idempotency
    once = f", one call at a time, remembered for {format_duration(inbox.ttl)}" if inbox else ""
    return f"-> {step.service}, POST {reaction.path}{undone}{once}; if it fails, a dead letter{beside} within {limit}"


def _when(step: Step, event: str) -> str:
    """Say when a reaction emits an event. What `onFailure` names, the service may answer with as well."""
    reaction = step.reaction
    sure = event == reaction.on_success or (reaction.required and step.emits == (event,))
    when = "on success" if sure else "if it answers so"
    return f"{when}, or if it fails" if event == reaction.on_failure else when


def _circles(story: Story) -> Iterator[str]:
    for cycle in story.graph.cycles:
        way = " -> ".join(shortest_cycle(story.graph.successors, cycle[0]))
        yield f"{way} may go round until {MAX_HOPS} hops are behind; the next event is a dead letter."


def _in_one_circle(story: Story, *events: str) -> bool:
    return any(set(events) <= set(cycle) for cycle in story.graph.cycles)


def _publishers(story: Story, event: str) -> list[str]:
    return [publication.service for publication in story.graph.publications if publication.event == event]


def _named(way: Way) -> str:
    if len(way.steps) > LONGEST_WAY:
        return f"{len(way.steps)} reactions"
    return ", ".join(_name(step) for step in way.steps)


def _name(step: Step) -> str:
    return f"{step.service}/{step.event}"
