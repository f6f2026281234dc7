"""The wiring applied to a real nats-server: made once, never overwritten, never lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError

from choregos_contract.configure import bus_names
from choregos_contract.resources import Choreography
from choregos_contract.wire import ROUNDS, JetStreamError, WiringRefused, WiringReport, wire
from choregos_contract.wiring import Wanted, wanted
from support.choreographies import choreography, event_bus, reaction
from support.nats import NatsServer
from support.waiting import wait_for

NOW = "2026-01-02T03:04:05Z"
LATER = "2026-06-07T08:09:10Z"
NAMES = bus_names(None, "shipping")
EVENTS, LETTERS, NOTES = NAMES.event_stream, NAMES.dead_letter_stream, f"KV_{NAMES.note_bucket}"
DURABLE = NAMES.durable("package", "OrderPlaced")


class Server:
    """A connection to the server, and a record of every request that went over it."""

    def __init__(self, connection: Client) -> None:
        self.connection = connection
        self.asked: list[str] = []

    async def ask(self, subject: str, payload: bytes) -> bytes:
        self.asked.append(subject)
        return (await self.connection.request(subject, payload, timeout=5)).data

    async def wire(self, want: Wanted, *, version: str | None = None, now: str = NOW) -> WiringReport:
        return await wire(
            self.ask, want, server_version=version or str(self.connection.connected_server_version), now=now
        )

    async def api(self, subject: str, body: Any = None) -> Any:
        payload = b"" if body is None else json.dumps(body).encode()
        return json.loads((await self.connection.request(f"$JS.API.{subject}", payload, timeout=5)).data)

    async def stream(self, name: str = EVENTS) -> dict[str, Any]:
        found: dict[str, Any] = (await self.api(f"STREAM.INFO.{name}"))["config"]
        return found

    async def durable(self, name: str = DURABLE) -> dict[str, Any]:
        found: dict[str, Any] = await self.api(f"CONSUMER.INFO.{EVENTS}.{name}")
        return found

    async def pending(self, wiring: Wanted, expected: dict[str, int]) -> bool:
        """Wait until so much is pending for each service: JetStream counts a moment after it has confirmed a publish."""

        async def counted() -> bool:
            found = {each.service: (await self.durable(each.name))["num_pending"] for each in wiring.durables}
            return found == expected

        return await wait_for(counted, f"{expected} are pending", 10.0)

    async def publish(self, event: str, correlation: str = "c") -> None:
        await self.connection.jetstream().publish(NAMES.event_subject(event, correlation), b"{}")

    @property
    def changes(self) -> list[str]:
        """What was asked beyond questions."""
        return [subject for subject in self.asked if ".INFO." not in subject]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server of its own: a stream that is made right after one of its name was deleted may hold what that held."""
    with NatsServer() as own:
        connection = await nats.connect(own.url)
        yield Server(connection)
        await connection.close()


def of(*choreographies: Choreography, **spec: Any) -> Wanted:
    return wanted(choreographies, event_bus(**spec), "shipping")


SHOP = of(reaction("package", "OrderPlaced"))


async def test_a_fresh_server_gets_streams_then_durables(server: Server) -> None:
    report = await server.wire(SHOP)
    assert report == WiringReport(created=(EVENTS, LETTERS, NOTES, DURABLE))
    assert server.changes == [
        f"$JS.API.STREAM.CREATE.{EVENTS}",
        f"$JS.API.STREAM.CREATE.{LETTERS}",
        f"$JS.API.STREAM.CREATE.{NOTES}",
        f"$JS.API.CONSUMER.CREATE.{EVENTS}.{DURABLE}",
    ]
    stream = await server.stream()
    assert (stream["retention"], stream["discard"], stream["allow_direct"], stream["allow_atomic"]) == (
        "limits", "new", True, True,
    )  # fmt: skip
    durable = (await server.durable())["config"]
    assert "deliver_subject" not in durable
    assert durable["filter_subjects"] == list(NAMES.durable_filters("package", "OrderPlaced"))
    assert durable["metadata"]["choregos.dev/created"] == NOW


@pytest.mark.parametrize("start_from", ["created", "all", "2026-01-01T00:00:00.123456789+01:00"])
async def test_wiring_again_changes_nothing(server: Server, start_from: str) -> None:
    shop = of(reaction("package", "order.Placed", startFrom=start_from), stream={"storage": "memory"})
    await server.wire(shop)
    server.asked.clear()
    report = await server.wire(shop, now=LATER)
    assert len(report.unchanged) == 4
    assert server.changes == []


