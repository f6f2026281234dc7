"""Requests on one inbox and one timer: each has its own answer, or its own end, on a real connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from choregos_ambassador import nats_client, request_reply
from choregos_ambassador.bus import Bus
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.request_reply import Requests
from choregos_ambassador.storing import BusFault
from support.bus import connected
from support.nats import NatsServer


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[Requests, Client, NatsServer]]:
    """Requests on a connection of the ambassador's, and the connection of whoever answers."""
    with NatsServer() as server:
        async with connected(server.url) as other:
            bus = Bus(Metrics(), Credentials(None))
            await bus.connect([server.url], "test")
            requests = Requests(bus.client)
            await requests.start()
            try:
                yield requests, other, server
            finally:
                await bus.close()


async def taking(other: Client, subject: str = "ask.>") -> "asyncio.Queue[Msg]":
    """Take requests, to be answered by the test."""
    taken: asyncio.Queue[Msg] = asyncio.Queue()
    await other.subscribe(subject, cb=taken.put)
    await other.request("$JS.API.INFO", timeout=5)
    return taken


async def test_each_request_has_its_own_answer_in_whatever_order_they_come() -> None:
    async with asking() as (requests, other, _):
        taken = await taking(other)
        asked = [asyncio.create_task(requests.ask("ask.it", b"%d" % number, b"")) for number in range(50)]
        for request in reversed([await taken.get() for _ in asked]):
            await request.respond(b"to " + request.data)
        assert await asyncio.gather(*asked) == [b"to %d" % number for number in range(50)]


async def test_a_request_that_is_the_only_one_waits_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a chain of requests would wait for a millisecond before each of them."""
    monkeypatch.setattr(nats_client, "GATHER", 60.0)
    async with asking() as (requests, other, _):
        taken = await taking(other)
        for _ in range(3):
            asked = asyncio.create_task(requests.ask("ask.it", b"", b""))
            await (await asyncio.wait_for(taken.get(), 4)).respond(b"yes")
            assert await asked == b"yes"


async def test_requests_without_an_answer_end_in_their_order_and_none_too_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_reply, "ANSWER_TIMEOUT", 0.3)
    ended: list[int] = []
    async with asking() as (requests, other, _):
        taken = await taking(other)
        loop = asyncio.get_running_loop()

        async def ask(number: int) -> float:
            started = loop.time()
            with pytest.raises(TimeoutError):
                await requests.ask("ask.it", b"", b"")
            ended.append(number)
            return loop.time() - started

        asked = []
        for number in range(20):
            asked.append(asyncio.create_task(ask(number)))
            await taken.get()  # each begins at a time of its own
        took = await asyncio.gather(*asked)
        assert ended == list(range(20))
        assert min(took) >= 0.3


async def test_an_answer_that_comes_too_late_or_twice_is_nobodys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with asking() as (requests, other, _):
        taken = await taking(other)
        with monkeypatch.context() as hasty:
            hasty.setattr(request_reply, "ANSWER_TIMEOUT", 0.05)
            with pytest.raises(TimeoutError):
                await requests.ask("ask.it", b"", b"")
        late = await taken.get()
        asked = asyncio.create_task(requests.ask("ask.it", b"", b""))
        request = await taken.get()
        await late.respond(b"late")
        await request.respond(b"in time")
        await request.respond(b"again")
        assert await asked == b"in time"
        again = asyncio.create_task(requests.ask("ask.it", b"", b""))
        await (await taken.get()).respond(b"its own")
        assert await again == b"its own"
    assert '"bug"' not in capsys.readouterr().out


async def test_where_nobody_listens_it_ends_at_once() -> None:
    async with asking() as (requests, _, _server):
        with pytest.raises(NoRespondersError):
            await asyncio.wait_for(requests.ask("nobody.here", b"", b""), 2)


async def test_those_end_that_are_denied_and_the_others_go_on() -> None:
    async with asking() as (requests, other, _):
        taken = await taking(other)
        denied = [asyncio.create_task(requests.ask("ask.denied", b"", b"")) for _ in range(3)]
        permitted = asyncio.create_task(requests.ask("ask.permitted", b"", b""))
        waiting = [await taken.get() for _ in range(4)]
        requests.end("not permitted", "ask.denied")
        for each in denied:
            with pytest.raises(BusFault, match="not permitted"):
                await each
        assert not permitted.done()
        await next(each for each in waiting if each.subject == "ask.permitted").respond(b"yes")
        assert await permitted == b"yes"


async def test_a_cut_ends_them_all_at_once_and_those_after_it_are_answered() -> None:
    with NatsServer() as server:
        bus = Bus(Metrics(), Credentials(None))
        async with connected(server.url) as other:
            taken = await taking(other)
            await bus.connect([server.url], "test")
            asked = [asyncio.create_task(bus.ask("ask.it", b"")) for _ in range(20)]
            for _ in asked:
                await taken.get()
            server.kill()
            async with asyncio.timeout(request_reply.ANSWER_TIMEOUT / 2):
                outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert {str(each) for each in outcomes} == {"the connection to NATS was cut before its answer"}
            server.start()
            async with asyncio.timeout(20):
                await bus.connected.wait()
            await bus.request("$JS.API.INFO")
        await bus.close()
