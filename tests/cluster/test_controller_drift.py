"""What other hands do to durables, streams and ConfigMaps, and what becomes of positions."""

import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from support.bus import TestBus
from support.choreographed import SHOP, Choreographed, api_client, becomes, reacting
from support.cluster import Cluster
from support.controlled import Controlled, controlled
from support.operator_process import OperatorProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")
module = pytest_asyncio.fixture(scope="module", loop_scope="module")

SECONDS = 12
"""For which the sweeper keeps orphans: long enough to see them before they go."""


@module
async def site(cluster: Cluster, crds: None) -> AsyncIterator[Controlled]:
    with cluster.namespace("release") as release:
        async with controlled(cluster, release) as running:
            yield running


@module
async def controller(site: Controlled) -> AsyncIterator[OperatorProcess]:
    """One for all tests here, that looks at everything every two seconds."""
    async with site.controller(sweep_seconds="2") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(
    cluster: Cluster, namespace: str, site: Controlled, controller: OperatorProcess
) -> AsyncIterator[Choreographed]:
    """Wired, with three events of which payment has done one and has another in hand."""
    async with api_client(cluster.kubeconfig) as client:
        found = Choreographed(client, namespace, site.shop.nats)
        await found.choreography("shop", SHOP)
        await found.until("shop", "True")
        for number in range(3):
            await found.bus().publish("OrderPlaced", b"{}", f"e{number}")
        assert await read(found, acknowledge=1) == ["e0"]
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def sweeper(site: Controlled, controller: OperatorProcess, shop: Choreographed) -> AsyncIterator[OperatorProcess]:
    """In place of the controller, once it has wired: one that does not keep orphans for long."""
    controller.signal(signal.SIGTERM)
    await controller.ended()
    try:
        async with site.controller(sweep_seconds="2", orphan_ttl_days=str(SECONDS / 86400)) as running:
            yield running
            running.signal(signal.SIGTERM)  # gives the Lease back
            await running.ended()
    finally:
        await controller.start()


async def read(shop: Choreographed, *, acknowledge: int) -> list[str]:
    """Take so many events as payment's ambassador would, acknowledge them, and return their ids."""
    names = shop.bus().names
    durable = names.durable("payment", "OrderPlaced")
    subscription = await shop.nats.jetstream().pull_subscribe_bind(durable, names.event_stream)
    messages = await subscription.fetch(acknowledge, timeout=30)
    for message in messages:
        await message.ack_sync(timeout=30)
    await subscription.unsubscribe()
    return [(message.headers or {})["ce-id"] for message in messages]


async def durable(shop: Choreographed) -> dict[str, Any]:
    """The durable of payment's reaction; empty, if there is none."""
    found = await shop.durables()
    return dict(found.get(shop.bus().names.durable("payment", "OrderPlaced"), {}))


async def ask(bus: TestBus, subject: str, body: Any = None) -> None:
    answer = await bus.api(subject, body)
    assert "error" not in answer, answer


# --- durables ---


async def test_a_durable_that_was_deleted_by_hand_comes_back_where_it_stood(shop: Choreographed) -> None:
    bus, made = shop.bus(), (await durable(shop))["created"]
    # The place is known from the last look; wait for one after the acknowledgement.
    await shop.merge("Choreography", "shop", {"metadata": {"annotations": {"look": "now"}}})
    await ask(bus, f"CONSUMER.DELETE.{bus.names.event_stream}.{bus.names.durable('payment', 'OrderPlaced')}")
    await bus.publish("OrderPlaced", b"{}", "meanwhile")

    async def back() -> bool:
        return bool((await durable(shop)).get("created", made) != made)

    await becomes(back, "the durable is back")
    ids = await read(shop, acknowledge=3)
    if "e0" in ids:  # done before the last look may be done again, and nothing is lost
        ids = [*ids[1:], *await read(shop, acknowledge=1)]
    assert ids == ["e1", "e2", "meanwhile"]
    assert "no event is lost" in await shop.until_told("PositionRestored", "shop")


async def test_a_durable_that_was_edited_by_hand_is_as_wanted_again(shop: Choreographed) -> None:
    bus, config = shop.bus(), (await durable(shop))["config"]
    edited = {**config, "max_ack_pending": 3}
    body = {"stream_name": bus.names.event_stream, "config": edited, "action": "update"}
    await ask(bus, f"CONSUMER.CREATE.{bus.names.event_stream}.{config['name']}", body)

    async def mended() -> bool:
        return bool((await durable(shop))["config"] == config)

    await becomes(mended, "the durable is as wanted")
    assert config["name"] in await shop.until_told("EditedByHand", "shop")
    assert await read(shop, acknowledge=2) == ["e1", "e2"], "its position is kept"


async def test_what_is_deleted_and_applied_again_goes_on_where_it_was(shop: Choreographed) -> None:
    before = await durable(shop)
    await shop.delete("Choreography", "shop")
    await becomes(lambda: orphaned(shop), "it is marked as an orphan")
    await shop.choreography("shop", SHOP)
    await shop.until("shop", "True")
    after = await durable(shop)
    assert not marked(after)
    assert after["created"] == before["created"]
    assert after["ack_floor"] == before["ack_floor"]
    assert after["config"]["metadata"]["choregos.dev/owner"] != before["config"]["metadata"]["choregos.dev/owner"]
    assert await read(shop, acknowledge=2) == ["e1", "e2"]


