"""Requests to NATS on their way to an answer: one inbox for all of them, one timer for all of them.

nats-py makes a NUID, a task and a timer for each, which is half of what a stored reply costs.
"""

import asyncio
import time
from typing import Final

import msgspec
from nats.errors import NoRespondersError

from choregos_ambassador import nats_headers
from choregos_ambassador.nats_client import PermanentClient
from choregos_ambassador.storing import BusFault

ANSWER_TIMEOUT: Final = 5.0
"""Seconds to wait for an answer."""
_NOBODY: Final = "503"


class Request(msgspec.Struct, eq=False):
    """A request without an answer yet. `asked`: a time of the monotonic clock."""

    subject: str
    asked: float
    answer: asyncio.Future[bytes]


class Requests:
    """The requests of one connection."""

    def __init__(self, client: PermanentClient) -> None:
        self._client = client
        self._inbox = client.new_inbox().encode()
        self._number = 0
        self._waiting: dict[bytes, Request] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen for answers; the client is connected."""
        await self._client.receive(f"{self._inbox.decode()}.*", self._answered)

    async def ask(self, subject: str, payload: bytes, headers: bytes) -> bytes:
        """Return the payload of the answer; raises nats.errors.Error, TimeoutError, and BusFault where it was ended."""
        self._number += 1
        inbox = b"%b.%d" % (self._inbox, self._number)
        loop = asyncio.get_running_loop()
        self._client.send(subject.encode(), payload, reply=inbox, headers=headers)
        self._waiting[inbox] = request = Request(subject, time.monotonic(), loop.create_future())
        if self._timer is None:
            self._timer = loop.call_later(ANSWER_TIMEOUT, self._time_out)
        try:
            return await request.answer
        finally:
            self._waiting.pop(inbox, None)

    def end(self, fault: str, subject: str | None = None) -> None:
        """Have those fail that will have no answer: all of them, or those to a subject."""
        for request in self._waiting.values():
            if subject in (None, request.subject) and not request.answer.done():
                request.answer.set_exception(BusFault(fault))

    def _answered(self, inbox: bytes, _reply: bytes, headers: bytes, payload: bytes) -> None:
        request = self._waiting.get(inbox)
        if request is None or request.answer.done():
            return
        if headers and nats_headers.status(headers).startswith(_NOBODY):
            request.answer.set_exception(NoRespondersError())
        else:
            request.answer.set_result(payload)

    def _time_out(self) -> None:
        """Give up the oldest, which stand first, and look again when the next one's time is over."""
        self._timer = None
        now = time.monotonic()
        for request in self._waiting.values():
            if (rest := request.asked + ANSWER_TIMEOUT - now) > 0:
                self._timer = asyncio.get_running_loop().call_later(rest, self._time_out)
                break
            if not request.answer.done():
                request.answer.set_exception(TimeoutError())
