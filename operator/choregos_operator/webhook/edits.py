"""What an edit of a choreography or a bus does: fields that must not change, and what the user may not expect."""

from collections.abc import Iterator, Sequence
from typing import Final

from choregos_contract.event_bus import EventBus, StreamSpec
from choregos_contract.findings import DocumentPath, Finding, finding
from choregos_contract.quantities import format_duration, format_size
from choregos_contract.resources import Choreography
from choregos_contract.wiring import moment

_IDENTITY: Final = ("prefix", "partitions", "shards", "storage")
"""Fields of a stream from which its name, its subjects and its place follow."""


def forbidden(old: Choreography | EventBus, new: Choreography | EventBus) -> Iterator[Finding]:
    """Yield an error for each immutable field that an edit changes."""
    if isinstance(old, Choreography) and isinstance(new, Choreography):
        yield from _moved_starts(old, new)
    elif isinstance(old, EventBus) and isinstance(new, EventBus):
        before, after = old.spec.stream, new.spec.stream
        for name in _changed_identity(before, after):
            yield _immutable(("spec", "stream", name), getattr(before, name), "another bus needs another name")


def _moved_starts(old: Choreography, new: Choreography) -> Iterator[Finding]:
    if old.spec.bus != new.spec.bus:
        return  # its reactions begin anew there
    for name, service in new.spec.services.items():
        known = {each.event: each for each in (old.spec.services[name].reactions if name in old.spec.services else ())}
        for index, reaction in enumerate(service.reactions):
            before = known.get(reaction.event)
            if before is not None and moment(before.start_from) != moment(reaction.start_from):
                path = ("spec", "services", name, "reactions", index, "startFrom")
                yield _immutable(path, before.start_from, "its position is kept, wherever it began")


def _immutable(path: DocumentPath, before: object, reason: str) -> Finding:
    message = f'{path[-1]} was "{before}" and cannot be changed: {reason}'
    return finding("invalid-value", path, message, f"write {path[-1]}: {before}")


def _changed_identity(before: StreamSpec, after: StreamSpec) -> list[str]:
    return [name for name in _IDENTITY if getattr(before, name) != getattr(after, name)]


def consequences_of_choreography(
    old: Choreography, new: Choreography, others: Sequence[Choreography], orphan_ttl: float
) -> Iterator[str]:
    """Yield what happens to the unread events of reactions that are gone; `orphan_ttl` in seconds.

    A reaction that one of the `others` of the same bus claims as well goes on.
    """
    moved = old.spec.bus != new.spec.bus
    gone = _claims(old) - (frozenset() if moved else _claims(new))
    if gone:
        gone -= {claim for each in others if each.spec.bus == old.spec.bus for claim in _claims(each)}
    kept = format_duration(orphan_ttl)
    if moved and gone:
        yield (
            f'spec.bus: the reactions begin anew on the bus "{new.spec.bus}"; their unread events on '
            f'"{old.spec.bus}" stay there for {kept}, in case it is put back'
        )
        return
    for service, event in sorted(gone):
        yield (
            f'spec.services.{service}: the reaction to "{event}" is gone; its unread events stay in its durable '
            f"for {kept}, in case it is put back"
        )


def _claims(choreography: Choreography) -> frozenset[tuple[str, str]]:
    services = choreography.spec.services.items()
    return frozenset((name, reaction.event) for name, service in services for reaction in service.reactions)


def consequences_of_bus(old: EventBus | None, new: EventBus, *, used: bool) -> Iterator[str]:
    """Yield what an edit does to streams that may be there; `old` is None if the object is new.

    A bus that choreographies use before it has an object (`used`) was wired with the default settings.
    """
    if old is None:
        if used and (changed := _changed_identity(StreamSpec(), new.spec.stream)):
            yield (
                f"spec.stream: choreographies use this bus already, with the default {', '.join(changed)}; "
                "what they have stored stays behind in the old streams"
            )
        return
    if old.spec.servers != new.spec.servers:
        yield (
            "spec.servers: no event moves to other servers; pods that run keep their connections to the old ones "
            "until they are made anew"
        )
    yield from _shortened(old, new)


def _shortened(old: EventBus, new: EventBus) -> Iterator[str]:
    ages = (
        ("spec.stream.maxAge", old.spec.stream.max_age, new.spec.stream.max_age, "events"),
        ("spec.deadLetters.maxAge", old.spec.dead_letters.max_age, new.spec.dead_letters.max_age, "dead letters"),
    )
    for place, before, after, what in ages:
        if after < before:
            yield f"{place}: {what} older than {format_duration(after)} are removed at once, read or unread"
    rooms = (
        ("spec.stream.maxBytes", old.spec.stream.max_bytes, new.spec.stream.max_bytes, "refuses new events"),
        (
            "spec.deadLetters.maxBytes",
            old.spec.dead_letters.max_bytes,
            new.spec.dead_letters.max_bytes,
            "takes no dead letter, and events that fail for good stay with their reactions",
        ),
    )
    for place, room_before, room_after, then in rooms:
        if room_after < room_before:
            yield f"{place}: a stream that holds more than {format_size(room_after)} {then} until there is room"
    if new.spec.inbox.max_bytes < old.spec.inbox.max_bytes:
        room = format_size(new.spec.inbox.max_bytes)
        yield f"spec.inbox.maxBytes: an inbox that holds more than {room} forgets its oldest events at once"
