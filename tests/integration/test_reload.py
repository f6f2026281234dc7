"""A configuration that changes while the ambassador runs disturbs nothing that it does not name."""

import asyncio
import json
from collections import Counter

import aiohttp
from aiohttp import web
from msgspec.structs import replace

from choregos_contract.configuration import dump
from support.bus import wired
from support.scene import SERVICE, metric, scene, worker
from support.service import Call, always

KEPT = {"event": "Kept", "path": "/kept"}
CHANGED = {"event": "Changed", "path": "/old"}
REMOVED = {"event": "Removed", "path": "/removed"}
ADDED = {"event": "Added", "path": "/added"}
SOON = 5.0


class Gatekeeper:
    """Answers 204 to everything, but to /kept only when its door is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, call: Call) -> web.Response:
        if call.path == "/kept":
            await self.open.wait()
        return web.Response(status=204)


async def test_adding_changing_and_removing_reactions_leaves_the_others_alone() -> None:
    async with scene(KEPT, CHANGED, REMOVED, ADDED) as shop:
        gatekeeper = Gatekeeper()
        shop.service.handler = gatekeeper
        before = shop.configured(KEPT, CHANGED, REMOVED, generation=1)
        async with shop.ambassador(before) as ambassador:
            await shop.publish(4, "Changed", "c")
            await shop.publish(4, "Removed", "r")
            await shop.settled("Changed", "Removed")
            kept = await shop.publish(3, "Kept", "k")
            await shop.service.until_calls(8 + 3)

            ambassador.configure(shop.configured(KEPT, CHANGED | {"path": "/new"}, ADDED))
            await ambassador.logged("configured", generation=2)
            await shop.publish(1, "Removed", "late")
            await shop.publish(1, "Added", "a")
            await shop.publish(1, "Changed", "changed")
            await shop.settled("Added", "Changed")

            gatekeeper.open.set()
            await shop.settled("Kept")
            paths = {call.headers["ce-id"]: call.path for call in shop.service.calls}
            assert paths["changed0"] == "/new"
            assert paths["a0"] == "/added"
            assert "late0" not in paths
            assert sorted(each for each in shop.called() if each.startswith("k")) == kept
            assert {call.headers["choregos-attempt"] for call in shop.service.calls} == {"1"}

            ambassador.configure(shop.configured(KEPT, REMOVED, generation=3))
            await shop.settled("Removed")
            assert shop.called()[-1] == "late0", "its position was kept"


async def test_a_configuration_that_cannot_be_used_leaves_the_last_good_one_in_force() -> None:
    async with scene() as shop, shop.ambassador() as ambassador:
        await ambassador.logged("configured")
        good = json.loads(dump(shop.configuration))
        unusable = {
            "version 99 is not known": json.dumps(good | {"version": 99}).encode(),
            "truncated": b'{"version": 1, "generation',
            "unknown field": json.dumps(good | {"surprise": 1}).encode(),
            "another service": dump(replace(shop.configuration, service="impostor")),
        }
        for number, (reason, document) in enumerate(unusable.items(), start=1):
            ambassador.configure_raw(document)
            await ambassador.until(lambda number=number: refused(ambassador.lines) == number)  # type: ignore[misc]
            last = [line for line in ambassador.lines if line["message"] == "configuration refused"][-1]
            assert reason in last["error"], last
            assert last["in_force"]
        assert await metric(ambassador.probes_url, "choregos_configuration_errors_total") == len(unusable)
        await shop.publish(1)
        await shop.service.until_calls(1)

        ambassador.configure(replace(shop.configuration, generation=7))
        await ambassador.logged("configured", generation=7)


def refused(lines: list[dict[str, object]]) -> int:
    return len([line for line in lines if line["message"] == "configuration refused"])


async def test_a_suspended_reaction_keeps_its_position() -> None:
    async with scene(KEPT, CHANGED) as shop:
        gatekeeper = Gatekeeper()
        gatekeeper.open.set()
        shop.service.handler = gatekeeper
        async with shop.ambassador() as ambassador:
            await shop.publish(2, "Kept", "before")
            await shop.settled("Kept")
            ambassador.configure(shop.configured(KEPT | {"suspend": True}, CHANGED))
            await ambassador.logged("configured", generation=2)
            waiting = await shop.publish(30, "Kept", "k")
            await shop.publish(30, "Changed", "c")
            await shop.settled("Changed")
            assert not [each for each in shop.called() if each.startswith("k")]

            ambassador.configure(shop.configured(KEPT, CHANGED, generation=3))
            await shop.settled("Kept")
        assert sorted(each for each in shop.called() if each.startswith("k")) == sorted(waiting)
        assert not await shop.bus.dead_letters()


async def test_a_durable_that_was_deleted_is_missed_but_never_made_again() -> None:
    """Its position is lost, and only who wires the bus may decide what that means."""
    async with scene() as shop, shop.ambassador() as ambassador:
        await shop.publish(1)
        await shop.settled()
        names = shop.bus.names
        durable = names.durable(SERVICE, "Placed")
        await shop.bus.api(f"CONSUMER.DELETE.{names.event_stream}.{durable}")
        told = await ambassador.logged("durable gone", durable=durable)
        assert told["level"] == "error"
        assert await metric(ambassador.probes_url, "choregos_consumer_present") == 0
        assert (await shop.bus.durable(SERVICE, "Placed"))["error"]["err_code"] == 10014

        await wired(shop.bus.connection, worker(port=shop.service.port))
        await ambassador.logged("durable there", durable=durable)
        await shop.publish(1, prefix="again")
        await shop.settled()
        assert shop.called()[-1] == "again0"
        assert await metric(ambassador.probes_url, "choregos_consumer_present") == 1


async def test_a_reload_while_nats_is_away_is_in_force_when_it_is_back() -> None:
    async with scene(KEPT, REMOVED, ADDED) as shop:
        shop.service.handler = always(204)
        async with shop.ambassador(shop.configured(KEPT, REMOVED, generation=1)) as ambassador:
            await ambassador.logged("configured", generation=1)
            shop.server.stop()
            await ambassador.logged("disconnected")
            ambassador.configure(shop.configured(KEPT, ADDED))

            async def is_read() -> bool:
                return await metric(ambassador.probes_url, "choregos_configuration_generation") == 2

            await shop.bus.until(is_read)
            shop.server.start()
            await ambassador.logged("configured", generation=2)
            await shop.publish(1, "Kept", "k")
            await shop.publish(1, "Removed", "r")
            await shop.publish(1, "Added", "a")
            await shop.settled("Kept", "Added")
        assert sorted(shop.called()) == ["a0", "k0"]


async def test_a_service_that_nobody_declares_any_more_rests_and_goes_on_where_it_was() -> None:
    """Its ConfigMap is gone then; the position stays with the durable."""
    async with scene() as shop, shop.ambassador() as ambassador:
        await shop.publish(3)
        await shop.settled()
        ambassador.configure_gone()
        await ambassador.logged("configuration gone", generation=1)
        await ambassador.logged("configured", reactions=[])
        missed = await shop.publish(5, prefix="later")
        async with aiohttp.ClientSession() as session:
            answer = await session.post(f"{ambassador.publish_url}/events/Done", json={})
            assert answer.status == 503
        assert not set(missed) & set(shop.called())
        ambassador.configure(shop.configuration)
        await shop.settled()
        assert set(missed) <= set(shop.called())
        assert max(Counter(shop.called()).values()) == 1
