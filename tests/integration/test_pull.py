"""The pull loop's bookkeeping, against a JetStream that is played by the test on a real connection.

What the test plays is what a cluster does when a leader dies: it swallows pulls, or nobody is there to take them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from choregos_ambassador import pull
from choregos_ambassador.bus import Bus
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.pull import Puller
from support.bus import connected
from support.nats import NatsServer

PULLS = "$JS.API.CONSUMER.MSG.NEXT.stream.durable"
ACK_SUBJECT = "any.ack.stream.durable.1.1.1.1700000000000000000.0"


class Ledger:
    """What the puller has told its reaction."""

    def __init__(self) -> None:
        self.returned = 0
        self.arrived = 0
        self.gone: list[bool] = []
        self.news = asyncio.Event()

    def take_back(self, places: int, _pause: float) -> None:
        self.returned += places
        self.news.set()

    def take(self, _delivery: object) -> None:
        self.arrived += 1
        self.news.set()

    def tell(self, gone: bool) -> None:
        if gone not in self.gone[-1:]:
            self.gone.append(gone)
            self.news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def pulling(ledger: Ledger, *, jetstream: bool = True) -> AsyncIterator[tuple[Puller, Client]]:
    """A puller, and the connection of whoever plays JetStream; the server's own knows no such durable."""
    with NatsServer(jetstream=jetstream) as server:
        async with connected(server.url) as player:
            bus = Bus(Metrics(), Credentials(None))
            await bus.connect([server.url], "test")
            puller = Puller(bus, "stream", "durable", arrived=ledger.take, returned=ledger.take_back, gone=ledger.tell)
            await puller.start()
            try:
                yield puller, player
            finally:
                await bus.close()


async def barrier(jetstream: Client) -> None:
    """Wait until the server has seen everything so far; nats-py's `flush` does not, its PING overtakes what waits."""
    await jetstream.request("$JS.API.INFO", timeout=5)


async def taking_pulls(jetstream: Client) -> "asyncio.Queue[Msg]":
    """Take the pulls, to be answered by the test."""
    requests: asyncio.Queue[Msg] = asyncio.Queue()
    await jetstream.subscribe(PULLS, cb=requests.put)
    await barrier(jetstream)
    return requests


async def end_pull(jetstream: Client, request: Msg, status: str, description: str = "", **headers: str) -> None:
    """Answer a pull with a status message, as the server writes it: in the first line, where nats-py writes none."""
    lines = [
        f"NATS/1.0 {status} {description}",
        *(f"{name.replace('_', '-')}: {text}" for name, text in headers.items()),
    ]
    block = "\r\n".join([*lines, "", ""])
    await jetstream._send_command(f"HPUB {request.reply} {len(block)} {len(block)}\r\n{block}\r\n".encode())
    await jetstream._flush_pending()


async def test_places_of_a_swallowed_pull_come_back_however_busy_the_reaction_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pull, "EXPIRES", 0.2)
    monkeypatch.setattr(pull, "GRACE", 0.1)
    ledger = Ledger()
    async with pulling(ledger) as (puller, jetstream):
        swallowed = iter([True])

        async def play(request: Msg) -> None:
            if not next(swallowed, False):
                await jetstream.publish(request.reply, b"{}", reply=ACK_SUBJECT)

        await jetstream.subscribe(PULLS, cb=play)
        await barrier(jetstream)
        puller.pull(5)
        async with asyncio.timeout(10):
            while not ledger.returned:
                busy = ledger.arrived
                puller.pull(1)
                await ledger.until(lambda busy=busy: ledger.arrived > busy)  # type: ignore[misc]
                puller.forget_lost()
        assert ledger.returned == 5
        assert puller.outstanding == 0


async def test_the_places_that_a_pull_did_not_fill_come_back_once() -> None:
    ledger = Ledger()
    async with pulling(ledger) as (puller, jetstream):
        requests = await taking_pulls(jetstream)
        puller.pull(10)
        request = await requests.get()
        for _ in range(3):
            await jetstream.publish(request.reply, b"{}", reply=ACK_SUBJECT)
        await end_pull(jetstream, request, "408", "Request Timeout", Nats_Pending_Messages="7")
        await ledger.until(lambda: ledger.returned == 7)
        assert (ledger.arrived, puller.outstanding) == (3, 0)
        puller.pull(2)
        puller.forget_all()
        await end_pull(jetstream, await requests.get(), "408", "Request Timeout", Nats_Pending_Messages="2")
        puller.pull(1)
        await jetstream.publish((await requests.get()).reply, b"{}", reply=ACK_SUBJECT)
        await ledger.until(lambda: ledger.arrived == 4)
        assert ledger.returned == 7 + 2, "what was given up is not given back again"


async def test_an_event_with_a_status_header_is_an_event() -> None:
    ledger = Ledger()
    async with pulling(ledger) as (puller, jetstream):
        requests = await taking_pulls(jetstream)
        puller.pull(2)
        request = await requests.get()
        await jetstream.publish(request.reply, b"{}", reply=ACK_SUBJECT, headers={"Status": "404"})
        await jetstream.publish(request.reply, b"{}", reply=ACK_SUBJECT, headers={"Status": "paid"})
        await ledger.until(lambda: ledger.arrived == 2)
        assert ledger.returned == 0


async def test_what_is_none_of_jetstreams_messages_takes_no_place_for_good() -> None:
    ledger = Ledger()
    async with pulling(ledger) as (puller, jetstream):
        requests = await taking_pulls(jetstream)
        puller.pull(2)
        request = await requests.get()
        await jetstream.publish(request.reply, b"{}", reply="no.ack.subject")
        await jetstream.publish(request.reply, b"{}", reply=ACK_SUBJECT)
        await ledger.until(lambda: ledger.arrived == 1)
        puller.forget_all()
        assert (ledger.arrived, ledger.returned, puller.outstanding) == (1, 1, 0)


async def test_a_durable_is_gone_when_told_so_or_unanswered_twice() -> None:
    ledger = Ledger()
    async with pulling(ledger) as (puller, jetstream):
        puller.pull(1)
        await ledger.until(lambda: ledger.returned == 1)
        assert ledger.gone == [], "once may be between two leaders"
        puller.pull(1)
        await ledger.until(lambda: ledger.returned == 2)
        await ledger.until(lambda: ledger.gone == [True])
        requests = await taking_pulls(jetstream)
        for number, (status, description) in enumerate((("408", "Request Timeout"), ("409", "Consumer Deleted")), 3):
            puller.pull(1)
            await end_pull(jetstream, await requests.get(), status, description)
            await ledger.until(lambda number=number: ledger.returned == number)  # type: ignore[misc]
        assert ledger.gone == [True, False, True]


async def test_a_durable_is_not_gone_because_jetstream_is_away() -> None:
    """As it is on a server that was told to stop, and still serves the connections that it has (lame duck mode)."""
    ledger, asked = Ledger(), asyncio.Event()

    async def away(request: Msg) -> None:
        await request.respond(b'{"error":{"code":503,"err_code":10008,"description":"temporarily unavailable"}}')
        asked.set()

    async with pulling(ledger, jetstream=False) as (puller, player):
        await player.subscribe("$JS.API.CONSUMER.INFO.stream.durable", cb=away)
        await player.flush()
        for number in range(1, 4):
            puller.pull(1)
            await ledger.until(lambda number=number: ledger.returned == number)  # type: ignore[misc]
        async with asyncio.timeout(10):
            await asked.wait()
        puller.pull(1)
        await ledger.until(lambda: ledger.returned == 4)
        assert ledger.gone == []
