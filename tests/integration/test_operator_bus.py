"""One bus brought about on a real nats-server: made, mended, and finished by whoever comes next."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from choregos_contract.configure import bus_names
from choregos_contract.resources import Choreography
from choregos_contract.survey import Reaction
from choregos_contract.wire import wire
from choregos_contract.wiring import Wanted, wanted
from choregos_operator.bus.bring_about import bring_about
from choregos_operator.bus.faults import BusAway, BusUnusable
from choregos_operator.bus.positions import Positions
from choregos_operator.bus.state import BusState, Change, Lost, Orphan, Restored
from support.choreographies import choreography, event_bus
from support.nats import NatsServer

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = bus_names(None, "shipping")
EVENTS, LETTERS, NOTES = NAMES.event_stream, NAMES.dead_letter_stream, f"KV_{NAMES.note_bucket}"
DURABLE = NAMES.durable("package", "OrderPlaced")
REACTION = Reaction("package", "OrderPlaced")
IN_MEMORY: dict[str, Any] = {"stream": {"storage": "memory"}}
"""For tests that delete a stream: on disk, its successor may find what it held."""


@dataclass
class Counting:
    """A connection as a pass needs it, with a record of what was asked; it may be cut off after some requests."""

    connection: Client
    asked: list[str] = field(default_factory=list)
    cut_after: int | None = None

    @property
    def server_version(self) -> str:
        return str(self.connection.connected_server_version)

    async def ask(self, subject: str, payload: bytes = b"") -> bytes:
        if self.cut_after is not None and len(self.asked) >= self.cut_after:
            raise BusAway("cut")
        self.asked.append(subject)
        return bytes((await self.connection.request(subject, payload, timeout=30)).data)

    async def gather(self, subject: str, *, max_age: float = 0.0) -> tuple[bytes, ...]:
        raise NotImplementedError


@dataclass
class Bus:
    """The server with nothing on it, and a controller that remembers its passes."""

    connection: Client
    positions: Positions | None = None
    now: datetime = NOW
    asked: list[str] = field(default_factory=list)

    async def wire(
        self,
        *choreographies: Choreography,
        frozen: frozenset[str] = frozenset(),
        promised: frozenset[Reaction] = frozenset(),
        cut_after: int | None = None,
        spec: dict[str, Any] | None = None,
    ) -> BusState:
        want = wanted(choreographies, None if spec is None else event_bus(**spec), "shipping")
        return await self.bring_about(want, frozen, promised, cut_after)

    async def bring_about(
        self,
        want: Wanted,
        frozen: frozenset[str] = frozenset(),
        promised: frozenset[Reaction] = frozenset(),
        cut_after: int | None = None,
    ) -> BusState:
        asker = Counting(self.connection, cut_after=cut_after)
        self.asked = asker.asked
        state = await bring_about(
            asker,
            want,
            names=NAMES,
            frozen=frozen,
            now=self.now,
            orphan_ttl=7 * DAY,
            remembered=self.positions,
            promised=promised,
        )
        self.positions = state.positions
        return state

    @property
    def changes(self) -> list[str]:
        return [subject for subject in self.asked if ".INFO." not in subject and ".LIST." not in subject]

    async def api(self, subject: str, body: Any = None) -> Any:
        payload = b"" if body is None else json.dumps(body).encode()
        return json.loads((await self.connection.request(f"$JS.API.{subject}", payload, timeout=30)).data)

    async def durable(self, name: str = DURABLE) -> dict[str, Any]:
        return dict(await self.api(f"CONSUMER.INFO.{EVENTS}.{name}"))

    async def remove(self, name: str = DURABLE) -> None:
        assert (await self.api(f"CONSUMER.DELETE.{EVENTS}.{name}"))["success"]

    async def edit_durable(self, **fields: Any) -> None:
        config = (await self.durable())["config"] | fields
        body = {"stream_name": EVENTS, "config": config, "action": "update"}
        assert "error" not in await self.api(f"CONSUMER.CREATE.{EVENTS}.{DURABLE}", body)

    async def publish(self, *correlations: str, event: str = "OrderPlaced") -> None:
        for each in correlations:
            await self.connection.jetstream().publish(NAMES.event_subject(event, each), each.encode())

    async def read(self, count: int, *, acknowledge: int) -> list[str]:
        """Take events as an ambassador would, and acknowledge the first so many of them."""
        subscription = await self.connection.jetstream().pull_subscribe_bind(DURABLE, EVENTS)
        messages = await subscription.fetch(count, timeout=30)
        for message in messages[:acknowledge]:
            await message.ack_sync()
        await subscription.unsubscribe()
        return [message.data.decode() for message in messages]


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    """On a server of its own: a stream that is made right after one of its name was deleted may hold what that held."""
    with NatsServer() as server:
        connection = await nats.connect(server.url)
        yield Bus(connection)
        await connection.close()


def shop(*events: str, uid: str = "uid-1", name: str = "shop", **fields: Any) -> Choreography:
    """A service `package` that reacts to these events."""
    reactions = [{"event": event, **fields} for event in events or ("OrderPlaced",)]
    return choreography({"package": {"reactions": reactions}}, uid=uid, name=name)


def many(count: int) -> Choreography:
    services = {f"s{number}": {"reactions": [{"event": "A"}, {"event": "B"}]} for number in range(count // 2)}
    return choreography(services, uid="uid-1")


# -- what it costs, and what it tells


async def test_a_fresh_bus_gets_streams_then_durables(bus: Bus) -> None:
    state = await bus.wire(shop())
    assert state.created == (EVENTS, LETTERS, NOTES, DURABLE)
    assert (state.refusals, state.drift, state.restored, state.lost, state.remade, state.orphaned) == ((),) * 6
    assert [change.rpartition(".")[2] for change in bus.changes] == [EVENTS, LETTERS, NOTES, DURABLE]
    assert (await bus.durable())["config"]["metadata"]["choregos.dev/created"] == "2026-01-02T03:04:05Z"


async def test_a_pass_over_six_hundred_durables_that_stand_is_a_handful_of_requests(bus: Bus) -> None:
    choreographies = [replace_names(many(100), number) for number in range(6)]
    assert len((await bus.wire(*choreographies)).created) == 603
    state = await bus.wire(*choreographies)
    assert (state.created, state.updated, bus.changes) == ((), (), [])
    assert len(bus.asked) <= 10
    assert len(state.pending) == 600


def replace_names(each: Choreography, number: int) -> Choreography:
    services = {f"{name}-{number}": service for name, service in each.spec.services.items()}
    return each.model_copy(update={"spec": each.spec.model_copy(update={"services": services})})


async def test_figures_are_told_by_reaction_and_by_stream(bus: Bus) -> None:
    placed = shop("OrderPlaced", "order.Removed")
    await bus.wire(placed)
    await bus.publish("a", "b", "c")
    await bus.read(2, acknowledge=1)
    for shard in (1, 2):
        await bus.connection.jetstream().publish(NAMES.dead_letter_subject("package", "order.Removed", shard), b"x")
    state = await bus.wire(placed)
    assert state.pending == {REACTION: 2, ("package", "order.Removed"): 0}
    assert state.dead_letters == {("package", "order.Removed"): 2}
    (events, letters) = (state.streams[name] for name in (EVENTS, NAMES.dead_letter_stream))
    assert (events.messages, letters.messages, events.most) == (3, 2, 2**30)
    assert events.size > 0


async def test_one_reaction_that_is_refused_leaves_the_others_wired(bus: Bus) -> None:
    await bus.wire(shop())
    state = await bus.wire(shop("OrderPlaced", "OrderRemoved", startFrom="all"))
    assert [refusal.what for refusal in state.refusals] == [f"durable {DURABLE} of stream {EVENTS}"]
    assert state.created == (NAMES.durable("package", "OrderRemoved"),)


async def test_a_stream_that_is_refused_leaves_every_durable_alone(bus: Bus) -> None:
    await bus.wire(shop())
    state = await bus.wire(shop("OrderRemoved"), spec={"stream": {"shards": 16}})
    assert len(state.refusals) == 3
    assert (bus.changes, state.orphaned) == ([], ())


async def test_what_the_server_has_no_room_for_is_refused_with_the_way_out(bus: Bus) -> None:
    state = await bus.wire(shop(), spec={"stream": {"maxBytes": 2**60}})
    assert "raise the JetStream limits" in state.refusals[0].mend


# -- whoever comes next finishes


async def test_a_pass_that_is_cut_at_any_step_is_finished_by_the_next(bus: Bus) -> None:
    placed, cut = shop("A", "B"), 0
    while True:
        bus.positions = None
        try:
            await bus.wire(placed, cut_after=cut, spec=IN_MEMORY)
        except BusAway:
            await bus.wire(placed, spec=IN_MEMORY)
        else:
            break
        again = await bus.wire(placed, spec=IN_MEMORY)
        assert (again.created, again.updated, again.refusals, bus.changes) == ((), (), (), [])
        assert len((await bus.api("STREAM.NAMES"))["streams"]) == 3
        assert len((await bus.api(f"CONSUMER.NAMES.{EVENTS}"))["consumers"]) == 2
        for name in (EVENTS, LETTERS, NOTES):
            await bus.api(f"STREAM.DELETE.{name}")
        cut += 1
    assert cut >= 8, "between any two requests of a first pass"


async def test_two_at_once_make_each_durable_once_and_agree(bus: Bus) -> None:
    rivals = [Bus(bus.connection) for _ in range(3)]
    states = await asyncio.gather(*(rival.wire(many(40)) for rival in rivals))
    assert all(state.refusals == () for state in states)
    state = await bus.wire(many(40))
    assert (state.created, state.updated, bus.changes) == ((), (), [])


# -- drift of durables


async def test_a_durable_that_was_edited_by_hand_is_as_it_was(bus: Bus) -> None:
    await bus.wire(shop())
    await bus.edit_durable(max_ack_pending=3, metadata={"team": "a"})
    state = await bus.wire(shop())
    assert state.updated == (Change(DURABLE, ("max_ack_pending", "metadata")),)
    config = (await bus.durable())["config"]
    assert (config["max_ack_pending"], config["metadata"]["team"]) == (10_000, "a")
    assert config["metadata"]["choregos.dev/owner"] == "uid-1"


async def test_a_durable_that_was_deleted_by_hand_comes_back_where_it_stood(bus: Bus) -> None:
    await bus.wire(shop())
    await bus.publish("a", "b", "c", "d")
    await bus.read(3, acknowledge=2)
    await bus.wire(shop())
    await bus.remove()
    state = await bus.wire(shop())
    assert state.restored == (Restored("package", "OrderPlaced", 3),)
    assert "no event is lost" in str(state.restored[0])
    assert await bus.read(2, acknowledge=2) == ["c", "d"]
    again = await bus.wire(shop())
    assert (again.restored, again.updated, bus.changes) == ((), (), []), "it is told once, and not changed again"


async def test_a_durable_that_vanishes_twice_comes_back_twice(bus: Bus) -> None:
    await bus.wire(shop())
    await bus.publish("a", "b")
    for _ in range(2):
        await bus.wire(shop())
        await bus.remove()
        assert len((await bus.wire(shop())).restored) == 1
        await bus.remove()
        assert len((await bus.wire(shop())).restored) == 1
    assert await bus.read(2, acknowledge=2) == ["a", "b"]


async def test_a_durable_that_was_just_made_comes_back_as_well(bus: Bus) -> None:
    await bus.wire(shop("OrderRemoved"))
    await bus.publish("before")
    await bus.wire(shop("OrderRemoved", "OrderPlaced"))
    await bus.publish("after")
    await bus.remove()
    state = await bus.wire(shop("OrderRemoved", "OrderPlaced"))
    assert state.restored == (Restored("package", "OrderPlaced", 2),)
    assert await bus.read(1, acknowledge=1) == ["after"]


async def test_a_durable_whose_metadata_is_cleared_after_it_came_back_is_taken_back(bus: Bus) -> None:
    await bus.wire(shop())
    await bus.wire(shop())
    await bus.remove()
    await bus.wire(shop())
    await bus.edit_durable(metadata={})
    state = await bus.wire(shop())
    assert (state.refusals, state.updated) == ((), (Change(DURABLE, ("metadata",)),))


async def test_a_durable_that_was_removed_to_start_anew_starts_anew(bus: Bus) -> None:
    """As the refusal of a changed startFrom advises."""
    await bus.wire(shop())
    await bus.publish("a", "b")
    await bus.read(2, acknowledge=2)
    await bus.wire(shop())
    assert "remove the durable" in (await bus.wire(shop(startFrom="all"))).refusals[0].mend
    await bus.remove()
    state = await bus.wire(shop(startFrom="all"), promised=frozenset({REACTION}))
    assert (state.created, state.restored, state.lost) == ((DURABLE,), (), ())
    assert await bus.read(2, acknowledge=2) == ["a", "b"]


async def test_a_loss_that_nobody_saw_is_told_loudly(bus: Bus) -> None:
    """The durable is removed while no controller runs, or the controller is started anew."""
    await bus.wire(shop())
    await bus.publish("a")
    await bus.remove()
    bus.positions = None
    state = await bus.wire(shop(), promised=frozenset({REACTION}))
    assert state.lost == (Lost("package", "OrderPlaced", "created"),)
    assert "not delivered" in str(state.lost[0])
    assert (await bus.wire(shop(), promised=frozenset({REACTION}))).lost == ()


async def test_a_reaction_that_is_new_is_no_loss(bus: Bus) -> None:
    await bus.wire(shop())
    await bus.publish("a")
    state = await bus.wire(shop("OrderPlaced", "OrderRemoved"), promised=frozenset({REACTION}))
    assert (state.lost, state.restored) == ((), ())


@pytest.mark.parametrize("remembered", [True, False])
async def test_a_stream_that_was_deleted_is_made_anew_and_nothing_is_passed_over_that_comes_meanwhile(
    bus: Bus, remembered: bool
) -> None:
    await bus.wire(shop(), spec=IN_MEMORY)
    await bus.publish("a", "b", "c")
    await bus.read(3, acknowledge=3)
    await bus.wire(shop(), spec=IN_MEMORY)
    if not remembered:
        bus.positions = None
    await bus.api(f"STREAM.DELETE.{EVENTS}")

    async def publish_when_the_stream_is_back(subject: str) -> None:
        if ".CONSUMER.CREATE." in subject:
            await bus.publish("meanwhile")

    asker = Interfering(bus.connection, publish_when_the_stream_is_back)
    state = await bring_about(
        asker,
        wanted([shop()], event_bus(**IN_MEMORY), "shipping"),
        names=NAMES,
        frozen=frozenset(),
        now=NOW,
        orphan_ttl=DAY,
        remembered=bus.positions,
        promised=frozenset({REACTION}),
    )
    assert (state.remade, state.restored, state.lost) == ((EVENTS,), (), ())
    assert await bus.read(1, acknowledge=1) == ["meanwhile"]
    bus.positions = state.positions
    assert (await bus.wire(shop(), spec=IN_MEMORY)).remade == (), "it is told once"


class Interfering(Counting):
    """Somebody else acts right before a request."""

    def __init__(self, connection: Client, act: Any) -> None:
        super().__init__(connection)
        self._act = act

    async def ask(self, subject: str, payload: bytes = b"") -> bytes:
        await self._act(subject)
        return await super().ask(subject, payload)


async def test_in_a_stream_that_others_made_anew_a_durable_is_at_the_beginning(bus: Bus) -> None:
    """Sequences of the former stream mean nothing in the new one."""
    await bus.wire(shop(), spec=IN_MEMORY)
    await bus.publish("a", "b", "c")
    await bus.read(3, acknowledge=3)
    await bus.wire(shop(), spec=IN_MEMORY)
    await bus.api(f"STREAM.DELETE.{EVENTS}")
    others = Bus(bus.connection)
    await others.wire(spec=IN_MEMORY)
    await others.publish("new")
    state = await bus.wire(shop(), spec=IN_MEMORY)
    assert state.remade == (EVENTS,)
    assert await bus.read(1, acknowledge=1) == ["new"]


async def test_a_durable_that_vanishes_while_it_is_updated_comes_back_where_it_stood(bus: Bus) -> None:
    await bus.wire(shop())
    await bus.publish("a", "b")
    await bus.read(1, acknowledge=1)
    vanished = False

    async def remove(subject: str) -> None:
        nonlocal vanished
        if ".CONSUMER.CREATE." in subject and not vanished:
            vanished = True
            await bus.remove()

    changed = wanted([shop(delivery={"maxInFlight": 7})], None, "shipping")
    asker = Interfering(bus.connection, remove)
    state = await bring_about(asker, changed, names=NAMES, frozen=frozenset(), now=NOW, orphan_ttl=DAY)
    assert state.restored == (Restored("package", "OrderPlaced", 2),)
    assert await bus.read(1, acknowledge=1) == ["b"]


# -- orphans


async def test_a_reaction_that_goes_leaves_an_orphan_that_tells_what_it_did_not_read(bus: Bus) -> None:
    await bus.wire(shop("OrderPlaced", "OrderRemoved"))
    await bus.publish("a", "b")
    state = await bus.wire(shop("OrderRemoved"))
    assert state.orphaned == (Orphan("package", "OrderPlaced", 2, NOW, fresh=True, owner="uid-1"),)
    assert (await bus.durable())["config"]["metadata"]["choregos.dev/orphaned"] == "2026-01-02T03:04:05Z"
    bus.now += DAY
    state = await bus.wire(shop("OrderRemoved"))
    assert state.orphaned == (Orphan("package", "OrderPlaced", 2, NOW, fresh=False, owner="uid-1"),)
    assert bus.changes == []


async def test_an_orphan_changes_in_its_mark_only(bus: Bus) -> None:
    await bus.wire(shop(startFrom="2026-01-01T00:00:00Z"))
    before = (await bus.durable())["config"]
    await bus.wire()
    after = (await bus.durable())["config"]
    assert after["metadata"].pop("choregos.dev/orphaned")
    assert after == before


async def test_an_orphan_that_is_wanted_again_has_kept_its_position(bus: Bus) -> None:
    await bus.wire(shop())
    await bus.publish("a", "b")
    await bus.read(1, acknowledge=1)
    await bus.wire()
    bus.now += 6 * DAY
    state = await bus.wire(shop(uid="uid-2", name="renamed"))
    assert (state.orphaned, state.updated) == ((), (Change(DURABLE, ("metadata",)),))
    metadata = (await bus.durable())["config"]["metadata"]
    assert metadata["choregos.dev/owner"] == "uid-2"
    assert "choregos.dev/orphaned" not in metadata
    assert await bus.read(1, acknowledge=1) == ["b"]


async def test_an_orphan_is_swept_when_its_time_is_up_and_not_brought_back(bus: Bus) -> None:
    await bus.wire(shop())
    await bus.publish("a")
    await bus.wire()
    bus.now += 7 * DAY - timedelta(seconds=1)
    assert (await bus.wire()).swept == ()
    bus.now += timedelta(seconds=1)
    state = await bus.wire()
    assert (state.swept, state.orphaned) == ((REACTION,), ())
    assert (await bus.durable())["error"]["err_code"] == 10014
    assert (await bus.wire(shop())).restored == (), "who comes after the sweep is new"


async def test_an_orphan_that_somebody_reads_is_not_swept(bus: Bus) -> None:
    """As by the ambassadors of another cluster that has the same names on the same account."""
    await bus.wire(shop("A", "B"))
    await bus.publish("a", event="A")
    reading = await bus.connection.jetstream().pull_subscribe_bind(NAMES.durable("package", "A"), EVENTS)
    (message,) = await reading.fetch(1, timeout=30)
    waiting = f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{NAMES.durable('package', 'B')}"
    inbox = bus.connection.new_inbox()
    await bus.connection.subscribe(inbox)
    await bus.connection.publish(waiting, json.dumps({"expires": 600 * 10**9}).encode(), reply=inbox)
    await bus.wire()
    bus.now += 8 * DAY
    state = await bus.wire()
    assert state.swept == ()
    assert {(each.event, each.in_use, each.since) for each in state.orphaned} == {
        ("A", True, bus.now),
        ("B", True, bus.now),
    }
    assert (await bus.wire()).orphaned[0].fresh is False, "it is told once"
    await message.ack_sync()
    bus.now += 7 * DAY
    assert (await bus.wire()).swept == (("package", "A"),)


async def test_what_a_choreography_that_cannot_be_read_had_is_kept(bus: Bus) -> None:
    await bus.wire(shop())
    state = await bus.wire(frozen=frozenset({"uid-1"}))
    assert (state.orphaned, bus.changes) == ((), [])
    await bus.wire()
    bus.now += 8 * DAY
    state = await bus.wire(frozen=frozenset({"uid-1"}))
    assert (state.orphaned, state.swept) == ((), ())
    assert "choregos.dev/orphaned" not in (await bus.durable())["config"]["metadata"]


async def test_a_frozen_durable_that_is_deleted_comes_back_where_it_stood_when_it_thaws(bus: Bus) -> None:
    await bus.wire(shop())
    await bus.publish("a", "b")
    await bus.read(1, acknowledge=1)
    await bus.wire(shop())
    await bus.remove()
    await bus.wire(frozen=frozenset({"uid-1"}))
    await bus.wire(frozen=frozenset({"uid-1"}))
    assert (await bus.wire(shop())).restored == (Restored("package", "OrderPlaced", 2),)


async def test_what_others_made_is_let_be(bus: Bus) -> None:
    """A run of `choregos up` on the same bus, and consumers that are none of ours."""
    await bus.wire()
    laptop = wanted([shop(uid="")], None, "shipping")
    await wire(Counting(bus.connection).ask, laptop, server_version="2.15.1", now="2026-01-01T00:00:00Z")
    foreign = {"stream_name": EVENTS, "config": {"durable_name": "x", "name": "x", "ack_policy": "none"}}
    await bus.api(f"CONSUMER.CREATE.{EVENTS}.x", foreign)
    state = await bus.wire()
    assert (state.orphaned, bus.changes) == ((), [])


async def test_when_the_elder_of_two_claims_goes_the_younger_takes_over_the_position(bus: Bus) -> None:
    elder, younger = shop(uid="uid-1", name="elder"), shop(uid="uid-2", name="younger")
    await bus.wire(elder, younger)
    await bus.publish("a")
    state = await bus.wire(younger)
    assert (state.orphaned, state.updated) == ((), (Change(DURABLE, ("metadata",)),))
    assert (await bus.durable())["config"]["metadata"]["choregos.dev/owner"] == "uid-2"
    assert await bus.read(1, acknowledge=1) == ["a"]


# -- what NATS cannot do


async def test_a_server_that_is_too_old_is_told_by_its_version(bus: Bus) -> None:
    class Old(Counting):
        @property
        def server_version(self) -> str:
            return "2.9.25"

    with pytest.raises(BusUnusable, match="upgrade the NATS servers") as fault:
        await bring_about(
            Old(bus.connection),
            wanted([shop()], None, "shipping"),
            names=NAMES,
            frozen=frozenset(),
            now=NOW,
            orphan_ttl=DAY,
        )
    assert fault.value.reason == "NatsTooOld"


async def test_durables_that_no_server_can_tell_of_are_left_alone(bus: Bus) -> None:
    """As a cluster says it while a part of it is away."""
    await bus.wire(shop())

    class Blind(Counting):
        async def ask(self, subject: str, payload: bytes = b"") -> bytes:
            answer = await super().ask(subject, payload)
            if ".CONSUMER.LIST." not in subject:
                return answer
            page = json.loads(answer)
            return json.dumps({**page, "consumers": [], "missing": [DURABLE]}).encode()

    for want in (wanted([shop()], None, "shipping"), wanted([], None, "shipping")):
        asker = Blind(bus.connection)
        state = await bring_about(
            asker,
            want,
            names=NAMES,
            frozen=frozenset(),
            now=NOW,
            orphan_ttl=DAY,
            remembered=bus.positions,
            promised=frozenset({REACTION}),
        )
        assert (state.out_of_sight, state.created, state.lost, state.orphaned) == ((DURABLE,), (), (), ())
        assert not [subject for subject in asker.asked if ".CREATE." in subject]
