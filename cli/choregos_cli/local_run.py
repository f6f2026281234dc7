"""A whole choreography on this machine, as an async context manager: for `choregos up`, for tests, for notebooks.

A pytest fixture of an application team:

    @pytest_asyncio.fixture
    async def shop():
        async with LocalRun("choreography.yaml") as run:
            yield run

    async def test_an_order_is_paid(shop):
        order_service = shop.services["orders"][0].url
        ...  # talk HTTP to it
        await shop.until(EventStored, lambda event: event.type == "OrderPaid")

What runs is what runs in a cluster: the same wiring, real ambassadors, real JetStream.
"""

import asyncio
import dataclasses
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import nats
from msgspec.structs import replace as replaced
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from choregos_cli.chronicle import Chronicle
from choregos_cli.embedded_nats import embedded_nats
from choregos_cli.errors import UnreachableError
from choregos_cli.happenings import Address, DeadLettered, Draining, EventStored, Happening, Ready
from choregos_cli.interrupts import raise_swallowed_cancel
from choregos_cli.joining import Joined, backlog, join, last_sequence
from choregos_cli.local_plan import LocalPlan, load_plan
from choregos_cli.pair import Pair, Part
from choregos_cli.processes import Processes
from choregos_cli.reading import dead_letter_reader, dead_lettered, event_reader, event_stored
from choregos_cli.transactions import Roles

PATIENCE: Final = 5.0
"""Seconds for a NATS server to answer."""

_LAST_LOOK: Final = 1.0
"""Seconds to read what was stored while the run was draining."""
_Kind = TypeVar("_Kind", bound=Happening)


