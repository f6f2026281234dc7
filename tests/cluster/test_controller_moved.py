"""An EventBus that is deleted, or made anew with other streams, takes no ambassador's events away from it."""

import pytest

from support.choreographed import SHOP, Choreographed
from support.cluster import Cluster
from support.controlled import controlled

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def streams(shop: Choreographed) -> set[str]:
    return set((await shop.bus().api("STREAM.NAMES"))["streams"] or ())


async def test_an_event_bus_that_is_deleted_moves_nobody_until_its_configmaps_are_gone(
    cluster: Cluster, crds: None, namespace: str
) -> None:
    async with controlled(cluster, namespace) as site, site.controller(sweep_seconds="2"):
        shop, spec = site.shop, {"stream": {"prefix": "mine"}}
        await shop.apply("EventBus", "default", spec=spec)
        await shop.choreography("shop", SHOP)
        await shop.until("shop", "True")
        document, before = await shop.configuration("payment"), await streams(shop)
        assert document["bus"]["prefix"] == "mine"

        await shop.delete("EventBus", "default")
        await shop.until("shop", "False", "Refused", of="Wired", text="put the EventBus default back")
        assert (await shop.configuration("payment"), await streams(shop)) == (document, before)

        await shop.apply("EventBus", "default", spec=spec)
        await shop.until("shop", "True")
        assert (await shop.configuration("payment"), await streams(shop)) == (document, before)

        await shop.delete("EventBus", "default")
        await shop.apply("EventBus", "default", spec={"stream": {"prefix": "other"}})
        await shop.until("default", "False", "Refused", kind="EventBus", text="configured for prefix mine")
        for service in SHOP:
            await shop.delete("ConfigMap", f"choregos-{service}")
        await shop.until("shop", "True")
        assert (await shop.configuration("payment"))["bus"]["prefix"] == "other"
