"""The naive loop, as a process in an ambassador's place: `python -m chaos.naive naive`, with its environment.

It is what a good engineer writes in an hour with nats-py and aiohttp: fetch a batch, POST each event with its id as the
`Idempotency-Key`, publish what was answered under a new id (as the CloudEvents SDK does), and acknowledge after that. What
is refused (4xx), or not taken in twenty deliveries, gets its failure event and a dead letter; whatever else goes wrong, it
comes again a second later. As `hasty` it acknowledges as soon as it has the 2xx. Its publish endpoint stores and answers,
and has the stream drop what a customer sends twice.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import nats
import uvloop
from aiohttp import web
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from choregos_contract.configuration import Configuration, Reaction, load
from choregos_contract.ids import derive

BATCH: Final = 16
RETRY_AFTER: Final = 1.0
PAUSE: Final = 0.1
MOST: Final = 20
"""Deliveries, then a dead letter."""


class Loop:
    """All reactions of one service, and its way in."""

    def __init__(
        self, configuration: Configuration, stream: JetStreamContext, session: aiohttp.ClientSession, *, hasty: bool
    ) -> None:
        self._hasty = hasty
        self._configuration = configuration
        self._names = configuration.bus
        self._stream = stream
        self._session = session

    def application(self) -> web.Application:
        """Build the routes."""
        application = web.Application()
        application.add_routes([web.post("/events/{type}", self._accept)])
        return application

    async def react(self, reaction: Reaction) -> None:
        """Carry the events of one reaction, for ever."""
        durable = self._names.durable(self._configuration.service, reaction.event)
        subscription = await self._stream.pull_subscribe_bind(durable, self._names.event_stream)
        while True:
            try:
                messages = await subscription.fetch(BATCH, timeout=5)
            except Exception as error:  # noqa: BLE001  nats-py raises more than its own errors where NATS is away
                if not isinstance(error, nats.errors.TimeoutError):
                    _log("fetch failed", error=repr(error))
                    await asyncio.sleep(PAUSE)
                continue
            await asyncio.gather(*(self._carry(message, reaction) for message in messages))

    async def _carry(self, message: Msg, reaction: Reaction) -> None:
        try:
            if refused := await self._post(message, reaction):
                await self._bury(message, reaction, refused)
            elif not self._hasty:
                await message.ack()
        except Exception as error:  # noqa: BLE001  whatever it is, the event comes again
            _log("failed", error=repr(error))
            with suppress(nats.errors.Error, OSError):
                await message.nak(delay=RETRY_AFTER)

    async def _post(self, message: Msg, reaction: Reaction) -> str:
        """Post an event, and publish what was answered; returns why it is given up, or nothing."""
        headers = {name: value for name, value in (message.headers or {}).items() if name.startswith("ce-")}
        headers["Idempotency-Key"] = headers["ce-id"]
        url = f"http://127.0.0.1:{reaction.port}{reaction.path}"
        timeout = aiohttp.ClientTimeout(total=reaction.delivery.timeout)
        async with self._session.post(url, data=message.data, headers=headers, timeout=timeout) as answer:
            body = await answer.read()
        if 400 <= answer.status < 500:
            return "rejected"
        if not 200 <= answer.status < 300:
            if message.metadata.num_delivered >= MOST:
                return "exhausted"
            raise ValueError(f"HTTP {answer.status}")
        replies = json.loads(body) if body else []  # before anything is acknowledged, or published
        if self._hasty:
            await message.ack()
        if reaction.on_success:
            await self._publish(reaction.on_success, body, headers)
        else:
            for each in replies:
                await self._publish(each["type"], json.dumps(each["data"]).encode(), headers)
        return ""

    async def _bury(self, message: Msg, reaction: Reaction, reason: str) -> None:
        headers, service = dict(message.headers or {}), self._configuration.service
        if reaction.on_failure:
            await self._publish(reaction.on_failure, message.data, headers)
        letter = {
            **{name: value for name, value in headers.items() if name.startswith("ce-")},
            "Choregos-Original-Sequence": str(message.metadata.sequence.stream),
            "Choregos-Service": service,
            "Choregos-Event": reaction.event,
            "Choregos-Reason": reason,
            "Choregos-Failure-Emitted": "true" if reaction.on_failure else "false",
        }
        shard = self._names.shard(headers["ce-correlationid"])
        subject = self._names.dead_letter_subject(service, reaction.event, shard)
        await self._stream.publish(subject, message.data, headers=letter)
        await message.term()

    async def _publish(self, event_type: str, data: bytes, cause: Mapping[str, str]) -> None:
        await self._store(event_type, data, str(uuid4()), cause["ce-correlationid"], cause["ce-id"])

    async def _accept(self, request: web.Request) -> web.Response:
        key = derive("naive", request.headers["Idempotency-Key"])
        try:
            await self._store(request.match_info["type"], await request.read(), key, key, "")
        except (nats.errors.Error, OSError, TimeoutError) as error:
            return web.json_response({"error": repr(error)}, status=503)
        return web.json_response({"id": key, "correlationId": key}, status=201)

    async def _store(self, event_type: str, data: bytes, event: str, correlation: str, cause: str) -> None:
        headers = {
            "ce-specversion": "1.0",
            "ce-id": event,
            "ce-source": self._configuration.source,
            "ce-type": event_type,
            "ce-correlationid": correlation,
            "ce-causationid": cause,
            "Nats-Msg-Id": event,
        }
        subject = self._names.event_subject(event_type, correlation)
        await self._stream.publish(subject, data, headers=headers)


async def main(environment: Mapping[str, str], manner: str) -> None:
    """Serve until ended."""
    configuration = load(await asyncio.to_thread(Path(environment["CHOREGOS_CONFIG"]).read_bytes))
    connection = await nats.connect(environment["CHOREGOS_NATS_URL"], max_reconnect_attempts=-1, error_cb=_ignore)
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as reactions:
        loop = Loop(configuration, connection.jetstream(), session, hasty=manner == "hasty")
        runner = web.AppRunner(loop.application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _log("listening", publish_url=f"http://127.0.0.1:{runner.addresses[0][1]}")
        for reaction in configuration.reactions:
            reactions.create_task(loop.react(reaction))


async def _ignore(error: Exception) -> None:
    _log("nats", error=repr(error))


def _log(message: str, **values: Any) -> None:
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps({"message": message, **values}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(os.environ, *sys.argv[1:]))
