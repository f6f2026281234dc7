"""The loops that the ambassador is measured against, each as a process: what one would write by hand with nats-py.

    loops.py bare    NATS STREAM DURABLE                 pull, acknowledge: the least that any consumer pays
    loops.py naive   NATS STREAM DURABLE TARGET          pull, POST with aiohttp, acknowledge after a 2xx
    loops.py replies NATS STREAM DURABLE TARGET SUBJECT  the same, and publish the event of the answer before: wait for its PubAck

Acknowledgements are not confirmed, nothing is retried, leases are not renewed, metrics are not kept.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import aiohttp
import nats
import uvloop
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

IN_FLIGHT = 32

Post = Callable[[aiohttp.ClientSession, Msg], Awaitable[None]]


async def _bare(subscription: JetStreamContext.PullSubscription) -> None:
    while True:
        for message in await _fetch(subscription):
            await message.ack()


async def _naive(subscription: JetStreamContext.PullSubscription, post: Post) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            await asyncio.gather(*(post(session, each) for each in await _fetch(subscription)))


async def _fetch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    try:
        return await subscription.fetch(IN_FLIGHT, timeout=5)
    except nats.errors.TimeoutError:
        return []


def _without_reply(target: str) -> Post:
    async def post(session: aiohttp.ClientSession, message: Msg) -> None:
        async with session.post(target, data=message.data, headers=message.headers) as answer:
            await answer.read()
            if 200 <= answer.status < 300:
                await message.ack()

    return post


def _with_reply(jetstream: JetStreamContext, target: str, subject: str) -> Post:
    async def post(session: aiohttp.ClientSession, message: Msg) -> None:
        parent = message.headers or {}
        async with session.post(target, data=message.data, headers=parent) as answer:
            data = await answer.read()
            if 200 <= answer.status < 300:
                headers = {name: value for name, value in answer.headers.items() if name.startswith("ce-")}
                headers["ce-datacontenttype"] = answer.content_type
                headers["ce-correlationid"] = parent["ce-correlationid"]
                headers["ce-causationid"] = parent["ce-id"]
                headers["Nats-Msg-Id"] = headers["ce-id"]
                await jetstream.publish(subject, data, headers=headers)
                await message.ack()

    return post


async def main(kind: str, url: str, stream: str, durable: str, *where: str) -> None:
    """Run one of the loops until the process is ended; `where` is the target, and the subject of replies."""
    connection = await nats.connect(url)
    jetstream = connection.jetstream()
    subscription = await jetstream.pull_subscribe_bind(durable, stream)
    match kind:
        case "bare":
            await _bare(subscription)
        case "naive":
            await _naive(subscription, _without_reply(*where))
        case "replies":
            await _naive(subscription, _with_reply(jetstream, *where))
        case _:
            sys.exit(f"there is no loop {kind!r}")


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
