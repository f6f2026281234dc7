"""What one bus holds at this moment, in a handful of requests: streams, durables with their lag, dead letters."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import msgspec

from choregos_contract.names import BusNames
from choregos_contract.plan import Actual, Existing
from choregos_contract.wire import STREAM_NOT_FOUND, Ask, JetStreamError, request
from choregos_contract.wiring import ORPHANED, OURS

MOST_PAGES: Final = 1000
"""Pages that are read of one list."""


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
    first_time: str
    """When its oldest message was stored (RFC 3339)."""
    replicas: tuple[str, ...]
    """Names of its replicas that are current, the leader first; empty on a server that is no cluster."""
    leader: str
    """Empty if it is a cluster's and has none."""


@dataclass(frozen=True, slots=True)
class DurableState:
    """A durable of the event stream as it is, whoever made it."""

    name: str
    existing: Existing
    floor: int
    """Sequence below which all is acknowledged."""
    unread: int
    in_hand: int
    """Events that are read and not acknowledged, those that wait out a backoff included."""
    redelivered: int
    """Those of them that were delivered before."""
    waiting: int
    """Requests of readers that wait for its next event."""
    delivered: int = 0
    """Deliveries since it was made, repetitions included."""

    @property
    def ours(self) -> bool:
        """Whether it was made by Choregos."""
        return OURS + "service" in self.existing.ours

    @property
    def reaction(self) -> Reaction:
        """The reaction that it was made for."""
        return Reaction(self.existing.ours.get(OURS + "service", ""), self.existing.ours.get(OURS + "event", ""))

    @property
    def lag(self) -> int:
        """Events that are unread or unacknowledged."""
        return self.unread + self.in_hand

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
    """Those of the three that there are: events, dead letters, notes."""
    durables: Mapping[str, DurableState]
    """By name."""
    out_of_sight: frozenset[str]
    """Durables that exist, and of which no server can tell more at the moment."""
    dead_letters: Mapping[Reaction, int]

    def actual(self, names: BusNames) -> Actual:
        """Return the same as `choregos_contract.plan` takes it."""
        streams = {name: state.existing for name, state in self.streams.items()}
        durables = {(names.event_stream, name): state.existing for name, state in self.durables.items()}
        return Actual(streams, durables)


async def survey(ask: Ask, names: BusNames) -> BusSurvey:
    """Look at everything; raises JetStreamError, and what `ask` raises."""
    streams = {}
    for name in (names.event_stream, names.dead_letter_stream, f"KV_{names.note_bucket}"):
        if info := await _stream(ask, name):
            streams[name] = _stream_state(info)
    durables, out_of_sight = await _durables(ask, names) if names.event_stream in streams else ({}, frozenset[str]())
    letters = await _dead_letters(ask, names) if names.dead_letter_stream in streams else {}
    return BusSurvey(streams, durables, out_of_sight, letters)


async def _stream(ask: Ask, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    try:
        return await request(ask, f"stream {name}", f"STREAM.INFO.{name}", msgspec.json.encode(body) if body else b"")
    except JetStreamError as error:
        if error.err_code == STREAM_NOT_FOUND:
            return None
        raise


async def _durables(ask: Ask, names: BusNames) -> tuple[dict[str, DurableState], frozenset[str]]:
    found: dict[str, DurableState] = {}
    missing: set[str] = set()
    stream, offset, total = names.event_stream, 0, 1
    for _ in range(MOST_PAGES):
        if offset >= total:
            break
        body = msgspec.json.encode({"offset": offset})
        page = await request(ask, f"stream {stream}", f"CONSUMER.LIST.{stream}", body)
        found |= {info["name"]: _durable_state(info) for info in page.get("consumers") or ()}
        missing |= set(page.get("missing") or ())
        offset, total = offset + max(page["limit"], 1), page["total"]
    return found, frozenset(missing - found.keys())


async def _dead_letters(ask: Ask, names: BusNames) -> Mapping[Reaction, int]:
    """Return the dead letters of each reaction: the server counts them by subject."""
    counts: Counter[Reaction] = Counter()
    async for info in _pages_of_subjects(ask, names):
        for subject, count in (info["state"].get("subjects") or {}).items():
            service, event = subject.split(".")[-3:-1]
            counts[Reaction(service, unquote(event))] += count
    return counts


async def _pages_of_subjects(ask: Ask, names: BusNames) -> AsyncIterator[dict[str, Any]]:
    offset, total = 0, 1
    for _ in range(MOST_PAGES):
        if offset >= total:
            break
        body = {"subjects_filter": names.dead_letter_stream_subjects[0], "offset": offset}
        info = await _stream(ask, names.dead_letter_stream, body)
        if info is None:
            break
        yield info
        offset, total = offset + max(info.get("limit", 0), 1), info.get("total", 0)


def _stream_state(info: Mapping[str, Any]) -> StreamState:
    state, config, cluster = info["state"], info["config"], info.get("cluster") or {}
    current = [each["name"] for each in cluster.get("replicas") or () if each.get("current")]
    leader = cluster.get("leader", "")
    return StreamState(
        existing=Existing.of(info),
        messages=state["messages"],
        size=state["bytes"],
        most=config.get("max_bytes", -1),
        first_time=state["first_ts"] if state["messages"] else "",
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
