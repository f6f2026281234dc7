"""One connection to NATS: questions with one answer, and questions with many.

It never comes back once it is closed; `connections` opens another. That leaves out what nats-py makes hard: to come back
after an error for which it closes for ever, and to come back with other credentials.
"""

import asyncio
import re
import time
from contextlib import suppress
from typing import Final, Protocol

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error, NoRespondersError

from choregos_operator.bus.faults import BusAway, BusFault, not_enabled, not_permitted

ANSWER_WITHIN: Final = 5.0
"""Seconds that one answer is waited for."""
QUIET: Final = 0.3
"""Seconds without another answer after which a question to many has been answered by all."""
GATHER_WITHIN: Final = 3.0
CLOSE_WITHIN: Final = 1.0
_PERMISSION: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)


class Asks(Protocol):
    """What a pass needs of a connection."""

    @property
    def server_version(self) -> str:
        """The version of the server, as it calls itself."""

    async def ask(self, subject: str, payload: bytes = b"") -> bytes:
        """Return the answer to a question; raises BusFault."""

    async def gather(self, subject: str, *, max_age: float = 0.0) -> tuple[bytes, ...]:
        """Return the answers of all that hear a question; raises BusFault."""


class _Wait:
    """A question on its way to an answer, or to a fault that says why there will be none."""

    def __init__(self, subject: str) -> None:
        self.subject = subject.lower()  # as nats-py hands errors on
        self.clock = asyncio.timeout(ANSWER_WITHIN)
        self.fault: BusFault = BusAway(f"NATS did not answer {subject} within {ANSWER_WITHIN:g} s")

    def end(self, fault: BusFault) -> None:
        if not self.clock.expired():
            self.fault = fault
            self.clock.reschedule(0)


class Asker:
    """A connection that stands; `told` and `closed` are to be its client's callbacks."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waits: set[_Wait] = set()
        self._gathered: dict[str, tuple[float, asyncio.Task[tuple[bytes, ...]]]] = {}
        self.last_used = time.monotonic()

    @property
    def connected(self) -> bool:
        """Whether it can be asked."""
        return self._client.is_connected

    @property
    def server_version(self) -> str:
        """The version of the server, as it calls itself."""
        return str(self._client.connected_server_version)

    async def ask(self, subject: str, payload: bytes = b"") -> bytes:
        """Return the answer; raises BusAway if there is none within some seconds, BusUnusable if there can be none."""
        wait, cancels = _Wait(subject), _cancels()
        self._waits.add(wait)
        try:
            async with wait.clock:
                answer = bytes((await self._client.request(subject, payload, timeout=2 * ANSWER_WITHIN)).data)
        except NoRespondersError as error:
            raise _nobody(subject) from error
        except TimeoutError as error:
            raise wait.fault from error
        except (Error, OSError) as error:
            raise _away(error) from error
        finally:
            self._waits.discard(wait)
        if _cancels() > cancels:
            # Kept back by nats-py: its `asyncio.wait_for` does, before Python 3.12, if the answer comes at that moment.
            raise asyncio.CancelledError
        return answer

    async def gather(self, subject: str, *, max_age: float = 0.0) -> tuple[bytes, ...]:
        """Return what all answer that hear it, until none did for a while; raises BusAway.

        Answers up to `max_age` seconds old will do: many passes may ask the same, and every ambassador answers each.
        """
        asked, task = self._gathered.get(subject, (0.0, None))
        if task is None or (task.done() and (time.monotonic() - asked >= max_age or task.exception())):
            task = asyncio.create_task(self._gather(subject))
            self._gathered[subject] = (time.monotonic(), task)
        return await asyncio.shield(task)

    async def _gather(self, subject: str) -> tuple[bytes, ...]:
        answers: asyncio.Queue[bytes] = asyncio.Queue()

        async def take(message: Msg) -> None:
            answers.put_nowait(bytes(message.data))

        inbox, heard = self._client.new_inbox(), list[bytes]()
        loop = asyncio.get_running_loop()
        try:
            subscription = await self._client.subscribe(inbox, cb=take)
            await self._client.publish(subject, b"", reply=inbox)
            async with asyncio.timeout(GATHER_WITHIN) as clock:
                last = loop.time() + GATHER_WITHIN
                while answer := await answers.get():  # empty: a status, which says that nobody is there
                    heard.append(answer)
                    clock.reschedule(min(loop.time() + QUIET, last))
        except TimeoutError:
            if not self.connected:
                raise BusAway("the connection to NATS was cut before all had answered") from None
        except (Error, OSError) as error:
            raise _away(error) from error
        with suppress(Error):  # closed in between: it is gone as well
            await subscription.unsubscribe()
        return tuple(heard)

    async def told(self, error: Exception) -> None:
        """Take an error from the server: a permission that is missing ends the questions that need it."""
        if not (denied := _PERMISSION.search(str(error))):
            return
        publish, subject = denied[1].lower() == "publish", denied[2].lower()
        fault = not_permitted("publish" if publish else "subscribe", denied[2])
        for wait in self._waits:
            if (publish and wait.subject == subject) or (not publish and subject.startswith("_inbox.")):
                wait.end(fault)

    async def closed(self) -> None:
        """Take the end of the connection: no answer will come."""
        for wait in self._waits:
            wait.end(BusAway("the connection to NATS was cut before the answer"))

    async def close(self) -> None:
        """Close the connection."""
        for _, task in self._gathered.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._gathered.values()), return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_WITHIN):  # nats-py may wait for ever for the end of a TLS connection
                await self._client.close()
        except TimeoutError:
            return


def _nobody(subject: str) -> BusFault:
    if subject.startswith("$JS.API."):
        return not_enabled("nobody answers for JetStream: it is not enabled for these servers, or not ready yet")
    return BusAway(f"nobody answers {subject}")


def _away(error: BaseException) -> BusAway:
    return BusAway(f"NATS cannot be asked: {str(error) or type(error).__name__}")


def _cancels() -> int:
    """How often this task was cancelled."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0