async def test_a_mutable_field_is_updated_in_place(server: Server) -> None:
    await server.wire(SHOP)
    await server.publish("OrderPlaced")
    wider = of(
        reaction("package", "OrderPlaced", delivery={"maxInFlight": 7}), stream={"maxAge": "1h", "maxBytes": "2Mi"}
    )
    report = await server.wire(wider, now=LATER)
    assert report == WiringReport(updated=(EVENTS, NOTES, DURABLE), unchanged=(LETTERS,))
    assert (await server.stream())["max_bytes"] == 2 * 2**20
    durable = await server.durable()
    assert durable["config"]["max_ack_pending"] == 7
    assert durable["config"]["metadata"]["choregos.dev/created"] == NOW
    assert await server.pending(wider, {"package": 1}), "its position is where it was"
    server.asked.clear()
    await server.wire(wider)
    assert server.changes == []


async def test_a_field_that_an_older_server_did_not_know_is_added_later(server: Server) -> None:
    await server.wire(SHOP, version="2.11.9")
    assert not (await server.stream()).get("allow_atomic")
    assert (await server.wire(SHOP)).updated == (EVENTS,)
    assert (await server.stream())["allow_atomic"] is True


async def test_what_an_administrator_set_is_carried_over(server: Server) -> None:
    await server.wire(SHOP)
    config = await server.stream()
    await server.api(
        f"STREAM.UPDATE.{EVENTS}", {**config, "compression": "s2", "metadata": {**config["metadata"], "team": "a"}}
    )
    await server.wire(of(reaction("package", "OrderPlaced"), stream={"maxAge": "1h"}))
    changed = await server.stream()
    assert (changed["compression"], changed["metadata"]["team"], changed["max_age"]) == ("s2", "a", 3600 * 10**9)


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        ({"storage": "memory"}, "its storage is 'file', wanted is 'memory'"),
        ({"shards": 16}, "written with 256 shards, wanted are 16"),
        ({"partitions": 1}, "written with 16 partitions, wanted are 1"),
    ],
)
async def test_an_immutable_setting_of_the_bus_refuses_before_any_durable(
    server: Server, stream: dict[str, Any], said: str
) -> None:
    await server.wire(SHOP)
    server.asked.clear()
    with pytest.raises(WiringRefused, match=said) as refused:
        await server.wire(of(reaction("package", "OrderPlaced"), reaction("stats", "OrderPlaced"), stream=stream))
    assert {refusal.what for refusal in refused.value.refusals} == {
        f"stream {name}" for name in (EVENTS, LETTERS, NOTES)
    }
    assert server.changes == []


async def test_a_changed_start_is_refused_and_the_other_reactions_are_wired(server: Server) -> None:
    await server.wire(SHOP)
    both = of(reaction("package", "OrderPlaced", startFrom="all"), reaction("stats", "OrderPlaced"))
    with pytest.raises(WiringRefused, match="startFrom is 'all', but the reaction started from 'created'") as refused:
        await server.wire(both)
    assert refused.value.report.created == (NAMES.durable("stats", "OrderPlaced"),)
    assert (await server.durable())["config"]["deliver_policy"] == "new"


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        ({"maxBytes": 2**60}, "insufficient storage resources available; raise the JetStream limits"),
        ({"replicas": 3}, r"replicas > 1 not supported.*; set replicas to 1"),
        ({"prefix": "taken"}, "subjects overlap with an existing stream; find the other stream"),
    ],
)
async def test_what_the_server_cannot_grant_is_refused_with_the_way_out(
    server: Server, stream: dict[str, Any], said: str
) -> None:
    await server.api("STREAM.CREATE.squatter", {"name": "squatter", "subjects": ["taken.>"]})
    with pytest.raises(WiringRefused, match=said):
        await server.wire(of(stream=stream))


async def test_concurrent_wirers_agree(server: Server) -> None:
    services = {f"s{number}": {"reactions": [{"event": "A"}, {"event": "B"}]} for number in range(5)}
    shop = of(choreography(services))
    moments = [f"2026-01-02T03:04:0{number}Z" for number in range(4)]
    reports = await asyncio.gather(*(server.wire(shop, now=moment) for moment in moments))
    durables = [name for report in reports for name in report.created if name not in (EVENTS, LETTERS, NOTES)]
    assert sorted(durables) == sorted(durable.name for durable in shop.durables), "each was made exactly once"
    server.asked.clear()
    await server.wire(shop, now=LATER)
    assert server.changes == []


async def test_a_wirer_that_comes_second_never_overwrites(server: Server) -> None:
    """Between the second wirer's question and its create, the first one makes the durable."""
    first, calls = Server(server.connection), 0
    await server.wire(replace(SHOP, durables=()))

    async def late(subject: str, payload: bytes) -> bytes:
        nonlocal calls
        if ".CONSUMER.CREATE." in subject and not calls:
            calls += 1
            await first.wire(SHOP, now=NOW)
        return await server.ask(subject, payload)

    report = await wire(late, SHOP, server_version="2.15.1", now=LATER)
    assert DURABLE in report.unchanged
    assert (await server.durable())["config"]["metadata"]["choregos.dev/created"] == NOW


