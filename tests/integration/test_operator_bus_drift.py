"""A stream that is not as it is wanted, on a real nats-server: a new wish is applied, other hands are reported."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from choregos_contract.configure import bus_names
from choregos_contract.wire import wire
from choregos_contract.wiring import wanted
from choregos_operator.bus.bring_about import bring_about
from choregos_operator.bus.state import BusState, Change
from support.choreographies import event_bus, reaction
from support.nats import NatsServer

NAMES = bus_names(None, "shipping")
EVENTS, NOTES = NAMES.event_stream, f"KV_{NAMES.note_bucket}"
INBOX = f"KV_{NAMES.inbox_bucket}"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
SHOP = reaction("package", "OrderPlaced")
HOUR = 3600 * 10**9


@dataclass
class Bus:
    connection: Client
    server_version: str = "2.15.1"
    changes: list[str] = field(default_factory=list)

    async def ask(self, subject: str, payload: bytes = b"") -> bytes:
        if ".INFO." not in subject and ".LIST." not in subject:
            self.changes.append(subject)
        return bytes((await self.connection.request(subject, payload, timeout=30)).data)

    async def gather(self, subject: str, *, max_age: float = 0.0) -> tuple[bytes, ...]:
        raise NotImplementedError

    async def wire(self, **stream: Any) -> BusState:
        """Bring about a bus whose EventBus says this of its stream; without anything, one that has no EventBus."""
        self.changes.clear()
        want = wanted([SHOP], event_bus(stream=stream) if stream else None, "shipping")
        return await bring_about(self, want, names=NAMES, frozen=frozenset(), now=NOW, orphan_ttl=timedelta(days=7))

    async def wire_inbox(self, ttl: str, **stream: Any) -> BusState:
        """Bring about a bus that has an inbox, too."""
        shop = reaction("package", "OrderPlaced", idempotency={"ttl": ttl})
        want = wanted([shop], event_bus(stream=stream) if stream else None, "shipping")
        return await bring_about(self, want, names=NAMES, frozen=frozenset(), now=NOW, orphan_ttl=timedelta(days=7))

    async def inbox(self) -> dict[str, Any]:
        return dict(json.loads(await self.ask(f"$JS.API.STREAM.INFO.{INBOX}"))["config"])

    async def stream(self) -> dict[str, Any]:
        return dict(json.loads(await self.ask(f"$JS.API.STREAM.INFO.{EVENTS}"))["config"])

    async def edit(self, **fields: Any) -> None:
        """Change the stream as an administrator would."""
        body = json.dumps({**await self.stream(), **fields}).encode()
        assert "error" not in json.loads(await self.ask(f"$JS.API.STREAM.UPDATE.{EVENTS}", body))


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    with NatsServer() as server:
        connection = await nats.connect(server.url)
        yield Bus(connection)
        await connection.close()


async def test_an_edit_of_the_event_bus_is_applied(bus: Bus) -> None:
    await bus.wire(maxAge="2h")
    state = await bus.wire(maxAge="3h")
    assert (state.drift, state.updated) == (
        (),
        (Change(EVENTS, ("max_age", "metadata")), Change(NOTES, ("max_age", "metadata"))),
    )
    assert (await bus.stream())["max_age"] == 3 * HOUR
    state = await bus.wire(maxAge="3h")
    assert (state.updated, state.drift, bus.changes) == ((), (), [])


async def test_what_other_hands_changed_is_reported_and_left(bus: Bus) -> None:
    await bus.wire(maxAge="2h")
    await bus.edit(max_age=HOUR, compression="s2")
    for _ in range(2):
        state = await bus.wire(maxAge="2h")
        (drift,) = state.drift
        assert (drift.field, drift.wanted, drift.found) == ("maxAge", "2h", "1h")
        assert "somebody set its maxAge to 1h; it is left so: set it back to 2h" in str(drift)
        assert (state.updated, bus.changes) == ((), [])
    assert (await bus.stream())["max_age"] == HOUR


async def test_drift_ends_when_the_event_bus_says_what_is(bus: Bus) -> None:
    await bus.wire(maxAge="2h")
    await bus.edit(max_age=HOUR)
    state = await bus.wire(maxAge="1h")
    assert (state.drift, [change.name for change in state.updated]) == ((), [EVENTS, NOTES])
    await bus.edit(max_age=5 * HOUR)
    assert [drift.wanted for drift in (await bus.wire(maxAge="1h")).drift] == ["1h"]


async def test_an_edit_of_one_field_leaves_what_other_hands_made_of_another(bus: Bus) -> None:
    await bus.wire(maxAge="2h", maxBytes="1Mi")
    await bus.edit(max_age=HOUR)
    state = await bus.wire(maxAge="2h", maxBytes="2Mi")
    assert [drift.field for drift in state.drift] == ["maxAge"]
    stream = await bus.stream()
    assert (stream["max_age"], stream["max_bytes"]) == (HOUR, 2 * 2**20)
    assert [drift.field for drift in (await bus.wire(maxAge="2h", maxBytes="2Mi")).drift] == ["maxAge"]


async def test_without_an_event_bus_a_stream_keeps_its_settings(bus: Bus) -> None:
    """Else an EventBus that is deleted, or never was, would shorten what the stream remembers."""
    await bus.wire(maxAge="30d")
    state = await bus.wire()
    assert [(drift.field, drift.wanted, drift.found) for drift in state.drift] == [
        ("maxAge", "7d", "30d"),
        ("maxAge", "14d", "60d"),  # of the notes, which are kept for twice as long
    ]
    assert "write an EventBus that says which maxAge" in str(state.drift[0])
    assert (await bus.stream())["max_age"] == 30 * 24 * HOUR
    await bus.wire()
    assert bus.changes == []
    assert (await bus.wire(maxAge="7d")).drift == (), "what an EventBus says is a wish, also if it is the default"
    assert (await bus.stream())["max_age"] == 7 * 24 * HOUR


async def test_a_stream_that_the_cli_made_is_taken_over(bus: Bus) -> None:
    """It carries no record of what was asked of it: what an EventBus says is applied, and defaults are not."""
    local = wanted([SHOP], event_bus(stream={"maxAge": "2h"}), "shipping")
    await wire(bus.ask, local, server_version="2.15.1", now="2026-01-01T00:00:00Z")
    state = await bus.wire()
    assert {drift.found for drift in state.drift} == {"2h", "4h"}
    assert (await bus.stream())["max_age"] == 2 * HOUR
    assert (await bus.wire(maxAge="1h")).drift == ()
    assert (await bus.stream())["max_age"] == HOUR


async def test_what_the_cli_changes_is_other_hands_and_the_record_stays(bus: Bus) -> None:
    await bus.wire(maxAge="2h")
    local = wanted([SHOP], event_bus(stream={"maxAge": "1h"}), "shipping")
    report = await wire(bus.ask, local, server_version="2.15.1", now="2026-01-01T00:00:00Z")
    assert EVENTS in report.updated
    assert [drift.found for drift in (await bus.wire(maxAge="2h")).drift] == ["1h", "2h"]


async def test_the_cli_leaves_alone_what_the_operator_made(bus: Bus) -> None:
    await bus.wire()
    bus.changes.clear()
    await wire(bus.ask, wanted([SHOP], None, "shipping"), server_version="2.15.1", now="2026-01-01T00:00:00Z")
    assert bus.changes == []


async def test_a_newer_server_gains_what_the_older_one_did_not_know(bus: Bus) -> None:
    bus.server_version = "2.11.0"
    await bus.wire()
    assert not (await bus.stream()).get("allow_atomic")
    bus.server_version = "2.15.1"
    state = await bus.wire()
    assert (state.drift, state.updated) == ((), (Change(EVENTS, ("allow_atomic", "metadata")),))
    assert (await bus.stream())["allow_atomic"] is True


async def test_a_record_that_other_hands_broke_counts_as_none(bus: Bus) -> None:
    await bus.wire(maxAge="2h")
    metadata = (await bus.stream())["metadata"]
    await bus.edit(metadata={**metadata, "choregos.dev/applied": "{"}, max_age=HOUR)
    state = await bus.wire(maxAge="2h")
    assert (state.drift, (await bus.stream())["max_age"]) == ((), 2 * HOUR)
    assert (await bus.wire(maxAge="2h")).updated == ()


# -- the inbox, whose age no EventBus says


@pytest.mark.parametrize("stream", [{}, {"maxAge": "2h"}], ids=["without an EventBus", "with one"])
async def test_an_inbox_comes_with_its_first_reaction_and_never_forgets_sooner(
    bus: Bus, stream: dict[str, Any]
) -> None:
    await bus.wire(**stream)
    state = await bus.wire_inbox("1h", **stream)
    assert (state.created, state.remade, state.drift) == ((INBOX,), (), ())
    for ttl, hours in (("3h", 3), ("1h", 3), ("4h", 4)):
        state = await bus.wire_inbox(ttl, **stream)
        assert (state.drift, state.refusals) == ((), ())
        assert (await bus.inbox())["max_age"] == hours * HOUR
        bus.changes.clear()
        assert (await bus.wire_inbox(ttl, **stream)).updated == ()
        assert bus.changes == []


async def test_an_inbox_of_an_older_server_learns_of_times_for_single_entries(bus: Bus) -> None:
    bus.server_version = "2.10.29"
    await bus.wire_inbox("1h")
    assert not (await bus.inbox()).get("allow_msg_ttl")
    bus.server_version = "2.15.1"
    state = await bus.wire_inbox("1h")
    assert Change(INBOX, ("allow_msg_ttl", "metadata")) in state.updated
    assert (await bus.inbox())["allow_msg_ttl"] is True
