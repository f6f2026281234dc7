"""What one bus holds at this moment, in a handful of requests: streams, durables with their lag, dead letters.

No I/O of its own: `ask` sends one request, as in `wire`. The operator wires by it, and the CLI shows it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from choregos_contract.names import BusNames
from choregos_contract.pages import Page, durable_pages, subject_counts, subject_pages
from choregos_contract.plan import Actual, Existing
from choregos_contract.wire import STREAM_NOT_FOUND, Ask, JetStreamError, request
from choregos_contract.wiring import ORPHANED, OURS

_SERVICE: Final = OURS + "service"
_EVENT: Final = OURS + "event"
_OWNER: Final = OURS + "owner"


class Reaction(NamedTuple):
    """Whose a durable or a dead letter is."""

    service: str
    event: str

    def __str__(self) -> str:
        return f"{self.service}/{self.event}"


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream as it is."""

    existing: Existing
    messages: int
    size: int
    """Bytes."""
    most: int
    """Bytes that it takes; -1 for no limit."""
    replicas: tuple[str, ...] = ()
    """Names of its replicas that are current, the leader first; empty on a server that is no cluster."""
    leader: str = ""
    """Empty if it is a cluster's and has none."""

    @property
    def created(self) -> str:
        """When it was made (RFC 3339): sequences mean nothing in another stream of the same name."""
        return self.existing.created

    @property
    def last_sequence(self) -> int:
        """Sequence of the last message that it ever stored."""
        return self.existing.last_sequence


@dataclass(frozen=True, slots=True)
class DurableState:
    """A durable of the event stream as it is, whoever made it."""

    name: str
    existing: Existing
    floor: int = 0
    """Sequence up to which every event is acknowledged."""
    unread: int = 0
    in_hand: int = 0
    """Events that are read and not acknowledged, those that wait out a backoff included."""
    redelivered: int = 0
    """Those of them that were delivered before."""
    waiting: int = 0
    """Requests of readers that wait for its next event."""
    delivered: int = 0
    """Deliveries since it was made, repetitions included."""

    @property
    def ours(self) -> bool:
        """Whether it was made by Choregos."""
        return _SERVICE in self.existing.ours

    @property
    def owner(self) -> str:
        """The uid of the choreography that it was made for, `namespace/name` outside a cluster; empty if not ours."""
        return self.existing.ours.get(_OWNER, "")

    @property
    def of_cluster(self) -> bool:
        """Whether it was made for an object of a cluster, whose controller may give it up; others are let be."""
        return bool(self.owner) and "/" not in self.owner

    @property
    def reaction(self) -> Reaction:
        """The reaction that it was made for."""
        return Reaction(self.existing.ours.get(_SERVICE, ""), self.existing.ours.get(_EVENT, ""))

    @property
    def lag(self) -> int:
        """Events that are unread, or read and not acknowledged."""
        return self.unread + self.in_hand

    @property
    def in_use(self) -> bool:
        """Whether somebody reads it, or has something of it in hand."""
        return self.in_hand > 0 or self.waiting > 0

    @property
    def max_in_flight(self) -> int:
        """How many may be in hand at once."""
        return int(self.existing.config.get("max_ack_pending", 0))

    @property
    def orphaned_since(self) -> str:
        """When its reaction went (RFC 3339); empty if it is wanted."""
        return self.existing.ours.get(ORPHANED, "")


@dataclass(frozen=True, slots=True)
class BusSurvey:
    """All of it."""

    streams: Mapping[str, StreamState]
    """Those of the four that there are: events, dead letters, notes, inbox."""
    durables: Mapping[str, DurableState]
    """By name."""
    out_of_sight: frozenset[str]
    """Durables that exist, and of which no server of the cluster can tell more at the moment."""
    dead_letters: Mapping[Reaction, int]

    def actual(self, names: BusNames) -> Actual:
        """Return the same as `choregos_contract.plan` takes it."""
        streams = {name: state.existing for name, state in self.streams.items()}
        durables = {(names.event_stream, name): state.existing for name, state in self.durables.items()}
        return Actual(streams, durables)


async def survey(ask: Ask, names: BusNames) -> BusSurvey:
    """Look at everything; raises JetStreamError, ListTooLong, and what `ask` raises."""
    events = await _stream(ask, names.event_stream)
    letters, counts = await _dead_letters(ask, names)
    buckets = [await _stream(ask, f"KV_{bucket}") for bucket in (names.note_bucket, names.inbox_bucket)]
    durables, out_of_sight = await _durables(ask, names.event_stream) if events else ({}, frozenset[str]())
    return BusSurvey(
        streams={info["config"]["name"]: _stream_state(info) for info in (events, letters, *buckets) if info},
        durables=durables,
        out_of_sight=out_of_sight,
        dead_letters=counts,
    )


async def _stream(ask: Ask, name: str) -> dict[str, Any] | None:
    try:
        return await request(ask, f"stream {name}", f"STREAM.INFO.{name}")
    except JetStreamError as error:
        if error.err_code == STREAM_NOT_FOUND:
            return None
        raise


async def _durables(ask: Ask, stream: str) -> tuple[dict[str, DurableState], frozenset[str]]:
    found: dict[str, DurableState] = {}
    missing: set[str] = set()
    async for page in durable_pages(ask, stream):
        found |= {info["name"]: _durable_state(info) for info in page.get("consumers") or ()}
        missing |= set(page.get("missing") or ())
    return found, frozenset(missing - found.keys())


async def _dead_letters(ask: Ask, names: BusNames) -> tuple[Page | None, Mapping[Reaction, int]]:
    """Return the stream, and the dead letters of each reaction: the server counts them by subject."""
    info, counts = None, Counter[Reaction]()
    async for info in subject_pages(ask, names.dead_letter_stream, names.dead_letter_stream_subjects[0]):
        for subject, count in subject_counts(info).items():
            service, event = subject.split(".")[-3:-1]
            counts[Reaction(service, unquote(event))] += count
    return info, counts


def _stream_state(info: Mapping[str, Any]) -> StreamState:
    state, config, cluster = info["state"], info["config"], info.get("cluster") or {}
    current = [each["name"] for each in cluster.get("replicas") or () if each.get("current")]
    leader = cluster.get("leader", "")
    return StreamState(
        existing=Existing.of(info),
        messages=state["messages"],
        size=state["bytes"],
        most=config.get("max_bytes", -1),
        replicas=tuple([leader, *current] if leader else current),
        leader=leader,
    )


def _durable_state(info: Mapping[str, Any]) -> DurableState:
    return DurableState(
        name=info["name"],
        existing=Existing.of(info),
        floor=info["ack_floor"]["stream_seq"],
        unread=info["num_pending"],
        in_hand=info["num_ack_pending"],
        redelivered=info["num_redelivered"],
        waiting=info["num_waiting"],
        delivered=info["delivered"]["consumer_seq"],
    )
