"""Whether choreographies, whose every field is right by itself, make sense as a whole.

One pure function serves the linter, the webhook and the controller. The errors of `refusals` come in stages, names
before references before cycles before reach, and a stage runs only if those before it found nothing, so that one
mistake gives one finding. The `cautions` come last, and only for a choreography without errors.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from choregos_contract.cautions import cautions
from choregos_contract.event_bus import EventBus
from choregos_contract.findings import CATALOGUE, Finding, Severity, closest, finding
from choregos_contract.graph import graph_of
from choregos_contract.neighbours import collisions, unfed
from choregos_contract.refusals import refusals
from choregos_contract.resources import IGNORE_ANNOTATION, Choreography


def check(choreography: Choreography, bus: EventBus | None = None) -> list[Finding]:
    """Return what is wrong with one choreography, or doubtful about it; `bus` is its EventBus, where that is known.

    Warnings whose codes stand in the annotation `choregos.dev/ignore`, separated by commas, are left out. Errors
    cannot be silenced: what they refuse could not run.
    """
    graph = graph_of([choreography])
    errors = refusals(choreography, graph)
    return _heeded(choreography, errors or [*cautions(choreography, graph, bus), *_useless(choreography)])


def check_together(choreographies: Sequence[Choreography]) -> list[Finding]:
    """Return what is doubtful between choreographies, given oldest first: of two that collide, the younger is told.

    Only warnings, because objects come and go; they are silenced as in `check`. The whole set must be given: whether
    anybody emits an external event cannot be seen from a part of it.
    """
    found: list[Finding] = []
    for index, choreography in enumerate(choreographies):
        found += check_beside(choreography, choreographies[:index], choreographies)
    return found


def check_beside(
    choreography: Choreography, elders: Sequence[Choreography], everyone: Sequence[Choreography]
) -> list[Finding]:
    """Return what is doubtful about one of `everyone` beside the others, of which `elders` are older; as above."""
    return _heeded(choreography, [*unfed(choreography, everyone), *collisions(choreography, elders)])


def _heeded(choreography: Choreography, findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that the annotation does not silence, each with the name of the choreography."""
    ignored = _ignored(choreography)
    heeded = (found for found in findings if found.severity is Severity.ERROR or found.code not in ignored)
    return [replace(found, resource=choreography.identity) for found in heeded]


def _ignored(choreography: Choreography) -> list[str]:
    codes = choreography.metadata.annotations.get(IGNORE_ANNOTATION, "").split(",")
    return [code.strip() for code in codes if code.strip()]


def _useless(choreography: Choreography) -> Iterator[Finding]:
    warnings = [code for code, rule in CATALOGUE.items() if rule.severity is Severity.WARNING]
    for code in _ignored(choreography):
        if code not in warnings:
            meant = closest(code, warnings)
            hint = f'did you mean "{meant}"?' if meant else "remove it"
            what = "is an error and cannot be ignored" if code in CATALOGUE else "is no code"
            yield finding("useless-ignore", ("metadata", "annotations", IGNORE_ANNOTATION), f'"{code}" {what}', hint)