def marked(durable: dict[str, Any]) -> bool:
    return "choregos.dev/orphaned" in durable["config"]["metadata"]


async def orphaned(shop: Choreographed) -> bool:
    return marked(await durable(shop))


@pytest.mark.usefixtures("sweeper")
async def test_a_reaction_that_is_removed_with_events_pending_is_told_kept_and_swept(shop: Choreographed) -> None:
    await shop.choreography("shop", {"shop": SHOP["shop"], "stock": reacting("OrderPlaced")})
    note = await shop.until_told("EventsPending", "shop")
    assert "payment/OrderPlaced is gone" in note
    assert "2 events" in note

    async def reported() -> list[dict[str, Any]]:
        return list((await shop.get("Choreography", "shop"))["status"].get("orphaned", []))

    (orphan,) = await becomes(reported, "status.orphaned")
    assert (orphan["reaction"], orphan["pending"]) == ("payment/OrderPlaced", 2)
    assert await orphaned(shop)
    await becomes(lambda: gone(shop), "it is swept when its time is over", patience=60)
    assert len(await shop.bus().events()) == 3, "events are never deleted"
    assert await shop.find("ConfigMap", "choregos-payment") is None

    async def unreported() -> bool:
        return not await reported()

    await becomes(unreported, "status.orphaned is empty again")


async def gone(shop: Choreographed) -> bool:
    return not await durable(shop)


@pytest.mark.usefixtures("sweeper")
async def test_the_orphans_of_a_bus_that_nobody_names_any_more_are_swept_as_well(shop: Choreographed) -> None:
    # A controller remembers only buses that it has looked at itself.
    await shop.choreography("shop", {**SHOP, "stock": reacting("OrderPlaced")})
    await becomes(lambda: shop.find("ConfigMap", "choregos-stock"), "this controller has looked at the bus")
    await shop.delete("Choreography", "shop")
    await becomes(lambda: gone(shop), "it is swept when its time is over", patience=60)


# --- streams ---


async def test_a_stream_that_was_edited_by_hand_is_reported_and_left(shop: Choreographed) -> None:
    await shop.apply("EventBus", "default", spec={"stream": {"maxAge": "24h"}})
    await shop.until("default", "True", kind="EventBus")
    bus = shop.bus()
    config = (await bus.api(f"STREAM.INFO.{bus.names.event_stream}"))["config"]
    hours = 3_600_000_000_000
    assert config["max_age"] == 24 * hours
    await ask(bus, f"STREAM.UPDATE.{bus.names.event_stream}", {**config, "max_age": 48 * hours})
    await shop.until("default", "True", "Drift", of="Wired", kind="EventBus", text="maxAge")
    await shop.until("shop", "True", "Drift", of="Wired", text="maxAge")
    assert "maxAge" in await shop.until_told("Drift", "default")
    await shop.merge("Choreography", "shop", {"metadata": {"annotations": {"look": "again"}}})
    await shop.until("shop", "True", "Drift", of="Wired", text="maxAge")
    assert (await bus.api(f"STREAM.INFO.{bus.names.event_stream}"))["config"]["max_age"] == 48 * hours


# --- ConfigMaps ---


async def test_a_configmap_that_was_deleted_by_hand_comes_back(shop: Choreographed) -> None:
    before = await shop.get("ConfigMap", "choregos-payment")
    await shop.delete("ConfigMap", "choregos-payment")

    async def back() -> bool:
        found = await shop.find("ConfigMap", "choregos-payment")
        return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

    await becomes(back, "the ConfigMap is back")
    assert (await shop.configuration("payment"))["reactions"][0]["event"] == "OrderPlaced"


@pytest.mark.parametrize(
    "edit",
    [
        {"data": {"configuration.json": "{}"}},
        {"data": {"configuration.json": "not JSON"}},
        {"data": None},
        {"metadata": {"ownerReferences": []}},
        {"metadata": {"labels": {"choregos.dev/service": "another"}}},
        {"metadata": {"labels": {"choregos.dev/service": None}}},
    ],
    ids=["empty", "broken", "without data", "without owners", "of another service", "without label"],
)
async def test_a_configmap_that_was_edited_by_hand_is_as_wanted_again(
    shop: Choreographed, edit: dict[str, Any]
) -> None:
    before = await shop.get("ConfigMap", "choregos-payment")
    await shop.merge("ConfigMap", "choregos-payment", edit)

    def essence(found: dict[str, Any]) -> Any:
        document = found.get("data", {}).get("configuration.json", "").partition('"service"')[2]
        return document, found["metadata"].get("labels"), found["metadata"].get("ownerReferences")

    async def mended() -> bool:
        return bool(essence(await shop.get("ConfigMap", "choregos-payment")) == essence(before))

    assert essence(before)[0], "the document after its generation"
    await becomes(mended, "the ConfigMap is as wanted")


async def test_a_configmap_of_somebody_else_is_not_taken(shop: Choreographed) -> None:
    await shop.apply("ConfigMap", "choregos-stock", data={"theirs": "yes"})
    await shop.choreography("more", {"desk": {"emits": ["Asked"]}, "stock": reacting("Asked")})
    await shop.until("more", "False", "NotWritten", of="Wired", text="choregos-stock")
    assert (await shop.get("ConfigMap", "choregos-stock"))["data"] == {"theirs": "yes"}
    assert (await shop.condition("Choreography", "shop", "Ready"))["status"] == "True"
    await shop.delete("ConfigMap", "choregos-stock")
    await shop.until("more", "True")
