"""The judge: says from ledgers and streams alone what was lost, what was done twice, and what is stuck. Pure.

It takes a round that has come to rest, and knows nothing of faults: whatever happened, the same must hold.

* Every event that a customer was promised is in the stream, and no two of them were promised the same one.
* Every (event, reaction) ended in exactly one of two ways. Acknowledged: a call of it was completed, and each event of
  its answer is stored once. Dead letter: one, its failure event is stored once, and none of the replies.
* Nothing is in a durable's hand, or to come.
* No event stands in the stream twice, however long the one is after the other, and no order under two ids; every event
  follows from one that is there, and has its data, which each service passes on as it is: no answer was taken for another's.
* An event is given up only for what its service answered to it.
* Every transaction has one outcome; one in which the dead letter of a hop that leads there takes its place is settled, too.
* Each effect was done once, and an event's calls had one key; with `idempotency` no event was in two calls at a time.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from chaos.choreography import ENTRY, OUTCOMES, ROLES, Role
from chaos.evidence import Call, Evidence
from chaos.judgement import Finding, Judgement, Wrong
from chaos.overlaps import grouped, guarded_pairs, over_at
from chaos.streams import Letter, StoredEvent

REFUSALS: Final = frozenset({410, 413, 415, 422, 501})
"""Statuses at which an event is given up."""
SILENT: Final = frozenset({"too-many-hops"})
"""Reasons of dead letters that no failure event goes with."""


_DESERVED: Final[Mapping[str, Callable[[Call], bool]]] = {
    "rejected": lambda call: call.status in REFUSALS,
    "invalid-reply": lambda call: call.status == 200 and not call.good,
    "exhausted": lambda call: not call.completed,
}
"""What calls a dead letter needs for its reason; a reason that is not here has no place in a round."""


def judge(evidence: Evidence) -> Judgement:
    """Judge a round."""
    case = _Case(evidence)
    found = [
        *(*case.promises(), *case.copies(), *case.strays(), *case.hops()),
        *(*case.effects(), *case.keys(), *case.crowds()),
    ]
    told = {each.transaction for each in found if each.wrong is not Wrong.DOUBLED}
    return Judgement(tuple(dict.fromkeys([*found, *case.transactions(told)])))


class _Case:
    """The evidence of one round, sorted."""

    def __init__(self, evidence: Evidence) -> None:
        self._accepted = evidence.accepted
        self._events = evidence.streams.events
        self._stored = {each.id: each for each in self._events}
        self._calls = grouped(evidence.calls, lambda call: (call.event, call.reaction))
        self._effects = grouped(evidence.effects, lambda effect: (effect.event, effect.reaction))
        self._letters = grouped(evidence.streams.letters, lambda letter: (letter.event, letter.reaction))
        self._replies = grouped(self._events, lambda event: event.causation)
        self._positions = {each.reaction: each for each in evidence.streams.positions}

    def promises(self) -> Iterator[Finding]:
        """Find what customers were promised, and is not there."""
        for each in self._accepted:
            if each.event not in self._stored:
                yield Finding(Wrong.LOST, "it was accepted, and is not in the stream", each.event, each.correlation)
        for event, number in Counter(each.event for each in self._accepted).items():
            if number > 1:
                yield self._finding(
                    Wrong.LOST, f"{number} customers were promised it: all but one are forgotten", event
                )

    def copies(self) -> Iterator[Finding]:
        """Find events that stand in the stream twice, under the same id or under another."""
        for event, number in Counter(each.id for each in self._events).items():
            if number > 1:
                yield self._finding(Wrong.DOUBLED, f"it is in the stream {number} times", event)
        for (cause, kind), ids in grouped(self._events, lambda each: (each.causation, each.type)).items():
            if cause and len({each.id for each in ids}) > 1:
                yield self._finding(Wrong.DOUBLED, f"it was answered with {len(ids)} {kind}", cause)
        for orders in grouped((each for each in self._events if each.type == ENTRY), lambda each: each.data).values():
            if len(copies := {each.id for each in orders}) > 1:
                yield self._finding(Wrong.DOUBLED, f"its order is on the bus under {len(copies)} ids", orders[-1].id)

    def strays(self) -> Iterator[Finding]:
        """Find events that follow from nothing that is there, or hold what was answered to another."""
        for event in self._events:
            cause = self._stored.get(event.causation)
            if event.type == ENTRY:
                continue
            if cause is None:
                yield self._finding(
                    Wrong.LOST, f"what it follows from, {event.causation}, is not in the stream", event.id
                )
            elif not any(event.type in role.emits for role in ROLES if role.event == cause.type):
                yield self._finding(Wrong.DOUBLED, f"nobody answers {cause.type} with {event.type}", event.id)
            elif event.data != cause.data:
                yield self._finding(
                    Wrong.LOST, f"its data is {event.data}, and not {cause.data}, as answered", event.id
                )

    def hops(self) -> Iterator[Finding]:
        """Find hops that ended in no way, in two ways, or by halves."""
        for role in ROLES:
            events = {each.id: each for each in self._events if each.type == role.event}.values()
            pending = self._pending(events, role)
            for event in events:
                yield from self._hop(event, role, past=event.id not in pending)
            yield from self._in_hand(events, role)

    def _in_hand(self, events: Collection[StoredEvent], role: Role) -> Iterator[Finding]:
        """Find what a durable still counts although its hop is at an end: it is not acknowledged, and comes for ever.

        It counts what is not at an end first, which `_acknowledged` tells of; of the rest, the oldest are named.
        """
        if (position := self._positions.get(role.name)) is None:
            return
        beyond = sorted((each for each in events if each.sequence > position.floor), key=_sequence)
        ended = [event.id for event in beyond if self._completed(event, role) or self._buried_by(event, role)]
        more = position.pending - (len(beyond) - len(ended))
        unknown = (f"{role.name}-{number}" for number in range(more))  # in hand, and not in the stream
        for event in [*ended, *unknown][: max(0, more)]:
            yield self._finding(Wrong.STUCK, f"{role.name} has not acknowledged it", event)

    def _pending(self, events: Iterable[StoredEvent], role: Role) -> set[str]:
        """Return the events that the durable may deliver still.

        It tells how many there are beyond its floor, not which; what no call completed is taken for them first.
        """
        position = self._positions.get(role.name)
        beyond = [event for event in events if position is None or event.sequence > position.floor]
        unfinished = [
            event for event in beyond if not self._completed(event, role) and not self._buried_by(event, role)
        ]
        if position is not None and len(unfinished) >= position.pending:
            return {event.id for event in unfinished} if position.pending else set()
        return {event.id for event in beyond}

    def _completed(self, event: StoredEvent, role: Role) -> list[Call]:
        return [call for call in self._calls.get((event.id, role.name), []) if call.completed]

    def _buried_by(self, event: StoredEvent, role: Role) -> list[Letter]:
        return self._letters.get((event.id, role.name), [])

    def _hop(self, event: StoredEvent, role: Role, *, past: bool) -> Iterator[Finding]:
        letters = self._buried_by(event, role)
        replies = [each.type for each in self._replies.get(event.id, []) if each.type in role.emits]
        if letters:
            yield from self._buried(event, role, letters, replies)
        elif role.on_failure in replies:
            yield self._finding(
                Wrong.LOST, f"{role.name} emitted {role.on_failure}, and no dead letter is there", event.id
            )
        else:
            yield from self._acknowledged(event, role, replies, past=past)

    def _buried(
        self, event: StoredEvent, role: Role, letters: Sequence[Letter], replies: Sequence[str]
    ) -> Iterator[Finding]:
        if len(letters) > 1:
            yield self._finding(Wrong.DOUBLED, f"{role.name} has {len(letters)} dead letters of it", event.id)
        if others := [each for each in replies if each != role.on_failure]:
            told = f"{role.name} has a dead letter of it and answered it with {', '.join(others)}"
            yield self._finding(Wrong.DOUBLED, told, event.id)
        owed = role.on_failure and not SILENT & {each.reason for each in letters}
        emitted = role.on_failure in replies
        if owed and not emitted:
            yield self._finding(Wrong.LOST, f"{role.name} has a dead letter of it, and no {role.on_failure}", event.id)
        for letter in letters:
            if not self._deserved(letter):
                told = f"{role.name} has given it up as {letter.reason}, and the service never said so"
                yield self._finding(Wrong.LOST, told, event.id)
            if letter.failure_emitted != emitted:
                told = (
                    f"its dead letter says that a failure event was {'' if letter.failure_emitted else 'not '}emitted"
                )
                yield self._finding(Wrong.LOST, f"{told}, which is wrong", event.id)
            if letter.data != event.data:
                yield self._finding(Wrong.LOST, f"its dead letter holds {letter.data}, and not {event.data}", event.id)

    def _deserved(self, letter: Letter) -> bool:
        """Whether what the service did with an event is a reason to give it up: outages, kills and a full bus are none."""
        known = _DESERVED.get(letter.reason)
        return known is not None and any(known(call) for call in self._calls.get((letter.event, letter.reaction), []))

    def _acknowledged(self, event: StoredEvent, role: Role, replies: Sequence[str], *, past: bool) -> Iterator[Finding]:
        completed = self._completed(event, role)
        if not completed:
            if past:
                told = f"{role.name} is past it, no call of it was completed and there is no dead letter"
                yield self._finding(Wrong.LOST, told, event.id)
            else:
                yield self._finding(Wrong.STUCK, f"{role.name} has not come past it", event.id)
        elif past and not any(set(call.replies) == set(replies) for call in completed):
            answered = ", ".join(completed[-1].replies) or "nothing"
            told = f"{role.name} answered it with {answered}, and {', '.join(replies) or 'nothing'} is stored"
            more = set(replies).difference(*(call.replies for call in completed))
            yield self._finding(Wrong.DOUBLED if more else Wrong.LOST, told, event.id)

    def transactions(self, told: Collection[str]) -> Iterator[Finding]:
        """Find transactions with two outcomes, or none; where an event is lost or stuck, that is `told` already."""
        leading = {role.name for role in ROLES if role.emits}
        letters = [letter for each in self._letters.values() for letter in each]
        buried = {letter.correlation for letter in letters if letter.reaction in leading}
        for transaction, events in grouped(self._events, lambda event: event.correlation).items():
            outcomes = [each.type for each in events if each.type in OUTCOMES]
            if len(outcomes) > 1:
                sentence = f"its transaction has the outcomes {', '.join(outcomes)}"
                yield Finding(Wrong.DOUBLED, sentence, events[0].id, transaction)
            elif not outcomes and transaction not in buried and transaction not in told:
                yield Finding(Wrong.STUCK, "its transaction has no outcome", events[0].id, transaction)

    def effects(self) -> Iterator[Finding]:
        """Find effects that were done twice, and calls that were answered without one."""
        for (event, reaction), effects in self._effects.items():
            if len(effects) > 1:
                yield self._finding(Wrong.DOUBLED, f"{reaction} did its effect {len(effects)} times", event)
        for (event, reaction), calls in self._calls.items():
            if any(call.completed for call in calls) and (event, reaction) not in self._effects:
                yield self._finding(Wrong.LOST, f"{reaction} answered it, and its effect was not done", event)

    def keys(self) -> Iterator[Finding]:
        """Find events that were brought to a service under several keys."""
        for (event, reaction), calls in self._calls.items():
            if len(keys := {call.key for call in calls}) > 1:
                yield self._finding(Wrong.DOUBLED, f"{reaction} was called with it under {len(keys)} keys", event)

    def crowds(self) -> Iterator[Finding]:
        """Find events that were in two calls at the same time, of reactions whose inbox must prevent it."""
        for earlier, later in guarded_pairs(self._calls):
            if (over := over_at(earlier) - later.begun) > 0:
                told = f"{later.reaction} was called with it again {over * 1e3:.0f} ms before the call was over"
                yield self._finding(Wrong.DOUBLED, told, later.event)

    def _finding(self, wrong: Wrong, sentence: str, event: str) -> Finding:
        stored = self._stored.get(event)
        return Finding(wrong, sentence, event, stored.correlation if stored else "")


def _sequence(event: StoredEvent) -> int:
    return event.sequence
