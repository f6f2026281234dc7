"""A dead letter whose acknowledgement is missing is found again, whatever other letters came after it."""

from pathlib import Path

from support.choreographies import event_bus
from support.scene import SERVICE, scene
from support.service import always

ACK_WAIT = 2.0
SHORT_WINDOW = "1s"
"""Shorter than the lease: a second letter of the same event would be stored."""
SHARD = "one transaction, one shard"


async def test_an_event_is_buried_once_though_another_letter_of_its_shard_came_in_between(tmp_path: Path) -> None:
    async with scene({"event": "Placed"}, bus=event_bus(stream={"duplicateWindow": SHORT_WINDOW})) as shop:
        shop.service.handler = always(422)
        await shop.bus.shorten_ack_wait(SERVICE, "Placed", ACK_WAIT)
        died = f"after-letter@{tmp_path / 'died'}"
        async with shop.ambassador(CHOREGOS_FAIL_POINT=died) as ambassador:
            first = await shop.bus.publish("Placed", b"{}", "e0", correlationid=SHARD)
            assert await ambassador.ended() == -9
            await shop.bus.publish("Placed", b"{}", "e1", correlationid=SHARD)
            await ambassador.start()
            await ambassador.logged("hop", verdict="dead-letter", event_id="e1")
            await shop.settled()
        assert shop.called() == ["e0", "e1"]
        assert len(await shop.bus.dead_letters(of=first)) == 1
        assert len(await shop.bus.dead_letters()) == 2
