"""The wiring that choreographies want of their bus: streams and durables, as values.

Metadata on the server records what a configuration cannot show: the moduli that the subjects in a stream were written
with, and where a durable was asked to start. `plan` compares, `wire` applies.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from choregos_contract import event_bus
from choregos_contract.configuration import CLAIM_SLACK
from choregos_contract.configure import Claim, bus_names, bus_names_of, claims
from choregos_contract.event_bus import EventBus
from choregos_contract.names import BusNames
from choregos_contract.resources import Choreography

OURS = "choregos.dev/"
"""Begins the keys of stream and durable metadata that are ours; all others are let be."""
PARTITIONS = OURS + "partitions"
SHARDS = OURS + "shards"
START_FROM = OURS + "start-from"
CREATED = OURS + "created"
ORPHANED = OURS + "orphaned"
"""Since when (RFC 3339) no choreography wants this durable; the next one that does takes the mark away."""
APPLIED = OURS + "applied"
"""What the operator last asked of a stream, as JSON: by it a change by other hands is told from a new wish."""
ATOMIC_BATCHES = (2, 12)
MESSAGE_TTL = (2, 11)
ACK_WAIT = 30.0
"""Seconds until the server gives an event to another ambassador, unless its lease is extended."""

NOTE_BYTES = 2**26
"""Room for the ambassadors' notes: some 500 000 of them."""
_SHORT_WINDOW = 120.0
"""JetStream's default; notes carry no message id."""


def version(text: str) -> tuple[int, int]:
    """Return major and minor of a nats-server's version; an unreadable one counts as the oldest."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@dataclass(frozen=True, slots=True)
class Stream:
    """One wanted stream. Times in seconds."""

    name: str
    subjects: tuple[str, ...]
    storage: str
    replicas: int
    max_age: float
    max_bytes: int
    duplicate_window: float
    partitions: int
    shards: int
    atomic: bool = False
    """Whether several events may be stored as one batch."""
    bucket: bool = False
    """Whether it is a key-value bucket (ADR-8): the last value of every key."""
    inbox: bool = False
    """Whether it is the inbox: made when a reaction first asks for it, and the oldest goes when it is full."""

    def __str__(self) -> str:
        return f"stream {self.name}"

    def to_config(self, server_version: str) -> dict[str, Any]:
        """Return JetStream's configuration of the stream, without what that server would not know."""
        config: dict[str, Any] = {
            "name": self.name,
            "subjects": list(self.subjects),
            "retention": "limits",
            "discard": "old" if self.inbox else "new",
            "storage": self.storage,
            "num_replicas": self.replicas,
            "max_age": _nanoseconds(self.max_age),
            "max_bytes": self.max_bytes,
            "duplicate_window": _nanoseconds(self.duplicate_window),
            "allow_direct": True,
            "metadata": {PARTITIONS: str(self.partitions), SHARDS: str(self.shards)},
        }
        if self.atomic and version(server_version) >= ATOMIC_BATCHES:
            config["allow_atomic"] = True
        if self.bucket:
            config |= {"max_msgs_per_subject": 1, "allow_rollup_hdrs": True, "deny_delete": True}
        if self.inbox and version(server_version) >= MESSAGE_TTL:
            config["allow_msg_ttl"] = True
        return config