async def test_a_durable_that_vanishes_during_its_update_is_made_anew_as_planned(server: Server) -> None:
    await server.wire(SHOP)
    vanished = False

    async def ask(subject: str, payload: bytes) -> bytes:
        nonlocal vanished
        if ".CONSUMER.CREATE." in subject and not vanished:
            vanished = True
            await server.api(f"CONSUMER.DELETE.{EVENTS}.{DURABLE}")
        return await server.ask(subject, payload)

    changed = of(reaction("package", "OrderPlaced", delivery={"maxInFlight": 7}))
    report = await wire(ask, changed, server_version="2.15.1", now=LATER)
    assert report.created == (DURABLE,)
    assert (await server.durable())["config"]["metadata"]["choregos.dev/created"] == LATER


async def test_a_race_that_never_ends_is_given_up(server: Server) -> None:
    creates = 0

    async def ask(subject: str, payload: bytes) -> bytes:
        nonlocal creates
        if "STREAM.CREATE" in subject:
            creates += 1
            return b'{"error": {"code": 400, "err_code": 10058, "description": "stream name already in use"}}'
        return await server.ask(subject, payload)

    with pytest.raises(JetStreamError, match=f"stream {EVENTS}: stream name already in use"):
        await wire(ask, SHOP, server_version="2.15.1", now=NOW)
    assert creates == ROUNDS


async def test_a_reaction_begins_where_it_says(server: Server) -> None:
    """Events from before a reaction appeared are not for it, unless it asks for them."""
    await server.wire(SHOP)
    await server.publish("OrderPlaced", "before")
    analytics = of(
        reaction("package", "OrderPlaced"),
        reaction("late", "OrderPlaced"),
        reaction("all", "OrderPlaced", startFrom="all"),
        reaction("past", "OrderPlaced", startFrom="2020-01-01T00:00:00Z"),
        reaction("other", "OrderRemoved", startFrom="all"),
    )
    await server.wire(analytics)
    await server.publish("OrderPlaced", "after")
    assert await server.pending(analytics, {"package": 2, "late": 1, "all": 2, "past": 2, "other": 0})


async def test_the_bucket_of_notes_is_one_for_every_nats_client(server: Server) -> None:
    await server.wire(SHOP)
    bucket = await server.connection.jetstream().key_value(NAMES.note_bucket)
    await bucket.put("k", b"1")
    await bucket.put("k", b"2")
    assert (await bucket.get("k")).value == b"2"
    assert (await bucket.status()).values == 1


async def test_a_reaction_that_leaves_and_comes_back_has_kept_its_position(server: Server) -> None:
    await server.wire(SHOP)
    await server.wire(of(reaction("stats", "OrderPlaced")))
    await server.publish("OrderPlaced")
    assert (await server.wire(SHOP, now=LATER)).unchanged == (EVENTS, LETTERS, NOTES, DURABLE)
    assert await server.pending(SHOP, {"package": 1})


async def test_a_redriven_event_reaches_its_own_reaction_only(server: Server) -> None:
    both = of(reaction("package", "OrderPlaced"), reaction("stats", "OrderPlaced"))
    await server.wire(both)
    await server.connection.jetstream().publish(NAMES.redrive_subject("package", "OrderPlaced", "c"), b"{}")
    assert await server.pending(both, {"package": 1, "stats": 0})


@pytest.mark.parametrize(
    "subject",
    [
        f"{NAMES.root}.ev.OrderPlaced",
        f"{NAMES.root}.ev.OrderPlaced.1",
        f"{NAMES.root}.ev.Order.Placed.1.2",
        f"{NAMES.root}.xx.OrderPlaced.1.2",
        "choregos.shipping.other.ev.OrderPlaced.1.2",
    ],
)
async def test_a_malformed_publish_gets_no_acknowledgement(server: Server, subject: str) -> None:
    await server.wire(SHOP)
    with pytest.raises(NoRespondersError):
        await server.connection.request(subject, b"{}", timeout=5)


async def test_a_server_without_jetstream_for_the_account_says_so() -> None:
    config = "accounts { plain { users = [{user: u, password: p}] }, js { jetstream: enabled, users = [{user: j, password: p}] } }"
    with NatsServer(config) as other:
        connection = await nats.connect(other.url, user="u", password="p")
        try:
            with pytest.raises(JetStreamError) as refused:
                await Server(connection).wire(SHOP)
        finally:
            await connection.close()
    assert (refused.value.code, refused.value.err_code) == (503, 10039)


async def test_the_wiring_survives_a_crash_of_the_server() -> None:
    """A server killed right after the wiring comes back with all of it."""
    with NatsServer() as other:
        connection = await nats.connect(other.url)
        await Server(connection).wire(SHOP)
        other.kill()
        other.restart()
        await connection.close()
        again = Server(await nats.connect(other.url))
        report = await again.wire(SHOP, now=LATER)
        await again.connection.close()
    assert report == WiringReport(unchanged=(EVENTS, LETTERS, NOTES, DURABLE))