class LocalRun:
    """Everything that one or more choreography files of one bus describe, running here.

    `nats` joins a running server instead of an embedded one, `store` keeps what the embedded one stores. A service that
    ends while it starts makes the start fail; with `tolerant` it is started again like one that ends later.

    Entering raises CommandError (MisuseError, RefusedError, UnreachableError). Leaving drains, as a pod would: events
    in hand are finished, the services end, then their ambassadors, then NATS.
    """

    def __init__(
        self, *files: str | Path, nats: str | None = None, store: Path | None = None, tolerant: bool = False
    ) -> None:
        self._files = [str(file) for file in files]
        self._server = nats
        self._store = store
        self._tolerant = tolerant
        self._pairs: list[Pair] = []
        self.chronicle = Chronicle()
        """What happens; can be read before the run is entered, and ends when it is left."""
        self.services: Mapping[str, tuple[Address, ...]] = {}
        """Where each replica of each service listens, and its ambassador."""
        self.nats_url = nats or ""
        """The server that the run is on."""

    @property
    def plan(self) -> LocalPlan:
        """What runs; the choreographies among it."""
        return self._plan

    @property
    def roles(self) -> Roles:
        """What `Transactions` has to know."""
        return Roles.of(self._plan.choreographies)

    async def __aenter__(self) -> Self:
        """Start everything, and return when an event can be published."""
        try:
            self._plan = load_plan(self._files)
            parts = self._plan.parts()
            async with AsyncExitStack() as stack:
                processes = await stack.enter_async_context(Processes())
                if self._server is None:
                    self.nats_url = await stack.enter_async_context(embedded_nats(processes, self._store))
                self._client = await _connected(self.nats_url)
                stack.push_async_callback(self._client.close)
                raise_swallowed_cancel()
                self._joined = await self._wire()
                self._follow()
                stack.push_async_callback(self._stop_following)
                self._pairs = [self._pair(part, processes) for part in parts]
                stack.push_async_callback(self._drain)
                await _all(pair.start() for pair in self._pairs)
                await _all(pair.ready(tolerant=self._tolerant) for pair in self._pairs)
                self._stack = stack.pop_all()
        except BaseException:
            self.chronicle.close()
            raise
        names = dict.fromkeys(pair.service for pair in self._pairs)
        self.services = {name: tuple(p.address for p in self._pairs if p.service == name) for name in names}
        self.chronicle.tell(Ready(time=time.time(), nats=public(self.nats_url), services=self.services))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain and end everything; cancelled in the middle of it, it ends the rest at once."""
        self.chronicle.tell(Draining(time=time.time()))
        try:
            await self._stack.aclose()
        finally:
            self.chronicle.close()

    async def until(
        self, kind: type[_Kind], matches: Callable[[_Kind], bool] = lambda _: True, *, within: float = 10.0
    ) -> _Kind:
        """Return the first happening of a kind that matches, past or future; raise TimeoutError after `within` seconds."""
        return await self.chronicle.until(kind, matches, within=within)

    async def stored(self) -> list[EventStored | DeadLettered]:
        """Return everything that the bus holds: its events, then its dead letters."""
        bus = self._joined.names
        events = [event_stored(message) async for message in event_reader(self._client, bus).to_the_end()]
        letters = [dead_lettered(message) async for message in dead_letter_reader(self._client, bus).to_the_end()]
        return [event for event in events if event] + letters

    async def backlog(self) -> dict[tuple[str, str], int]:
        """Return how many events each reaction (service, event) of this run has before it, those in hand included."""
        return await backlog(self._client, self._joined)

    async def idle(self) -> bool:
        """Whether no event is before any reaction of this run, nor in hand, so that nothing can follow any more."""
        stream = self._joined.names.event_stream
        before = await last_sequence(self._client, stream)
        # An event acknowledged behind our back would have stored its replies first.
        return not any((await self.backlog()).values()) and before == await last_sequence(self._client, stream)

    async def _wire(self) -> Joined:
        return await join(self._client, self._plan.choreographies, self._plan.bus)

    def _pair(self, part: Part, processes: Processes) -> Pair:
        configured = replaced(part.configuration, duplicate_window=self._joined.duplicate_window)
        part = dataclasses.replace(part, configuration=configured)
        return Pair(part, processes, self.nats_url, self.chronicle.tell)

    def _follow(self) -> None:
        bus, last = self._joined.names, self._joined.last_sequences
        events = event_reader(self._client, bus, last[bus.event_stream] + 1)
        letters = dead_letter_reader(self._client, bus, last[bus.dead_letter_stream] + 1)
        self._readings = [(events, event_stored), (letters, dead_lettered)]
        self._following = [asyncio.create_task(self._retell(reader.follow(), read)) for reader, read in self._readings]

    async def _retell(self, messages: AsyncIterator[Msg], read: Callable[[Msg], Happening | None]) -> None:
        async for message in messages:
            if happening := read(message):
                self.chronicle.tell(happening)

    async def _stop_following(self) -> None:
        for following in self._following:
            following.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        with suppress(NatsError, TimeoutError):
            async with asyncio.timeout(_LAST_LOOK):
                # In tasks of their own, for this one may have been cancelled, and that is why we are here.
                await _all(self._retell(reader.to_the_end(), read) for reader, read in self._readings)

    async def _drain(self) -> None:
        await _all(pair.drain() for pair in self._pairs)
        await _all(pair.stop_service() for pair in self._pairs)
        await _all(pair.stop_ambassador() for pair in self._pairs)


def public(url: str) -> str:
    """Return a URL, or a list of them, without the password in it."""
    return re.sub(r"//[^/@,]*@", "//", url)


async def _connected(url: str) -> Client:
    async def ignore(_: Exception) -> None:
        """The ambassadors tell that the bus is away, each for itself."""

    try:
        async with asyncio.timeout(PATIENCE):
            return await nats.connect(
                url.split(","), name="choregos up", error_cb=ignore, max_reconnect_attempts=-1, reconnect_time_wait=0.5
            )
    except (TimeoutError, OSError, NatsError, ValueError) as error:
        reason = str(error) or "no answer"
        raise UnreachableError(
            f"cannot connect to NATS at {public(url)}: {reason}", "check --nats, such as nats://127.0.0.1:4222"
        ) from None


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do everything at once; raises the first error alone, after the rest of the work was cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
