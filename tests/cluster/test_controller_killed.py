"""The end of a controller, in order and at any instant, and who comes after it."""

import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nats.aio.msg import Msg

from support.choreographed import SHOP, Choreographed, becomes, reacting
from support.cluster import Cluster
from support.cluster_roles import administrator
from support.controlled import Controlled, controlled
from support.operator_process import OperatorProcess

EVENTS = [f"Event{number}" for number in range(12)]
SERVICES = 30
LARGE: dict[str, Any] = {
    "source": {"emits": EVENTS},
    **{f"sink{number}": reacting(*EVENTS) for number in range(SERVICES)},
}
"""Of 360 durables and 31 ConfigMaps."""


@pytest.fixture
async def site(cluster: Cluster, crds: None, namespace: str) -> AsyncIterator[Controlled]:
    async with controlled(cluster, namespace) as running:
        yield running


async def killed_after(controller: OperatorProcess, shop: Choreographed, subject: str, requests: int) -> None:
    """Kill the controller when it has sent so many requests to such a subject of NATS."""
    seen = 0

    async def count(_: Msg) -> None:
        nonlocal seen
        seen += 1
        if seen == requests:
            controller.kill()

    subscription = await shop.nats.subscribe(subject, cb=count)
    await shop.nats.flush()
    await controller.start()
    assert await controller.ended() == -signal.SIGKILL
    await subscription.unsubscribe()


async def done(shop: Choreographed, durable: str) -> None:
    """Take one event as an ambassador would, and acknowledge it."""
    subscription = await shop.nats.jetstream().pull_subscribe_bind(durable, shop.bus().names.event_stream)
    (message,) = await subscription.fetch(1)
    await message.ack_sync()
    await subscription.unsubscribe()


async def test_a_controller_that_is_killed_while_it_wires_leaves_nothing_that_the_next_does_not_finish(
    site: Controlled,
) -> None:
    shop = site.shop
    await shop.choreography("large", LARGE)
    stood: dict[str, dict[str, Any]] = {}
    for number, requests in enumerate((20, 30, 60, 40)):
        # A Lease each: none waits for the end of the one before.
        controller = site.controller(lease=f"lease-{number}")
        await killed_after(controller, shop, "$JS.API.CONSUMER.CREATE.>", requests)
        # NATS may still be about what it was sent.
        now = await becomes(shop.durables, "the first durable")
        assert len(now) < SERVICES * len(EVENTS), "killed in the middle"
        assert {name: now[name]["created"] for name in stood} == {name: was["created"] for name, was in stood.items()}
        if not stood:
            name = next(iter(now))
            sequence = await shop.bus().publish(now[name]["config"]["metadata"]["choregos.dev/event"])
            await done(shop, name)
        assert (await shop.get("Choreography", "large")).get("status") is None, "nobody said that it was done"
        stood = now
    async with site.controller(lease="lease-last") as last:
        await shop.until("large", "True")
        assert not [line for line in last.lines if line["level"] == "error"]
    after = await shop.durables()
    assert len(after) == SERVICES * len(EVENTS)
    assert {name: after[name]["created"] for name in stood} == {name: was["created"] for name, was in stood.items()}
    assert after[name]["ack_floor"]["stream_seq"] >= sequence
    assert (await shop.configuration("source"))["emits"] == EVENTS
    for number in range(SERVICES):
        assert len((await shop.configuration(f"sink{number}"))["reactions"]) == len(EVENTS)


async def test_what_was_deleted_and_applied_again_while_no_controller_ran_goes_on_where_it_was(
    site: Controlled,
) -> None:
    shop = site.shop
    await shop.choreography("shop", SHOP)
    async with site.controller(lease="first"):
        await shop.until("shop", "True")
        document = await shop.configuration("payment")
    ((name, before),) = (await shop.durables()).items()
    for number in range(3):
        await shop.bus().publish("OrderPlaced", event_id=f"e{number}")
    await done(shop, name)
    await shop.delete("Choreography", "shop")
    await shop.choreography("shop", SHOP)
    async with site.controller(lease="second"):
        await shop.until("shop", "True")
    ((_, after),) = (await shop.durables()).items()
    assert (after["created"], after["num_pending"]) == (before["created"], 2)
    assert after["config"]["metadata"]["choregos.dev/owner"] != before["config"]["metadata"]["choregos.dev/owner"]
    assert (await shop.configuration("payment")) | {"generation": 1} == document


@pytest.mark.usefixtures("own_cluster")
async def test_of_two_controllers_one_works_and_the_other_follows_when_it_dies(
    cluster: Cluster, site: Controlled
) -> None:
    shop = site.shop
    waiting = Controlled(shop, site.server, administrator(cluster, "second-controller"))
    async with site.controller(lease_seconds="9") as first:
        other = waiting.controller(lease_seconds="9")
        other.ready = "waiting for the lease"
        async with other as second:
            await shop.choreography("shop", SHOP)
            await shop.until("shop", "True")
            asked = {(each.verb, each.resource) for each in cluster.requests("second-controller")}
            assert asked == {("get", "leases")}, "who waits does nothing else"
            first.kill()
            await second.logged("holding the lease")
            await shop.choreography("shop", {**SHOP, "payment": reacting("OrderPlaced", suspend=True)})
            await shop.until("shop", "True")
            assert (await shop.configuration("payment"))["generation"] == 2


async def test_a_signal_ends_it_at_once_and_in_order(site: Controlled) -> None:
    shop = site.shop
    await shop.choreography("shop", SHOP)
    async with site.controller() as controller:
        await shop.until("shop", "True")
        began = time.monotonic()
        controller.signal(signal.SIGTERM)
        assert await controller.ended() == 0
        assert time.monotonic() - began < 10, "nothing waits for the end of a sweep or of a watch"
        lease = await shop.get("Lease", "choregos-controller")
        assert "holderIdentity" not in lease["spec"], "the next one need not wait"
        assert not [line for line in controller.lines if line["level"] == "error"]


async def test_a_second_signal_ends_it_as_well(site: Controlled) -> None:
    async with site.controller() as controller:
        controller.signal(signal.SIGINT)
        controller.signal(signal.SIGTERM)
        assert await controller.ended() in (0, 128 + signal.SIGTERM, 128 + signal.SIGINT)


async def test_one_that_still_waits_for_the_lease_ends_as_well(site: Controlled) -> None:
    async with site.controller():
        other = site.controller()
        other.ready = "waiting for the lease"
        async with other:
            other.signal(signal.SIGTERM)
            assert await other.ended() == 0
            lease = await site.shop.get("Lease", "choregos-controller")
            assert lease["spec"].get("holderIdentity"), "the first one's"


async def test_after_a_lost_lease_it_ends_with_a_sentence(site: Controlled) -> None:
    async with site.controller(lease_seconds="9") as controller:
        usurped = {"holderIdentity": "usurper", "leaseDurationSeconds": 3600}
        await site.shop.merge("Lease", "choregos-controller", {"spec": usurped})
        assert await controller.ended() == 1
        assert "error: the lease choregos-controller is held by usurper now" in controller.output.decode()
