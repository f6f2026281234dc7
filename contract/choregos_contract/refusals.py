"""What a choreography cannot be run with: the errors of `checks`, in the stages that they are looked for.

Each stage may rely on the ones before it having found nothing.
"""

from collections.abc import Callable, Iterator
from typing import Final

from choregos_contract.findings import DocumentPath, Finding, closest, finding
from choregos_contract.graph import Graph, shortest_cycle
from choregos_contract.resources import Choreography, Service


def refusals(choreography: Choreography, graph: Graph) -> list[Finding]:
    """Return the errors of the first stage that has any."""
    return next((errors for stage in _STAGES if (errors := list(stage(choreography, graph)))), [])


def _services(choreography: Choreography) -> Iterator[tuple[str, Service, DocumentPath]]:
    for name, service in choreography.spec.services.items():
        yield name, service, ("spec", "services", name)


def _uses(choreography: Choreography) -> Iterator[tuple[str, DocumentPath]]:
    """Yield every event that is reacted to or emitted, with the place."""
    for _, service, path in _services(choreography):
        yield from ((event, (*path, "emits", index)) for index, event in enumerate(service.emits))
        for number, reaction in enumerate(service.reactions):
            here = (*path, "reactions", number)
            yield reaction.event, (*here, "event")
            yield from ((event, (*here, "emits", index)) for index, event in enumerate(reaction.emits))


def _names(choreography: Choreography, graph: Graph) -> Iterator[Finding]:
    """An event that is not declared is told once, however often it is used; so is every second reaction."""
    declared = choreography.spec.events
    unknown: dict[str, list[DocumentPath]] = {}
    for event, path in _uses(choreography):
        if event not in declared:
            unknown.setdefault(event, []).append(path)
    for event, paths in unknown.items():
        meant = closest(event, declared)
        more = f" (used in {len(paths)} places)" if len(paths) > 1 else ""
        hint = f'did you mean "{meant}"?' if meant else "declare it under spec.events"
        yield finding("unknown-event", paths[0], f'the event "{event}" is not declared{more}', hint)
    for event, steps in graph.steps_on.items():
        seen: set[str] = set()
        for step in steps:
            if step.service in seen:
                message = f'the service "{step.service}" reacts to "{event}" a second time'
                yield finding("duplicate-reaction", (*step.path, "event"), message, "make one reaction of the two")
            seen.add(step.service)


def _references(choreography: Choreography, _: Graph) -> Iterator[Finding]:
    for name, service, path in _services(choreography):
        for number, reaction in enumerate(service.reactions):
            here = (*path, "reactions", number)
            for field, event in (("onSuccess", reaction.on_success), ("onFailure", reaction.on_failure)):
                if event is not None and event not in reaction.emits:
                    meant = closest(event, reaction.emits)
                    hint = f'did you mean "{meant}"?' if meant else f'add "{event}" to emits'
                    message = f'{field} names "{event}", which is not among the events that this reaction emits'
                    yield finding("not-in-emits", (*here, field), message, hint)
            others = [other.event for other in service.reactions if other is not reaction]
            if reaction.compensates is not None and reaction.compensates not in others:
                meant = closest(reaction.compensates, others)
                hint = f'did you mean "{meant}"?' if meant else "name an event that this service reacts to"
                message = f'the service "{name}" has no reaction to "{reaction.compensates}" that could be undone'
                yield finding("compensates-nothing", (*here, "compensates"), message, hint)


def _sources(choreography: Choreography, graph: Graph) -> Iterator[Finding]:
    for name, spec in choreography.spec.events.items():
        if name not in graph.emitted and not spec.external:
            services = [step.service for step in graph.steps_on[name]]
            waiting = f', though "{services[0]}" reacts to it' if services else ""
            hint = "add it to the emits of a service or reaction, or declare it {external: true}"
            yield finding("never-emitted", ("spec", "events", name), f'nothing here emits "{name}"{waiting}', hint)


def _cycles(_: Choreography, graph: Graph) -> Iterator[Finding]:
    for cycle in graph.cycles:
        inside = [step for step in graph.steps if step.event in cycle and set(step.emits) & set(cycle)]
        if not any(set(step.emits) - set(cycle) for step in inside):
            way = " -> ".join(shortest_cycle(graph.successors, inside[0].event))
            hint = "let one of these reactions emit an event outside of the circle, such as an outcome"
            yield finding("endless-cycle", (*inside[0].path, "emits"), f"these events never end: {way}", hint)


def _reach(_: Choreography, graph: Graph) -> Iterator[Finding]:
    """Every transaction that a service begins here, and that goes on here, must have an outcome within reach.

    An event that nobody here reacts to, or that comes from outside, may go on elsewhere; those count only if no entry
    at all leads to an outcome.
    """
    outcomes = set(graph.outcomes)
    if not outcomes:
        return
    own = {publication.event for publication in graph.publications}
    lost = [name for name in graph.entries if not graph.reachable([name]) & outcomes]
    stuck = [name for name in lost if name in own and graph.steps_on[name]]
    if len(lost) == len(graph.entries):
        stuck = [*stuck, *lost, *graph.outcomes][:1]
    for name in stuck:
        message = f'no way leads from "{name}" to an outcome' if name not in outcomes else f'nothing leads to "{name}"'
        hint = "let a reaction on the way emit an outcome, or declare the last event to be one"
        yield finding("outcome-out-of-reach", ("spec", "events", name), message, hint)


_STAGES: Final[tuple[Callable[[Choreography, Graph], Iterator[Finding]], ...]] = (
    _names,
    _references,
    _sources,
    _cycles,
    _reach,
)
