"""What is said of findings: each with all that ledgers and streams know of its event and its transaction."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from chaos.evidence import Evidence
from chaos.judgement import Finding, Judgement
from chaos.overlaps import over_at

MOST: Final = 10
"""Findings that are told in full; the others in one line each, up to five times as many."""


def lines(judgement: Judgement, evidence: Evidence) -> Iterator[str]:
    """Yield how many findings there are of each sort, then the findings, the first of them in full."""
    sorts = Counter(f"{each.wrong}: {each.sentence}" for each in judgement.findings)
    yield from (f"{number:6} x {sort}" for sort, number in sorts.most_common())
    for number, finding in enumerate(judgement.findings[: 5 * MOST]):
        yield str(finding)
        if number < MOST:
            yield from _told(finding, evidence)
    if (more := len(judgement.findings) - 5 * MOST) > 0:
        yield f"... and {more} more"


def _told(finding: Finding, evidence: Evidence) -> Iterator[str]:
    for event in evidence.streams.events:
        if event.correlation == finding.transaction:
            cause = f" because of {event.causation}" if event.causation else ""
            yield f"    stored   {event.wall:.3f}  {event.sequence:>7}  {event.type} {event.id}{cause}"
    for letter in evidence.streams.letters:
        if letter.correlation == finding.transaction:
            yield f"    buried   {letter.wall:.3f}  {letter.reaction} {letter.event}: {letter.reason}"
    for call in sorted(evidence.calls, key=lambda call: call.begun):
        if call.event == finding.event:
            answer = f"{call.status}{'' if call.good else ' (not good)'} {', '.join(call.replies)}"
            span = f"{call.begun:.3f} to {over_at(call):.3f}"
            yield f"    called   {span}  {call.reaction} attempt {call.attempt}: {answer}"
    done = sum(effect.event == finding.event for effect in evidence.effects)
    yield f"    effects  {done}"
