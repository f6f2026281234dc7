"""The naive loop, as a process in an ambassador's place: `python -m chaos.naive naive`, with its environment.

It is what most people write with nats-py and aiohttp: fetch a batch, POST each event, publish what was answered, and
acknowledge after a 2xx; hand it back after anything else, for a second later. As `hasty` it acknowledges as soon as it
has the 2xx. Its publish endpoint stores and answers.
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
            except nats.errors.Error:
                continue
            await asyncio.gather(*(self._carry(message, reaction) for message in messages))

    async def _carry(self, message: Msg, reaction: Reaction) -> None:
        try:
            if not await self._post(message, reaction):
                await message.nak(delay=RETRY_AFTER)
            elif not self._hasty:
                await message.ack()
        except (aiohttp.ClientError, nats.errors.Error, OSError, TimeoutError) as error:
            _log("failed", error=repr(error))

    async def _post(self, message: Msg, reaction: Reaction) -> bool:
        """Post an event, and publish what was answered; returns whether it is done."""
        headers = {name: value for name, value in (message.headers or {}).items() if name.startswith("ce-")}
        url = f"http://127.0.0.1:{reaction.port}{reaction.path}"
        timeout = aiohttp.ClientTimeout(total=reaction.delivery.timeout)
        async with self._session.post(url, data=message.data, headers=headers, timeout=timeout) as answer:
            body = await answer.read()
            if not 200 <= answer.status < 300:
                return False
        if self._hasty:
            await message.ack()
        if reaction.on_success:
            await self._publish(reaction.on_success, body, headers)
        elif body:
            for each in json.loads(body):
                await self._publish(each["type"], json.dumps(each["data"]).encode(), headers)
        return True

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
