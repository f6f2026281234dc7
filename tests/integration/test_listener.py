"""The limits of a port, over real sockets and with short times: who is closed, when, and what he is told."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from choregos_ambassador.listener import Limits, Listener
from choregos_ambassador.metrics import Metrics
from support.raw_service import PATIENCE, on_each_loop
from support.waiting import wait_for

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
SHORT = 0.2
LONG = 60.0
LARGE = 16 << 20


@dataclass
class Port:
    """A port with limits, and the application behind it."""

    listener: Listener
    metrics: Metrics
    number: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    answer: asyncio.Event = field(default_factory=asyncio.Event)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    callers: list["Caller"] = field(default_factory=list)

    async def connect(self, sent: bytes = b"", host: str = "127.0.0.1") -> "Caller":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number, local_addr=(host, 0))
        writer.write(sent)
        caller = Caller(reader, writer)
        self.callers.append(caller)
        return caller

    def shed(self, cause: str) -> float:
        return (
            self.metrics.registry.get_sample_value("choregos_connections_shed_total", {"port": "test", "cause": cause})
            or 0
        )


@dataclass
class Caller:
    """One who has connected."""

    reader: StreamReader
    writer: StreamWriter

    async def answer(self) -> bytes:
        """The first line of the next answer; its body is read, too."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(
                (line.split(b":")[1] for line in head.lower().split(b"\r\n") if b"content-length" in line), b"0"
            )
            await self.reader.readexactly(int(length))
        return head.partition(b"\r\n")[0].partition(b" ")[2]

    async def rest(self) -> bytes:
        """All that comes until the connection is closed."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b"reset"


@asynccontextmanager
async def opened(
    connections: int = 10, request_within: float = LONG, answer_within: float = LONG
) -> AsyncIterator[Port]:
    """Answer `GET /` at once, `GET /slow` when told, `GET /large` with much, and `POST /` with its body."""

    async def slow(_request: web.Request) -> web.Response:
        port.asked.set()
        await port.answer.wait()
        return web.Response(text="slow")

    async def at_once(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def large(_request: web.Request) -> web.Response:
        return web.Response(body=bytes(LARGE))

    async def echo(request: web.Request) -> web.Response:
        port.reading.set()
        return web.Response(body=await request.read())

    async def broken(_request: web.Request) -> web.Response:
        raise RuntimeError("a bug")

    application = web.Application()
    application.add_routes([web.get("/", at_once), web.get("/slow", slow), web.get("/large", large), web.post("/", echo), web.get("/broken", broken)])  # fmt: skip
    metrics = Metrics()
    limits = Limits(connections=connections, request_within=request_within, answer_within=answer_within)
    port = Port(Listener("test", application, limits, metrics), metrics)
    port.number = await port.listener.open("127.0.0.1", 0, shutdown_timeout=0.1)
    try:
        yield port
    finally:
        port.answer.set()
        for caller in port.callers:
            caller.writer.close()
        await asyncio.gather(*(caller.writer.wait_closed() for caller in port.callers), return_exceptions=True)
        await port.listener.close()


@on_each_loop
async def test_a_chunk_that_breaks_a_body_off_does_not_leave_its_connection_hanging() -> None:
    """Of an error in a later piece aiohttp tells the handler nothing: it would wait for the rest of the body for ever."""
    async with opened(request_within=SHORT) as port:
        broken = await port.connect(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await wait_for(port.reading.is_set, "its body is being read", PATIENCE)
        broken.writer.write(b"zz\r\n")
        assert await broken.answer() in (b"408 Request Timeout", b"400 Bad Request")
        assert await broken.rest() == b""


async def drip(caller: Caller, piece: bytes) -> None:
    for byte in piece:
        caller.writer.write(bytes([byte]))
        await asyncio.sleep(SHORT / 20)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\r\n",
        b"G",
        GET[:-2],
        POST,
        POST + b"abc",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
    ],
)
@on_each_loop
async def test_a_request_that_does_not_become_whole_is_answered_408_and_closed(sent: bytes) -> None:
    async with opened(request_within=SHORT) as port:
        late = await port.connect(sent)
        assert await late.answer() == b"408 Request Timeout"
        assert await late.rest() == b""
        assert port.shed("slow") == 1
        assert len(port.listener.connections) == 0


@pytest.mark.parametrize(
    "sent",
    [b"G" * 1000, GET[:20] + b"x" * 1000, POST[:44].replace(b"4", b"9") + b"99\r\n\r\n" + b"x" * 500],
    ids=["method", "head", "body"],
)
@on_each_loop
async def test_to_send_a_byte_now_and_then_gains_no_time(sent: bytes) -> None:
    async with opened(request_within=SHORT) as port:
        late = await port.connect()
        dripping = asyncio.create_task(drip(late, sent))
        try:
            assert (await late.answer())[:3] in (b"408", b"400")
            assert await late.rest() in (b"", b"reset")
        finally:
            dripping.cancel()
            await asyncio.wait((dripping,))


@on_each_loop
async def test_a_kept_connection_may_be_silent_for_long_and_has_the_whole_time_for_its_next_request() -> None:
    async with opened(request_within=SHORT) as port:
        kept = await port.connect(GET)
        assert await kept.answer() == b"200 OK"
        late = await port.connect()
        assert await late.answer() == b"408 Request Timeout"  # so more than the time for a request has gone by
        kept.writer.write(GET)
        assert await kept.answer() == b"200 OK"
        kept.writer.write(GET[:10])
        assert await kept.answer() == b"408 Request Timeout"


@on_each_loop
async def test_a_handler_may_take_longer_than_the_request_and_what_is_behind_it_waits_its_turn() -> None:
    async with opened(request_within=SHORT) as port:
        slow = await port.connect(GET.replace(b"/", b"/slow", 1) + POST + b"abcd" + GET)
        await port.asked.wait()
        late = await port.connect()
        await late.answer()
        port.answer.set()
        assert [await slow.answer() for _ in range(3)] == [b"200 OK"] * 3
        assert port.shed("slow") == 1


@on_each_loop
async def test_an_answer_that_nobody_reads_ends_its_connection() -> None:
    async with opened(answer_within=SHORT) as port:
        deaf = await port.connect()
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        deaf.writer.write(GET.replace(b"/", b"/large", 1))
        await wait_for(lambda: port.shed("slow"), "it is closed", PATIENCE)
        assert len(port.listener.connections) == 0
        deaf.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await deaf.rest()) < LARGE


@on_each_loop
async def test_a_newcomer_takes_the_place_of_whoever_has_waited_longest_for_a_request() -> None:
    async with opened(connections=3) as port:
        first, second, third = [await port.connect(sent) for sent in (POST, GET[:9], b"")]
        fourth = await port.connect(GET)
        assert await fourth.answer() == b"200 OK"
        assert await first.answer() == b"503 Service Unavailable"
        assert await first.rest() == b""
        for waiting in (second, third):
            waiting.writer.write(GET[9:] if waiting is second else GET)
            assert await waiting.answer() == b"200 OK"
        assert port.shed("full") == 1


@on_each_loop
async def test_a_kept_connection_makes_room_without_a_word_and_only_when_nobody_waits() -> None:
    """An answer without a request would be taken for that of the next one."""
    async with opened(connections=2) as port:
        kept = await port.connect(GET)
        assert await kept.answer() == b"200 OK"
        waiting = await port.connect()
        newcomer = await port.connect(GET)
        assert await newcomer.answer() == b"200 OK"
        assert await waiting.answer() == b"503 Service Unavailable"
        another = await port.connect(GET)
        assert await another.answer() == b"200 OK"
        assert await kept.rest() == b""


@on_each_loop
async def test_a_host_with_many_connections_crowds_out_none_of_a_host_with_few() -> None:
    """On Linux every address of 127.0.0.0/8 is of this machine."""
    async with opened(connections=3) as port:
        other = await port.connect(GET[:9], "127.0.0.2")
        many = [await port.connect(GET) for _ in range(5)]
        assert await many[-1].answer() == b"200 OK"
        other.writer.write(GET[9:])
        assert await other.answer() == b"200 OK"


@on_each_loop
async def test_while_all_are_worked_on_a_newcomer_is_turned_away() -> None:
    async with opened(connections=1) as port:
        working = await port.connect(GET.replace(b"/", b"/slow", 1))
        await port.asked.wait()
        turned_away = await port.connect(GET)
        assert await turned_away.answer() == b"503 Service Unavailable"
        port.answer.set()
        assert await working.answer() == b"200 OK"
        assert port.shed("full") == 1


@on_each_loop
async def test_a_body_that_goes_on_after_an_early_answer_is_no_new_request() -> None:
    async with opened(connections=1) as port:
        early = await port.connect(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        assert await early.answer() == b"404 Not Found"
        early.writer.write(b"c")
        early.writer.write(b"d" + GET)
        assert await early.answer() == b"200 OK"


@on_each_loop
async def test_what_a_handler_should_not_raise_is_a_500_and_a_line_of_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with opened() as port:
        caller = await port.connect(GET.replace(b"/", b"/broken", 1))
        assert await caller.answer() == b"500 Internal Server Error"
    assert "a bug" in capsys.readouterr().out
