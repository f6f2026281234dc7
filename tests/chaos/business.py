"""The business service of a round, a process: `python -m chaos.business NAME PORT DIRECTORY`.

NAME is its replica, such as `stock-1`. It keeps the promises that a service owes: an effect is done once per
`Idempotency-Key`, and everything that it does stands in its ledger before it answers.
"""

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import uvloop
from aiohttp import web

from chaos import mode
from chaos.choreography import CHOREOGRAPHY, ROLE_OF_PATH
from chaos.ledger import Begun, Died, Effect, Ended, HungUp
from chaos.mode import Mode
from chaos.records import Records
from choregos_contract.cloudevents_json import BATCH_TYPE

SLOWNESS: Final = 2.0
"""Seconds that a slow service takes, less than the time-out."""
_ENDS_WITHIN = 2.0
_ON_SUCCESS: Final = {
    f"{name}/{reaction.event}": reaction.on_success
    for name, service in CHOREOGRAPHY.spec.services.items()
    for reaction in service.reactions
}


class Business:
    """One run of the service."""

    def __init__(self, replica: str, directory: Path) -> None:
        service = replica.rpartition("-")[0]
        self._records = Records(directory / f"{replica}.ledger", directory / f"{service}.sqlite", replica)
        self._mode = directory / f"{replica}.mode"
        self.process = f"{os.getpid()}-{uuid4().hex[:8]}"
        self._numbers = itertools.count()

    def application(self) -> web.Application:
        """Build the routes."""
        application = web.Application()
        application.add_routes(
            [web.get("/ready", self._ready), *(web.post(path, self._react) for path in ROLE_OF_PATH)]
        )
        return application

    async def close(self) -> None:
        """End in order."""
        self._records.put(Died(self.process, time.monotonic()))
        await asyncio.to_thread(self._records.close)

    async def _ready(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def _react(self, request: web.Request) -> web.StreamResponse:
        event, reaction = request.headers["ce-id"], ROLE_OF_PATH[request.path]
        try:
            body, hung_up = await request.read(), await _has_hung_up(request)
        except asyncio.CancelledError:
            self._records.put(HungUp(event, reaction, time.monotonic()))
            raise
        if hung_up:
            await self._records.write(HungUp(event, reaction, time.monotonic()))
            return web.Response(status=499)
        key, attempt = request.headers.get("Idempotency-Key", ""), request.headers.get("Choregos-Attempt", "0")
        call = f"{self.process}-{next(self._numbers)}"
        try:
            begun = Begun(call, self.process, event, reaction, key, int(attempt), time.monotonic())
            await self._records.write(begun)
            return await self._act(request, call, Effect(event, reaction, key), body)
        except asyncio.CancelledError:  # whoever called is gone
            self._records.put(Ended(call, time.monotonic(), status=0, good=False))
            raise

    async def _act(self, request: web.Request, call: str, effect: Effect, body: bytes) -> web.StreamResponse:
        now = mode.read(self._mode)
        if now is Mode.HANG:
            await asyncio.Event().wait()
        if now is Mode.UNAVAILABLE:
            return await self._refuse(call, 503)
        if now is Mode.GARBAGE:
            return await self._answer_garbage(request, call, effect)
        if now is Mode.SLOW:
            await asyncio.sleep(SLOWNESS)
        document = json.loads(body)
        if effect.reaction == "payment/StockReserved" and document["broke"]:
            return await self._refuse(call, 422)
        answer, replies = _answer(effect.reaction, document)
        await self._records.write(Ended(call, time.monotonic(), answer.status, replies=replies), effect)
        if now is Mode.DIE:
            await self._answer_and_die(request, answer)
        return answer

    async def _refuse(self, call: str, status: int) -> web.Response:
        await self._records.write(Ended(call, time.monotonic(), status))
        return web.Response(status=status)

    async def _answer_garbage(self, request: web.Request, call: str, effect: Effect) -> web.Response:
        """Choose by the number of the call. What needs no reply would take any 2xx for good: it gets what is no HTTP."""
        await self._records.write(Ended(call, time.monotonic(), 200, good=False))
        kind = int(call.rpartition("-")[2]) % 3 if _ON_SUCCESS[effect.reaction] else 2
        if kind == 0:
            return web.Response(body=b'{"half": ', content_type="application/json")
        if kind == 1:
            attributes = {"ce-id": "1", "ce-source": "/x", "ce-type": "NeverDeclared", "ce-specversion": "1.0"}
            return web.Response(body=b"{}", headers=attributes, content_type="application/json")
        assert request.transport
        request.transport.write(b"220 this is no HTTP\r\n\x00\xff\r\n\r\n")
        request.transport.close()
        return web.Response()

    async def _answer_and_die(self, request: web.Request, answer: web.Response) -> None:
        await self._records.write(Died(self.process, time.monotonic()))
        await answer.prepare(request)
        await answer.write_eof()
        os._exit(1)


async def _has_hung_up(request: web.Request) -> bool:
    """Tell whether the caller gave up while this process stood still: his request waited in the socket, his end behind it."""
    for _ in range(3):
        await asyncio.sleep(0)
    return request.transport is None or request.transport.is_closing()


def _answer(reaction: str, document: dict[str, Any]) -> tuple[web.Response, tuple[str, ...]]:
    """Answer a call that went well, with the types of the events in the answer; the same each time."""
    if reaction == "stock/OrderPlaced":
        replies = ("StockReserved", "InvoiceDrawn")
        events = [
            {"specversion": "1.0", "id": str(index), "source": "/stock", "type": each, "data": document}
            for index, each in enumerate(replies)
        ]
        return web.Response(body=json.dumps(events).encode(), content_type=BATCH_TYPE), replies
    if event := _ON_SUCCESS[reaction]:
        return web.json_response(document), (event,)
    return web.Response(status=204), ()


async def main(replica: str, port: str, directory: str) -> None:
    """Serve until told to end; requests in hand are answered first."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    business = Business(replica, Path(directory))
    runner = web.AppRunner(
        business.application(), access_log=None, shutdown_timeout=_ENDS_WITHIN, handler_cancellation=True
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(port), reuse_address=True).start()
    sys.stdout.write(json.dumps({"message": "listening", "process": business.process}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await runner.cleanup()
    await business.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
