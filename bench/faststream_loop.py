"""FastStream doing the ambassador's job, as a process, in either of its ways: each POSTs with aiohttp, acknowledges after a 2xx.

    faststream_loop.py each    NATS STREAM DURABLE SUBJECT TARGET   a handler for each event, acknowledged by the framework
    faststream_loop.py batches NATS STREAM DURABLE SUBJECT TARGET   a handler for lists of events, acknowledged by hand

Set up for speed: events pulled 32 at a time and handled side by side, uvloop, no log line per event, no validation by pydantic.
`max_workers=32` instead of the side by side of a pulled batch was slower (1900 against 2500 events/s). With `batch=True` the framework
runs once a batch, but acknowledges all of it or nothing, so the handler has to go to the raw messages: not much is left of it then.
"""

import asyncio
import sys

import aiohttp
import uvloop
from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.aio.msg import Msg

IN_FLIGHT = 32


class Poster:
    """The two handlers."""

    def __init__(self, session: aiohttp.ClientSession, target: str) -> None:
        self._session = session
        self._target = target

    async def each(self, message: NatsMessage) -> None:
        """Deliver an event; what raises is not acknowledged."""
        async with self._session.post(self._target, data=message.body, headers=message.headers) as answer:
            await answer.read()
            answer.raise_for_status()

    async def batches(self, message: NatsMessage) -> None:
        """Deliver a list of events."""
        await asyncio.gather(*(self._one(raw) for raw in message.raw_message))

    async def _one(self, raw: Msg) -> None:
        async with self._session.post(self._target, data=raw.data, headers=raw.headers) as answer:
            await answer.read()
            if 200 <= answer.status < 300:
                await raw.ack()


async def main(kind: str, url: str, *where: str) -> None:
    """Run until the process is ended."""
    stream, durable, subject, target = where
    broker = NatsBroker(url, logger=None, serializer=None)
    async with aiohttp.ClientSession() as session:
        poster = Poster(session, target)
        batches = kind == "batches"
        broker.subscriber(
            subject,
            stream=JStream(stream, declare=False),
            durable=durable,
            pull_sub=PullSub(batch_size=IN_FLIGHT, batch=batches),
            ack_policy=AckPolicy.MANUAL if batches else AckPolicy.NACK_ON_ERROR,
        )(poster.batches if batches else poster.each)
        await FastStream(broker, logger=None).run()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
