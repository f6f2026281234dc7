"""What exists of one bus, in a handful of requests however many durables it has."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from choregos_contract.names import BusNames
from choregos_contract.plan import Actual, Existing
from choregos_contract.wire import STREAM_NOT_FOUND, Ask, JetStreamError, request
from choregos_contract.wiring import OURS, START_FROM
from choregos_operator.bus.faults import BusUnusable
from choregos_operator.bus.positions import EventStream, Position

Reaction = tuple[str, str]
"""Service and event."""
_OWNER: Final = OURS + "owner"
MOST_PAGES: Final = 1000
"""Pages that are read of one list: servers that are not ours may promise ever more."""


@dataclass(frozen=True, slots=True)
class Fill:
    """How full a stream is."""

    name: str
    messages: int
    size: int
    """Bytes."""
    most: int
    """Bytes that it takes; -1 for no limit."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A durable of the event stream, whoever made it."""

    stream: str
    name: str
    existing: Existing
    floor: int
    pending: int
    """Events that are unread, or read and not acknowledged."""
    in_hand: int = 0
    """Those of them that are read and not acknowledged."""
    waiting: int = 0
    """Readers that wait for its next event."""

    @property
    def in_use(self) -> bool:
        """Whether somebody reads it, or has something of it in hand."""
        return self.in_hand > 0 or self.waiting > 0

    @property
    def owner(self) -> str:
        """The uid of the choreography that it was made for; empty if it is not ours."""
        return self.existing.ours.get(_OWNER, "")

    @property
    def reaction(self) -> Reaction:
        """The reaction that it was made for."""
        return self.existing.ours.get(OURS + "service", ""), self.existing.ours.get(OURS + "event", "")

    @property
    def position(self) -> Position:
        """Its place."""
        return Position(self.floor, self.existing.ours.get(START_FROM, ""), self.owner)


@dataclass(frozen=True, slots=True)
class Survey:
    """All of it."""

    streams: Mapping[str, Existing]
    fills: tuple[Fill, ...]
    events: EventStream | None
    """The event stream; None if there is none."""
    durables: Mapping[str, Seen]
    """By name."""
    out_of_sight: frozenset[str]
    """Durables that exist, and of which no server of the cluster can tell more at the moment."""
    dead_letters: Mapping[Reaction, int]

    @property
    def actual(self) -> Actual:
        """The same, as the contract's plan takes it."""
        return Actual(self.streams, {(seen.stream, seen.name): seen.existing for seen in self.durables.values()})


async def survey(ask: Ask, names: BusNames) -> Survey:
    """Look at the three streams, the durables and the dead letters; raises JetStreamError, and what `ask` raises."""
    events = await _stream(ask, names.event_stream)
    letters, counts = await _dead_letters(ask, names)
    notes = await _stream(ask, f"KV_{names.note_bucket}")
    found = [info for info in (events, letters, notes) if info]
    durables, out_of_sight = await _durables(ask, names.event_stream) if events else ({}, frozenset[str]())
    return Survey(
        streams={info["config"]["name"]: Existing.of(info) for info in found},
        fills=tuple(map(_fill, found)),
        events=EventStream(events["created"], events["state"]["last_seq"]) if events else None,
        durables=durables,
        out_of_sight=out_of_sight,
        dead_letters=counts,
    )


async def _stream(ask: Ask, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    try:
        return await request(ask, f"stream {name}", f"STREAM.INFO.{name}", msgspec.json.encode(body) if body else b"")
    except JetStreamError as error:
        if error.err_code == STREAM_NOT_FOUND:
            return None
        raise


async def _durables(ask: Ask, stream: str) -> tuple[dict[str, Seen], frozenset[str]]:
    found: dict[str, Seen] = {}
    missing: set[str] = set()
    offset, total = 0, 1
    for _ in range(MOST_PAGES):
        if offset >= total:
            break
        body = msgspec.json.encode({"offset": offset})
        try:
            page = await request(ask, f"stream {stream}", f"CONSUMER.LIST.{stream}", body)
        except JetStreamError as error:
            if error.err_code == STREAM_NOT_FOUND:  # since it was looked at
                break
            raise
        found |= {info["name"]: _seen(info) for info in page.get("consumers") or ()}
        missing |= set(page.get("missing") or ())
        offset, total = offset + max(page["limit"], 1), page["total"]
    else:
        raise _endless(f"the durables of {stream}")
    return found, frozenset(missing - found.keys())


async def _dead_letters(ask: Ask, names: BusNames) -> tuple[dict[str, Any] | None, Counter[Reaction]]:
    """Return the stream, and the dead letters of each reaction: the server counts them by subject."""
    counts: Counter[Reaction] = Counter()
    info, offset, total = None, 0, 1
    for _ in range(MOST_PAGES):
        if offset >= total:
            break
        body = {"subjects_filter": names.dead_letter_stream_subjects[0], "offset": offset}
        info = await _stream(ask, names.dead_letter_stream, body)
        if info is None:
            break
        for subject, count in (info["state"].get("subjects") or {}).items():
            service, event = subject.split(".")[-3:-1]
            counts[service, unquote(event)] += count
        offset, total = offset + max(info.get("limit", 0), 1), info.get("total", 0)
    else:
        raise _endless(f"the subjects of {names.dead_letter_stream}")
    return info, counts


def _endless(what: str) -> BusUnusable:
    sentence = f"NATS tells of more than {MOST_PAGES} pages of {what}"
    return BusUnusable(sentence, "remove what is not needed, or mend the servers", "ListTooLong")


def _seen(info: Mapping[str, Any]) -> Seen:
    return Seen(
        stream=info["stream_name"],
        name=info["name"],
        existing=Existing.of(info),
        floor=info["ack_floor"]["stream_seq"],
        pending=info["num_pending"] + info["num_ack_pending"],
        in_hand=info["num_ack_pending"],
        waiting=info["num_waiting"],
    )


def _fill(info: Mapping[str, Any]) -> Fill:
    state, config = info["state"], info["config"]
    return Fill(config["name"], state["messages"], state["bytes"], config.get("max_bytes", -1))
