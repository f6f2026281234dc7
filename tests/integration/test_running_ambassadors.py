"""Which ambassadors run is asked of all at once; who is slow to answer is not taken for one that is not there."""

import asyncio
import json
import time

import pytest
from nats.aio.msg import Msg

from choregos_cli.cluster.ambassadors import SILENCE, running_ambassadors
from choregos_contract.names import BusNames
from choregos_contract.running import SUBJECT
from support.bus import connected
from support.nats import NatsServer

NAMES = BusNames(namespace="shop")
ANSWER = {
    "id": "a",
    "metadata": {"service": "payment", "namespace": "shop", "bus": "default", "pod": "payment-1"},
    "endpoints": [{"data": {"breaker": "closed"}}],
}


@pytest.mark.timeout(60)
async def test_the_first_answer_may_come_late_and_where_there_is_nobody_that_is_told_at_once() -> None:
    with NatsServer() as server:
        async with connected(server.url) as nats:
            began = time.monotonic()
            assert await running_ambassadors(nats, NAMES) == ()
            assert time.monotonic() - began < SILENCE

            async def late(message: Msg) -> None:
                await asyncio.sleep(2 * SILENCE)  # a tunnel that is slow
                await message.respond(json.dumps(ANSWER).encode())

            await nats.subscribe(SUBJECT, cb=late)
            (found,) = await running_ambassadors(nats, NAMES)
            assert found.pod == "payment-1"
