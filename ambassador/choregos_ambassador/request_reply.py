"""Requests to NATS on their way to an answer: one inbox for all of them, one timer for all of them.

nats-py makes a NUID, a task and a timer for each, which is half of what a stored reply costs.
"""

import asyncio
from typing import Final

import msgspec
from nats.errors import NoRespondersError

from choregos_ambassador import nats_headers
from choregos_ambassador.deadlines import Deadlines
from choregos_ambassador.nats_client import PermanentClient
from choregos_ambassador.storing import BusFault

ANSWER_TIMEOUT: Final = 5.0
"""Seconds to wait for an answer."""
_NOBODY: Final = "503"


class Request(msgspec.Struct, eq=False):
    """A request without an answer yet. `deadline`: in the event loop's time."""

    subject: str
    deadline: float
    answer: asyncio.Future[bytes]

    def fail(self, error: Exception) -> None:
        """Have it end without an answer."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def expire(self) -> None:
        """Have it end for want of an answer in time."""
        self.fail(TimeoutError())


class Requests:
    """The requests of one connection."""

    def __init__(self, client: PermanentClient) -> None:
        self._client = client
        self._inbox = client.new_inbox().encode()
        self._loop: asyncio.AbstractEventLoop
        self._number = 0
        self._waiting: dict[bytes, Request] = {}
        self._deadlines: Deadlines[Request] = Deadlines()

    async def start(self) -> None:
        """Listen for answers; the client is connected."""
        self._loop = asyncio.get_running_loop()
        await self._client.receive(f"{self._inbox.decode()}.*", self._answered)

    async def ask(self, subject: str, payload: bytes, headers: bytes) -> bytes:
        """Return the payload of the answer; raises nats.errors.Error, TimeoutError, and BusFault where it was ended.

        A request goes out at once if it is the only one, so that no chain of requests waits; many gather for one write.
        """
        self._number += 1
        inbox = b"%b.%d" % (self._inbox, self._number)
        self._client.send(subject.encode(), payload, reply=inbox, headers=headers, at_once=not self._waiting)
        loop = self._loop
        self._waiting[inbox] = request = Request(subject, loop.time() + ANSWER_TIMEOUT, loop.create_future())
        self._deadlines.add(request, loop)
        try:
            return await request.answer
        finally:
            self._deadlines.discard(request)
            del self._waiting[inbox]

    def end(self, fault: str, subject: str | None = None) -> None:
        """Have those fail that will have no answer: all of them, or those to a subject."""
        for request in self._waiting.values():
            if subject in (None, request.subject):
                request.fail(BusFault(fault))

    def _answered(self, inbox: bytes, _reply: bytes, headers: bytes, payload: bytes) -> None:
        request = self._waiting.get(inbox)
        if request is None or request.answer.done():
            return
        if headers and nats_headers.status(headers).startswith(_NOBODY):
            request.fail(NoRespondersError())
        else:
            request.answer.set_result(payload)