@dataclass(frozen=True, slots=True)
class Durable:
    """One wanted durable: the position of the reaction (service, event)."""

    stream: str
    name: str
    filters: tuple[str, ...]
    max_in_flight: int
    start_from: str
    """`created`, `all`, or an RFC 3339 time in UTC, spelled as `moment` does."""
    service: str
    event: str
    owner: str
    resume_at: int | None = None
    """Sequence to begin at if it has to be made: where a durable of this name was that is gone. Else `start_from` says."""

    def __str__(self) -> str:
        return f"durable {self.name} of stream {self.stream}"

    def to_config(self, now: str) -> dict[str, Any]:
        """Return JetStream's configuration of the durable, if it is created at `now` (RFC 3339)."""
        config: dict[str, Any] = {
            "durable_name": self.name,
            "name": self.name,
            "filter_subjects": list(self.filters),
            "ack_policy": "explicit",
            "ack_wait": _nanoseconds(ACK_WAIT),
            "max_deliver": -1,
            "max_ack_pending": self.max_in_flight,
            "deliver_policy": {"created": "new", "all": "all"}.get(self.start_from, "by_start_time"),
            "metadata": {
                OURS + "owner": self.owner,
                OURS + "service": self.service,
                OURS + "event": self.event,
                START_FROM: self.start_from,
                CREATED: now,
            },
        }
        if config["deliver_policy"] == "by_start_time":
            config["opt_start_time"] = self.start_from
        if self.resume_at is None:
            return config
        config.pop("opt_start_time", None)
        return config | {"deliver_policy": "by_start_sequence", "opt_start_seq": self.resume_at}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The streams and durables of one bus."""

    streams: tuple[Stream, ...]
    durables: tuple[Durable, ...]
    explicit: bool = True
    """Whether an EventBus says how the streams shall be; otherwise the defaults do."""


def wanted(choreographies: Sequence[Choreography], bus: EventBus | None, namespace: str) -> Wanted:
    """Return what these choreographies need of their bus; raise ValueError if they do not share one bus."""
    names = bus_names_of(choreographies, bus) if choreographies else bus_names(bus, namespace)
    spec = bus.spec if bus else event_bus.EventBusSpec()
    claimed = claims(choreographies)
    return Wanted(
        (_events(names, spec), _dead_letters(names, spec), _notes(names, spec), *_inbox(names, spec, claimed)),
        tuple(_durable(names, claim) for claim in claimed),
        explicit=bus is not None,
    )


def moment(start_from: str) -> str:
    """Return one spelling for all that say the same moment, in UTC; `created` and `all` stay as they are."""
    if start_from in ("created", "all"):
        return start_from
    # Only whole seconds go through datetime, which has no nanoseconds.
    whole, rest = start_from[:19], start_from[19:]
    offset = rest.lstrip(".0123456789")
    try:
        utc = datetime.fromisoformat((whole + offset).upper()).astimezone(UTC).replace(tzinfo=None)
    except OverflowError:  # within a day of year 1 or 9999
        return start_from
    fraction = rest.removesuffix(offset).rstrip("0").rstrip(".")
    return f"{utc.isoformat()}{fraction}Z"


def _events(names: BusNames, spec: event_bus.EventBusSpec) -> Stream:
    stream = spec.stream
    return Stream(
        name=names.event_stream,
        subjects=names.event_stream_subjects,
        storage=stream.storage,
        replicas=stream.replicas,
        max_age=stream.max_age,
        max_bytes=stream.max_bytes,
        duplicate_window=stream.duplicate_window,
        partitions=names.partitions,
        shards=names.shards,
        atomic=True,
    )


def _dead_letters(names: BusNames, spec: event_bus.EventBusSpec) -> Stream:
    letters = spec.dead_letters
    return Stream(
        name=names.dead_letter_stream,
        subjects=names.dead_letter_stream_subjects,
        storage=spec.stream.storage,
        replicas=spec.stream.replicas,
        max_age=letters.max_age,
        max_bytes=letters.max_bytes,
        # The server refuses a window that is longer than what it keeps.
        duplicate_window=min(spec.stream.duplicate_window, letters.max_age),
        partitions=names.partitions,
        shards=names.shards,
    )


def _notes(names: BusNames, spec: event_bus.EventBusSpec) -> Stream:
    stream = spec.stream
    return Stream(
        name=f"KV_{names.note_bucket}",
        subjects=(f"$KV.{names.note_bucket}.>",),
        storage=stream.storage,
        replicas=stream.replicas,
        # A note of a hand-back is of no use without its event; one of what was unread is, to who finds the event gone.
        max_age=2 * stream.max_age,
        max_bytes=NOTE_BYTES,
        duplicate_window=min(stream.duplicate_window, _SHORT_WINDOW),
        partitions=names.partitions,
        shards=names.shards,
        bucket=True,
    )


def _inbox(names: BusNames, spec: event_bus.EventBusSpec, claimed: Sequence[Claim]) -> tuple[Stream, ...]:
    """Return the inbox if any reaction has `idempotency`; it keeps everything for as long as the most demanding asks."""
    ages = [_remembered(claim) for claim in claimed if claim.reaction.idempotency]
    if not ages:
        return ()
    stream = Stream(
        name=f"KV_{names.inbox_bucket}",
        subjects=(f"$KV.{names.inbox_bucket}.>",),
        storage=spec.stream.storage,
        replicas=spec.stream.replicas,
        max_age=max(ages),
        max_bytes=spec.inbox.max_bytes,
        # Entries carry no message id; and whatever the age is to be one day, the window fits.
        duplicate_window=1.0,
        partitions=names.partitions,
        shards=names.shards,
        bucket=True,
        inbox=True,
    )
    return (stream,)


def _remembered(claim: Claim) -> float:
    """Return the seconds for which an entry of a reaction must live: no claim may be forgotten during its call."""
    assert claim.reaction.idempotency
    timeout = claim.choreography.delivery_of(claim.service, claim.reaction).timeout
    return max(claim.reaction.idempotency.ttl, timeout + CLAIM_SLACK)


def _durable(names: BusNames, claim: Claim) -> Durable:
    reaction, metadata = claim.reaction, claim.choreography.metadata
    return Durable(
        stream=names.event_stream,
        name=names.durable(claim.service, reaction.event),
        filters=names.durable_filters(claim.service, reaction.event),
        max_in_flight=claim.choreography.delivery_of(claim.service, reaction).max_in_flight,
        start_from=moment(reaction.start_from),
        service=claim.service,
        event=reaction.event,
        owner=metadata.uid or f"{metadata.namespace}/{metadata.name}",
    )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)
