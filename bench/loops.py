"""The loops that the ambassador is measured against, each as a process: what one would write by hand with nats-py.

    loops.py bare  NATS STREAM DURABLE          pull, acknowledge: the least that any consumer pays
    loops.py naive NATS STREAM DURABLE TARGET   pull, POST with aiohttp, acknowledge after a 2xx

Both say `ready` when they are connected, and begin when a message comes on `bench.go`.
"""

import asyncio
import sys

import aiohttp
import nats
import uvloop
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

BATCH = 32


async def _bare(subscription: JetStreamContext.PullSubscription) -> None:
    while True:
        for message in await _fetch(subscription):
            await message.ack()


async def _naive(subscription: JetStreamContext.PullSubscription, target: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            await asyncio.gather(*(_post(session, target, each) for each in await _fetch(subscription)))


async def _post(session: aiohttp.ClientSession, target: str, message: Msg) -> None:
    async with session.post(target, data=message.data, headers=message.headers) as answer:
        await answer.read()
        if 200 <= answer.status < 300:
            await message.ack()


async def _fetch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    try:
        return await subscription.fetch(BATCH, timeout=5)
    except nats.errors.TimeoutError:
        return []


async def main(kind: str, url: str, stream: str, durable: str, target: str = "") -> None:
    """Run one of the loops until the process is ended."""
    connection = await nats.connect(url)
    subscription = await connection.jetstream().pull_subscribe_bind(durable, stream)
    go = await connection.subscribe("bench.go", max_msgs=1)
    await connection.flush()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await go.next_msg(timeout=60)
    await (_bare(subscription) if kind == "bare" else _naive(subscription, target))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
