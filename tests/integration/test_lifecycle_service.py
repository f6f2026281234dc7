"""The service ends first, or closes its connections at the worst moment: no event is taken for attempted that was not."""

import asyncio
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from choregos_ambassador.answer import Answer, NoAnswer, Trouble
from choregos_ambassador.http_client import HttpClient
from choregos_ambassador.http_connection import RACE
from support.raw_service import RawService, Wire, on_each_loop
from support.scene import scene
from support.service import Call

HEAD, BODY = b"POST /orders HTTP/1.1\r\nhost: service\r\ncontent-length: 2\r\n\r\n", b"{}"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
PATIENCE = 10.0


class Kept:
    """A service on blocking sockets, and a client that keeps a connection to it: each of them acts when it is told to."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.client = HttpClient(*listening.getsockname())
        self.requests = 0
        self.connection = listening  # until there is one

    async def post(self) -> Answer | NoAnswer:
        """Post; awaited as it is, the request leaves before the loop can notice anything."""
        return await self.client.post(HEAD, BODY, timeout=PATIENCE, limit=1 << 20)

    def posting(self) -> "asyncio.Task[Answer | NoAnswer]":
        return asyncio.create_task(self.post())

    async def serve(self, posted: Awaitable[Answer | NoAnswer]) -> None:
        """Serve a request on a connection of its own."""
        await self.serve_next()
        assert isinstance(await posted, Answer)

    async def serve_next(self) -> None:
        """Accept a connection, answer its request, and keep it."""
        self.connection = (await asyncio.to_thread(self.listening.accept))[0]
        self.connection.settimeout(PATIENCE)
        await self.read()
        self.connection.sendall(ANSWER)

    async def read(self) -> None:
        assert await asyncio.to_thread(self.connection.recv, 1 << 16) == HEAD + BODY
        self.requests += 1

    async def arrived(self) -> None:
        """Wait until a request has come, and read none of it."""
        assert await asyncio.to_thread(self.connection.recv, 1, socket.MSG_PEEK)


@asynccontextmanager
async def kept() -> AsyncIterator[Kept]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)
        on_stage = Kept(listening)
        await on_stage.serve(on_stage.posting())
        try:
            yield on_stage
        finally:
            on_stage.client.close()
            on_stage.connection.close()


@on_each_loop
async def test_a_connection_that_was_closed_before_the_request_came_costs_no_attempt() -> None:
    async with kept() as on:
        serving = asyncio.create_task(on.serve_next())
        await asyncio.sleep(0)  # until it waits for the next connection
        on.connection.close()
        assert isinstance(await on.post(), Answer)
        await serving
        assert on.requests == 2


@on_each_loop
async def test_a_service_that_ended_before_the_request_came_was_not_reached() -> None:
    """Otherwise an event that is tried only once is a dead letter, and nobody has ever been asked."""
    async with kept() as on:
        on.listening.close()
        on.connection.close()
        outcome = await on.post()
        assert isinstance(outcome, NoAnswer)
        assert (outcome.trouble, outcome.detail) == (
            Trouble.UNREACHABLE,
            "the service closed the connection before the request came",
        )


@on_each_loop
async def test_a_fresh_connection_that_is_closed_before_the_request_came_was_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        on = Kept(listening)
        first = on.client._connect

        async def connect_and_lose(deadline: float) -> object:
            connection = await first(deadline)
            listening.accept()[0].close()
            return connection

        on.client._connect = connect_and_lose  # type: ignore[assignment,method-assign]
        outcome = await on.post()
        assert isinstance(outcome, NoAnswer)
        assert outcome.trouble is Trouble.UNREACHABLE
        on.client.close()


@on_each_loop
async def test_a_request_that_was_left_unread_goes_out_once_more() -> None:
    async with kept() as on:
        posted = on.posting()
        await on.arrived()
        on.connection.close()
        await on.serve(posted)
        assert on.requests == 2


@on_each_loop
async def test_a_request_that_was_perhaps_read_in_part_is_an_attempt_where_nobody_else_takes_it() -> None:
    """Otherwise an event that ends its service while it is read is handed back for ever."""
    async with kept() as on:
        posted = on.posting()
        await on.arrived()
        on.listening.close()
        on.connection.close()
        outcome = await posted
        assert isinstance(outcome, NoAnswer)
        assert outcome.trouble is Trouble.CUT


@on_each_loop
async def test_a_service_that_hangs_up_on_a_request_later_was_asked_and_is_not_asked_again() -> None:
    """A worker that an event has ended after a while must not take a second one along at once."""
    async with kept() as on:
        posted = on.posting()
        await on.read()
        await asyncio.sleep(2 * RACE)  # the service works on it
        on.connection.close()
        outcome = await posted
        assert isinstance(outcome, NoAnswer)
        assert outcome.trouble is Trouble.CUT
        on.listening.settimeout(0)
        with pytest.raises(BlockingIOError):
            on.listening.accept()


async def test_connections_that_are_closed_at_the_worst_moment_cost_nothing_under_load() -> None:
    """No event has more than one attempt here, and a race that is taken for one would be a dead letter."""
    chance = random.Random(6)
    events = 600

    async def script(wire: Wire) -> None:
        for _ in range(chance.randint(1, 5)):
            await wire.request()
            wire.say(ANSWER)
        # Right after the answer the next request is on its way.
        await asyncio.sleep(chance.choice([0, 0, 0, 0.001, 0.002]))

    async with RawService(script) as service:
        reaction = {"event": "Placed", "port": service.port}
        async with scene(reaction, delivery={"retry": 0, "timeout": "5s", "concurrency": 16}) as shop:
            async with shop.ambassador() as ambassador:
                await asyncio.gather(*(shop.bus.publish("Placed", b"{}", f"e{number}") for number in range(events)))
                await shop.settled()
                hops = ambassador.hops()
                assert not await shop.bus.dead_letters()
            asked = Counter(_header(request, b"ce-id") for request in service.requests)
            assert asked == {b"e%d" % number: 1 for number in range(events)}
            assert {_header(request, b"choregos-attempt") for request in service.requests} == {b"1"}
            assert {hop["verdict"] for hop in hops} == {"done"}
            assert service.connections > events / 5


def _header(request: bytes, name: bytes) -> bytes:
    lines = (line.partition(b": ") for line in request.split(b"\r\n"))
    return next(value for key, _, value in lines if key.lower() == name)


async def test_a_service_that_ends_first_with_events_in_hand_gets_only_those_again() -> None:
    """Its port closes and its connections are cut, three times under load; what it had answered is not asked again."""
    events, concurrency = [f"e{number:03}" for number in range(300)], 8
    answered: Counter[str] = Counter()

    async def work(call: Call) -> web.Response:
        await asyncio.sleep(0.01)
        answered[call.headers["ce-id"]] += 1
        return web.Response(body=b"{}", content_type="application/json")

    delivery = {"retry": 5, "backoffDelay": "50ms", "backoffMax": "200ms", "concurrency": concurrency}
    async with scene(delivery=delivery) as shop:
        shop.service.handler = work
        async with shop.ambassador() as ambassador:
            await asyncio.gather(*(shop.bus.publish("Placed", b"{}", each) for each in events))
            for end in (1, 2, 3):
                await shop.service.until_calls(end * len(events) // 4)
                await shop.service.stop()
                await ambassador.until(
                    lambda end=end: _times(ambassador.lines, "open") == end  # type: ignore[misc]
                )
                started = time.monotonic()
                await shop.service.start()
                await ambassador.until(
                    lambda end=end: _times(ambassador.lines, "closed") > end  # type: ignore[misc]
                )
                assert time.monotonic() - started < PATIENCE
            await shop.settled()
        called = Counter(shop.called())
        assert called.keys() == set(events)
        assert sum(called.values()) - len(events) <= 3 * concurrency
        assert answered.keys() == set(events)
        assert await shop.causes() == events
        assert not await shop.bus.dead_letters()


def _times(lines: list[dict[str, object]], state: str) -> int:
    return len([line for line in lines if line["message"] == "breaker" and line["state"] == state])
