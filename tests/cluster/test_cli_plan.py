"""`choregos plan` says what an apply does: with a real API server, nats-server and controller, plan, then apply, then look."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from support.choreographed import SHOP, Choreographed, Manifest, becomes, reacting
from support.cluster import Cluster
from support.commands import Commands

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
ORPHANED = "choregos.dev/orphaned"


def document(services: Mapping[str, Any], name: str = "shop", **spec: Any) -> Manifest:
    events: Manifest = {event: {} for service in services.values() for event in service.get("emits", ())}
    events |= {each["event"]: {} for service in services.values() for each in service.get("reactions", ())}
    head = {"apiVersion": "choregos.dev/v1alpha1", "kind": "Choreography", "metadata": {"name": name}}
    return {**head, "spec": {"events": events, "services": dict(services), **spec}}


async def planned(commands: Commands, given: Manifest, code: int = 0, *options: str, nats: str = "") -> dict[str, Any]:
    ended = await commands.run("plan", "-", "--output=json", *options, stdin=json.dumps(given), nats=nats)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return dict(json.loads(ended.stdout))


def wirings(plan: Mapping[str, Any], *kinds: str) -> set[str]:
    return {each["durable"] for each in plan["changes"] if each.get("wiring") in kinds}


async def apply(cluster: Cluster, shop: Choreographed, given: Manifest) -> None:
    await asyncio.to_thread(cluster.apply, given, namespace=shop.namespace)
    await shop.until(given["metadata"]["name"], "True")


def seen(durable: Manifest) -> Any:
    """What the controller sets of a durable, without what it says of its life."""
    metadata = {key: value for key, value in durable["config"]["metadata"].items() if key.startswith("choregos.dev/")}
    return durable["config"]["max_ack_pending"], metadata


def orphans(durables: Mapping[str, Manifest]) -> set[str]:
    return {name for name, each in durables.items() if ORPHANED in each["config"]["metadata"]}


async def until_orphaned(shop: Choreographed, gone: set[str]) -> None:
    async def marked() -> bool:
        return gone <= orphans(await shop.durables())

    await becomes(marked, f"{gone} are marked")


async def test_a_plan_and_what_apply_then_does_are_the_same(
    cluster: Cluster, shop: Choreographed, commands: Commands
) -> None:
    audit = reacting("OrderPlaced", startFrom="all")
    steps = [
        SHOP,
        {**SHOP, "payment": reacting("OrderPlaced", suspend=True)},
        {**SHOP, "payment": reacting("OrderPlaced", delivery={"maxInFlight": 7}), "audit": audit},
        {"shop": SHOP["shop"], "payments": SHOP["payment"], "audit": audit},
        {**SHOP, "audit": {**audit, "port": 9090}},
    ]
    expected = [{"create"}, {"keep"}, {"update", "create"}, {"orphan", "create"}, {"adopt", "orphan", "keep"}]
    for number, (services, kinds) in enumerate(zip(steps, expected, strict=True)):
        given, before = document(services), await shop.durables()
        plan = await planned(commands, given)
        assert {each["wiring"] for each in plan["changes"] if "wiring" in each} == kinds, number
        assert plan["unknown"] == []
        await apply(cluster, shop, given)

        await until_orphaned(shop, wirings(plan, "orphan"))
        after = await shop.durables()
        assert after.keys() - before.keys() == wirings(plan, "create"), number
        assert orphans(after) - orphans(before) == wirings(plan, "orphan"), number
        changed = {name for name in before if seen(before[name]) != seen(after[name])}
        assert changed == wirings(plan, "update", "orphan", "adopt"), number
        for each in plan["changes"]:
            if each.get("wiring") == "create":
                assert after[each["durable"]]["num_pending"] == each["waiting"], each
        assert (await planned(commands, given))["changes"] == [], number
        if number == 1:  # suspended, and 3 events come meanwhile
            for event in range(3):
                await shop.bus().publish("OrderPlaced", event_id=str(event))


async def test_what_would_be_dropped_is_counted_where_nats_can_be_asked(
    cluster: Cluster, shop: Choreographed, commands: Commands
) -> None:
    await apply(cluster, shop, document(SHOP))
    for event in range(4):
        await shop.bus().publish("OrderPlaced", event_id=str(event))
    without = document({"shop": SHOP["shop"]})
    (gone,) = (each for each in (await planned(commands, without))["changes"] if each["what"] == "reaction")
    assert (gone["name"], gone["waiting"], gone["inHand"], gone["deadLetters"]) == ("payment/OrderPlaced", 4, 0, 0)
    plan = await planned(commands, without, nats="nats://127.0.0.1:1")
    (gone,) = (each for each in plan["changes"] if each["what"] == "reaction")
    assert (gone["wiring"], gone["waiting"], gone["inHand"]) == ("orphan", None, None)
    assert "127.0.0.1:1" in plan["unknown"][0]
    assert wirings(plan, "orphan") == {"choregos_payment_OrderPlaced"}


async def test_the_exit_code_tells_changes_only_where_it_is_asked_to(
    cluster: Cluster, shop: Choreographed, commands: Commands
) -> None:
    await planned(commands, document(SHOP), 4, "--exit-code")
    await apply(cluster, shop, document(SHOP))
    assert (await planned(commands, document(SHOP), 0, "--exit-code"))["changes"] == []


async def test_what_the_api_server_refuses_is_refused_in_the_plan(
    cluster: Cluster, shop: Choreographed, commands: Commands
) -> None:
    def bus(prefix: str) -> Manifest:
        head = {"apiVersion": "choregos.dev/v1alpha1", "kind": "EventBus", "metadata": {"name": "side"}}
        return {**head, "spec": {"stream": {"prefix": prefix}}}

    await asyncio.to_thread(cluster.apply, bus("one"), namespace=shop.namespace)
    plan = await planned(commands, bus("two"), 1)
    assert plan["refused"] is True
    (verdict,) = plan["verdicts"]
    assert verdict["accepted"] is False
    assert "prefix cannot be changed from one" in verdict["refusal"]
    assert plan["changes"] == []


async def test_a_bus_that_would_leave_its_streams_is_what_the_controller_refuses(
    cluster: Cluster, shop: Choreographed, commands: Commands
) -> None:
    await apply(cluster, shop, document(SHOP))
    await shop.bus().publish("OrderPlaced")
    head = {"apiVersion": "choregos.dev/v1alpha1", "kind": "EventBus", "metadata": {"name": "default"}}
    moved = {**head, "spec": {"stream": {"prefix": "other"}}}
    (change,) = (await planned(commands, moved, 1))["changes"]
    assert (change["what"], change["refused"], change["unread"]) == ("bus", True, 1)
    await asyncio.to_thread(cluster.apply, moved, namespace=shop.namespace)
    await shop.until("shop", "False", "Refused", of="Wired")


async def test_the_younger_of_two_claims_changes_nothing_and_is_told_so(
    cluster: Cluster, shop: Choreographed, commands: Commands
) -> None:
    await apply(cluster, shop, document(SHOP))
    younger = document({"payment": reacting("OrderPlaced")}, "younger")
    younger["spec"]["events"]["OrderPlaced"] = {"external": True}
    plan = await planned(commands, younger)
    assert [each["what"] for each in plan["changes"]] == ["choreography", "event"]
    assert {each["code"] for each in plan["findings"]} >= {"claimed-twice"}


async def test_people_are_told_in_sentences(cluster: Cluster, shop: Choreographed, commands: Commands) -> None:
    await apply(cluster, shop, document(SHOP))
    await shop.pod("payment-1", "payment")
    await shop.bus().publish("OrderPlaced")
    renamed = document({"shop": SHOP["shop"], "payments": SHOP["payment"]})
    ended = await commands.run("plan", "-", stdin=json.dumps(renamed))
    assert ended.returncode == 0, ended.stderr
    assert "- reaction payment/OrderPlaced\n" in ended.stdout
    assert "+ reaction payments/OrderPlaced\n" in ended.stdout
    assert "1 event waiting would be dropped with it" in ended.stdout
    assert "1 pod (payment-1) is told that there is nothing to do any more" in ended.stdout
    assert ended.stdout.endswith("2 new, 1 changed, 2 gone\n")
