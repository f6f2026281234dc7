"""The delivery client against a service of whose answers every byte is ours: what it calls an answer, and what a trouble.

After each test no task of the client runs on, and the service has seen every connection closed.
"""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from choregos_ambassador import http_client
from choregos_ambassador.answer import Answer, NoAnswer, Trouble
from choregos_ambassador.http_client import KEPT, HttpClient
from choregos_ambassador.http_connection import HEADER_LIMIT, ONE_SEGMENT
from support.raw_service import PATIENCE, RawService, Script, Wire, answering, on_each_loop
from support.waiting import wait_for

HEAD = b"POST /orders HTTP/1.1\r\nhost: service\r\ncontent-length: 2\r\n\r\n"
LIMIT = 1 << 20
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def ok(body: bytes = b"ok", *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


class Stage:
    """A client, and the service that it posts to."""

    def __init__(self, service: RawService) -> None:
        self.service = service
        self.client = HttpClient("127.0.0.1", service.port)

    async def post(self, *, within: float = PATIENCE, limit: int = LIMIT, body: bytes = b"{}") -> Answer | NoAnswer:
        head = HEAD.replace(b"length: 2", b"length: %d" % len(body))
        return await self.client.post(head, body, timeout=within, limit=limit)

    async def answer(self, *, limit: int = LIMIT) -> Answer:
        outcome = await self.post(limit=limit)
        assert isinstance(outcome, Answer), outcome
        return outcome

    async def trouble(self, *, within: float = PATIENCE, body: bytes = b"{}") -> Trouble:
        outcome = await self.post(within=within, body=body)
        assert isinstance(outcome, NoAnswer), outcome
        return outcome.trouble


@asynccontextmanager
async def stage(script: Script) -> AsyncIterator[Stage]:
    ours = asyncio.all_tasks()
    async with RawService(script) as service:
        on_stage = Stage(service)
        try:
            yield on_stage
        finally:
            on_stage.client.close()
    left = {each for each in asyncio.all_tasks() - ours if "http_client" in repr(each.get_coro())}
    assert not left
    gc.collect()  # whatever was not closed says so now: warnings are errors


# -- answers


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        pytest.param(ok(), 200, b"ok", id="content-length"),
        pytest.param(ok(b""), 200, b"", id="content-length of 0"),
        pytest.param(NO_CONTENT, 204, b"", id="204 without a length"),
        pytest.param(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", 204, b"", id="204 with a length"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 304, b"", id="304 never has a body"),
        pytest.param(b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", 302, b"", id="302"),
        pytest.param(b"HTTP/1.1 500\r\ncontent-length: 0\r\n\r\n", 500, b"", id="no reason phrase"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n",
            200,
            b"ok",
            id="chunked, with an extension",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 200, b"", id="chunked, empty"),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + ok(),
            200,
            b"ok",
            id="after 1xx",
        ),
        pytest.param(
            ok(b"ok", b"connection: upgrade", b"upgrade: h2c"), 200, b"ok", id="an upgrade that is only offered"
        ),
    ],
)
@on_each_loop
async def test_an_answer_is_read_as_it_is_written_however_it_is_cut_into_segments(
    sent: bytes, status: int, body: bytes
) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        wire.say(sent)
        await wire.request()
        for byte in sent:
            wire.say(bytes([byte]))
            await wire.writer.drain()
            await asyncio.sleep(0)
        await wire.hung_up()

    async with stage(script) as on:
        for _ in range(2):
            answer = await on.answer()
            assert (answer.status, answer.body, answer.truncated) == (status, body, False)
            assert answer.header("link") is None, "headers of an interim answer are none of the final one's"
        assert on.service.connections == 1
        assert on.service.requests == [HEAD + b"{}"] * 2


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@on_each_loop
async def test_an_answer_without_a_length_ends_with_its_connection(version: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        wire.say(b"HTTP/" + version + b" 200 OK\r\ncontent-type: text/plain\r\n\r\nto the ")
        await wire.writer.drain()
        wire.say(b"end")

    async with stage(script) as on:
        for connection in (1, 2):
            assert (await on.answer()).body == b"to the end"
            assert on.service.connections == connection


@on_each_loop
async def test_headers_are_found_by_lower_case_name_and_keep_their_bytes_as_text() -> None:
    headers = (b"X-Name: gr\xc3\xbcn", b"X-Old: gr\xfcn", b"Empty:", b"Twice: 1", b"Twice: 2")
    async with stage(answering(ok(b"", *headers))) as on:
        answer = await on.answer()
    assert [answer.header(name) for name in ("x-name", "x-old", "empty", "twice")] == ["grün", "grün", "", "1"]
    assert answer.headers[-2:] == (("twice", "1"), ("twice", "2"))


@on_each_loop
async def test_a_trailer_is_none_of_the_headers() -> None:
    sent = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nchoregos-verdict: reject\r\n\r\n"
    async with stage(answering(sent)) as on:
        assert (await on.answer()).headers == (("transfer-encoding", "chunked"),)


@on_each_loop
async def test_a_content_coding_is_not_undone() -> None:
    packed = b"\x1f\x8b\x08\x00not really gzip"
    async with stage(answering(ok(packed, b"content-encoding: gzip"))) as on:
        answer = await on.answer()
    assert (answer.body, answer.header("content-encoding")) == (packed, "gzip")


@on_each_loop
async def test_a_body_up_to_the_limit_is_an_answer_and_one_byte_more_is_a_truncated_one() -> None:
    async with stage(answering(ok(b"x" * 1000), ok(b"x" * 1001))) as on:
        whole, over = await on.answer(limit=1000), await on.answer(limit=1000)
    assert (len(whole.body), whole.truncated) == (1000, False)
    assert (over.status, over.body, over.truncated) == (200, b"", True)


@pytest.mark.parametrize(
    "head", [b"content-length: 1000000000000", b"transfer-encoding: chunked", b"connection: close"]
)
@on_each_loop
async def test_of_a_body_without_end_no_more_than_about_the_limit_is_read(head: bytes) -> None:
    written = 0

    async def script(wire: Wire) -> None:
        nonlocal written
        await wire.request()
        wire.say(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n" if b"chunked" in head else b"x" * 0x10000
        while True:
            wire.say(piece)
            written += len(piece)
            await wire.writer.drain()

    async with stage(script) as on:
        tracemalloc.start()
        answer = await on.answer(limit=LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert answer.truncated
    assert peak < 4 * LIMIT
    assert written < 32 * LIMIT, "the rest is what the sockets' buffers hold"


# -- kept connections


@on_each_loop
async def test_one_connection_serves_many_requests_one_after_the_other() -> None:
    async with stage(answering(*[ok()] * 50)) as on:
        for _ in range(50):
            assert (await on.answer()).body == b"ok"
        assert on.service.connections == 1


@on_each_loop
async def test_each_of_many_requests_at_once_gets_its_own_answer() -> None:
    async def script(wire: Wire) -> None:
        while True:
            wire.say(ok((await wire.request()).rpartition(b"\r\n")[2]))

    async with stage(script) as on:
        bodies = [b"%d" % number for number in range(KEPT + 20)]
        for _ in range(2):
            outcomes = await asyncio.gather(*(on.post(body=body) for body in bodies))
            assert [each.body for each in outcomes if isinstance(each, Answer)] == bodies
        assert on.service.connections == KEPT + 40, "no more than so many are kept"


@on_each_loop
async def test_as_many_are_kept_as_there_may_be_requests_and_those_that_nobody_needs_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_client, "TRIM_EVERY", 0.2)

    async def script(wire: Wire) -> None:
        while True:
            wire.say(ok((await wire.request()).rpartition(b"\r\n")[2]))

    async with stage(script) as on:
        on.client.expect(KEPT + 20)
        for _ in range(2):
            await asyncio.gather(*(on.post(body=b"x") for _ in range(KEPT + 20)))
        assert on.service.connections == KEPT + 20, "none was closed between"
        ended = asyncio.get_running_loop().time() + 10
        while len(on.client._idle) > 1:
            assert (await on.answer()).body == b"{}"
            assert asyncio.get_running_loop().time() < ended, "the one that is needed is left"
        assert on.service.connections == KEPT + 20, "which was open all the time"
        await wait_for(lambda: not on.client._idle, "nobody needs it any more")


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nconnection: close", b"HTTP/1.0 200 OK"])
@on_each_loop
async def test_a_connection_that_the_service_will_close_is_not_kept(head: bytes) -> None:
    async with stage(answering(head + b"\r\ncontent-length: 0\r\n\r\n")) as on:
        for connection in (1, 2):
            assert (await on.answer()).status == 200
            assert on.service.connections == connection


@pytest.mark.parametrize("after", ["the answer", "the next request"])
@on_each_loop
async def test_a_kept_connection_that_was_closed_under_our_feet_is_no_trouble(after: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        wire.say(ok())
        if wire.number == 1 and after == "the answer":
            return
        await wire.request()
        if wire.number > 1:
            wire.say(ok())
            await wire.hung_up()

    async with stage(script) as on:
        assert (await on.answer()).body == b"ok"
        assert (await on.answer()).body == b"ok"
        assert on.service.connections == 2
        assert len(on.service.requests) == (2 if after == "the answer" else 3)


@on_each_loop
async def test_a_probe_of_the_port_leaves_no_connection_behind() -> None:
    """A service that serves one connection at a time would wait for its request."""
    probed = asyncio.Event()

    async def script(wire: Wire) -> None:
        if wire.number == 1:
            await wire.hung_up()
            probed.set()
        await answering(ok())(wire)

    async with stage(script) as on:
        assert await on.client.reachable() is None
        async with asyncio.timeout(PATIENCE):
            await probed.wait()
        assert (await on.answer()).body == b"ok"
        assert on.service.connections == 2


@on_each_loop
async def test_a_request_goes_out_once_more_and_not_on_every_kept_connection() -> None:
    """An event that kills the worker that reads it must not kill all workers in a single attempt."""
    together = asyncio.Barrier(4)

    async def script(wire: Wire) -> None:
        await wire.request()
        if wire.number <= 4:
            await together.wait()
            wire.say(ok())
            await wire.request()

    async with stage(script) as on:
        await asyncio.gather(*(on.answer() for _ in range(4)))
        assert await on.trouble() is Trouble.CUT
        assert (on.service.connections, len(on.service.requests)) == (5, 4 + 2)


@on_each_loop
async def test_a_service_that_is_gone_after_it_got_the_request_was_reached() -> None:
    """Otherwise an event that kills its service is handed back for ever, and never an attempt."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.say(ok())
        await wire.request()
        wire.service.refuse()

    async with stage(script) as on:
        await on.answer()
        assert await on.trouble() is Trouble.CUT


@pytest.mark.parametrize(
    "more",
    [b"garbage", ok(b"2", b"x-second: 1"), b"HTTP/1.1 200 OK\r\nx-second: 1\r\n"],
    ids=["garbage", "two", "half"],
)
@on_each_loop
async def test_what_follows_an_answer_never_meets_the_next_request(more: bytes) -> None:
    async with stage(answering(ok(b"1") + more)) as on:
        for connection in (1, 2, 3):
            answer = await on.answer()
            assert (answer.body, answer.header("x-second")) == (b"1", None)
            assert on.service.connections == connection


@on_each_loop
async def test_an_answer_that_nobody_asked_for_ends_its_connection() -> None:
    speak = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.say(ok(b"%d" % wire.number))
        await speak.wait()
        wire.say(ok(b"late"))
        await wire.hung_up()
        closed.set()

    closed = asyncio.Event()
    async with stage(script) as on:
        assert (await on.answer()).body == b"1"
        speak.set()
        async with asyncio.timeout(PATIENCE):
            await closed.wait()
        assert (await on.answer()).body == b"2"


@on_each_loop
async def test_a_late_answer_after_a_timeout_never_meets_the_next_request() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        if wire.number == 1:
            await wire.hung_up()
        wire.say(ok(b"%d" % wire.number))
        await wire.hung_up()

    async with stage(script) as on:
        assert await on.trouble(within=0.05) is Trouble.TIMEOUT
        assert (await on.answer()).body == b"2"


@on_each_loop
async def test_a_service_that_answers_early_is_heard_and_its_connection_not_used_again() -> None:
    async def script(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.say(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
        await wire.hung_up()

    async with stage(script) as on:
        for connection in (1, 2):
            outcome = await on.post(body=b"x" * (32 << 20))
            assert isinstance(outcome, Answer), outcome
            assert outcome.status == 413
            assert on.service.connections == connection


@on_each_loop
async def test_after_close_no_connection_is_kept() -> None:
    asked, close, hung_up = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        asked.set()
        await close.wait()
        wire.say(ok())
        await wire.hung_up()
        hung_up.set()

    async with stage(script) as on:
        running = asyncio.ensure_future(on.answer())
        await asked.wait()
        on.client.close()
        close.set()
        assert (await running).body == b"ok"
        async with asyncio.timeout(PATIENCE):
            await hung_up.wait()


# -- troubles


@on_each_loop
async def test_a_refused_connection_is_unreachable() -> None:
    async with stage(answering()) as on:
        on.service.refuse()
        assert await on.trouble() is Trouble.UNREACHABLE
        refused = await on.client.reachable()
        assert refused is not None
        assert refused.trouble is Trouble.UNREACHABLE
        assert on.service.requests == []


@pytest.mark.parametrize(
    ("sent", "trouble"),
    [
        (b"", Trouble.CUT),
        (b"HTTP/1.1 2", Trouble.CUT),
        (b"HTTP/1.1 200 OK\r\ncontent-le", Trouble.CUT),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", Trouble.CUT),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", Trouble.CUT),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Trouble.CUT),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Trouble.MALFORMED),
        (b"<html>\r\n", Trouble.MALFORMED),
        (b"HTTP/1.1 abc OK\r\n\r\n", Trouble.MALFORMED),
        (b"HTTP/1.1 1000 OK\r\n\r\n", Trouble.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Trouble.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nx: a\x00b\r\n\r\n", Trouble.MALFORMED),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", Trouble.MALFORMED),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", Trouble.MALFORMED),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", Trouble.MALFORMED),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", Trouble.MALFORMED),
        (b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", Trouble.MALFORMED),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Trouble.MALFORMED),
    ],
)
@on_each_loop
async def test_what_is_no_whole_answer_is_cut_or_malformed_and_the_next_request_begins_anew(
    sent: bytes, trouble: Trouble
) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        wire.say(sent if wire.number == 1 else ok())
        if wire.number == 1 and trouble is Trouble.CUT:
            return
        await wire.hung_up()

    async with stage(script) as on:
        assert await on.trouble() is trouble
        assert (await on.answer()).body == b"ok"


@on_each_loop
async def test_a_reset_in_the_middle_of_an_answer_is_a_cut() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        wire.say(b"HTTP/1.0 200 OK\r\n\r\nhalf of it")
        await wire.writer.drain()
        wire.writer.transport.abort()

    async def reset(wire: Wire) -> None:
        await wire.reader.readexactly(5)  # what stays unread makes the kernel send a reset
        wire.writer.transport.abort()

    async with stage(script) as on:
        assert (await on.answer()).body == b"half of it", "a bare end is an end"
    async with stage(reset) as on:
        assert await on.trouble() is Trouble.CUT


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 1000, id="many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"a" * 10_000, id="a name without end"),
        pytest.param(b"HTTP/1.1 200 OK\r\na: ", b"b" * 10_000, id="a value without end"),
        pytest.param(b"HTTP/1.1 200 ", b"O" * 10_000, id="a reason without end"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 1000, id="many trailers"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na:", b"b" * 10_000, id="a trailer without end"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"a" * 10_000, id="an extension without end"
        ),
    ],
)
@on_each_loop
async def test_a_flood_of_headers_is_malformed_and_takes_little_memory(before: bytes, piece: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        wire.say(before)
        while True:
            wire.say(piece)
            await wire.writer.drain()

    async with stage(script) as on:
        tracemalloc.start()
        outcome = await on.post()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert isinstance(outcome, NoAnswer)
    assert outcome.trouble is Trouble.MALFORMED
    assert str(HEADER_LIMIT) in outcome.detail
    assert peak < 100 * HEADER_LIMIT


@on_each_loop
async def test_headers_up_to_the_limit_are_taken() -> None:
    value = b"b" * (HEADER_LIMIT - 200)
    async with stage(answering(ok(b"ok", b"a: " + value))) as on:
        answer = await on.answer()
    assert answer.header("a") == value.decode()


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
@on_each_loop
async def test_a_service_that_falls_silent_is_a_timeout(begin: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        wire.say(begin)
        await wire.hung_up()

    async with stage(script) as on:
        assert await on.trouble(within=0.05) is Trouble.TIMEOUT


@on_each_loop
async def test_each_of_many_requests_at_once_has_a_timeout_of_its_own() -> None:
    """Whatever the order in which they began, and whether those before them ended by an answer or by their own timeout."""

    async def script(wire: Wire) -> None:
        if b"answered" in await wire.request():
            wire.say(ok())
        await wire.hung_up()

    async with stage(script) as on:
        loop = asyncio.get_running_loop()

        async def until(within: float, body: bytes) -> tuple[Answer | NoAnswer, float]:
            began = loop.time()
            return await on.post(within=within, body=body), loop.time() - began

        patience = [0.3, 0.1, 0.2, 0.1, 0.4, 0.25]
        outcomes = await asyncio.gather(
            until(PATIENCE, b"answered"), until(0.05, b"answered"), *(until(each, b"silent") for each in patience)
        )
        assert [isinstance(outcome, Answer) for outcome, _ in outcomes] == [True, True] + [False] * len(patience)
        for (outcome, took), within in zip(outcomes[2:], patience, strict=True):
            assert outcome == NoAnswer(Trouble.TIMEOUT, f"{within:g} s")
            assert within - 0.01 <= took < within + PATIENCE / 10
        assert await on.trouble(within=0.05, body=b"silent") is Trouble.TIMEOUT, "after a pause, too"


@pytest.mark.parametrize("size", [0, 1, ONE_SEGMENT - 1, ONE_SEGMENT, 1 << 20])
@on_each_loop
async def test_a_body_of_any_size_comes_as_it_is(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with stage(answering(ok(), ok())) as on:
        for _ in range(2):
            assert await on.post(body=body) == Answer(200, (("content-length", "2"),), b"ok")
        assert on.service.connections == 1
        assert [request.partition(b"\r\n\r\n")[2] for request in on.service.requests] == [body] * 2


@on_each_loop
async def test_an_answer_that_drips_does_not_outlast_the_timeout() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        for byte in ok(b"x" * LIMIT):
            wire.say(bytes([byte]))
            await wire.writer.drain()
            await asyncio.sleep(0)

    async with stage(script) as on:
        began = asyncio.get_running_loop().time()
        assert await on.trouble(within=0.1) is Trouble.TIMEOUT
        assert asyncio.get_running_loop().time() - began < PATIENCE / 2


@on_each_loop
async def test_a_service_that_reads_nothing_is_a_timeout() -> None:
    read = asyncio.Event()

    async def script(wire: Wire) -> None:
        await read.wait()
        await wire.hung_up()

    async with stage(script) as on:
        assert await on.trouble(within=0.1, body=b"x" * (32 << 20)) is Trouble.TIMEOUT
        read.set()


@on_each_loop
async def test_a_second_time_out_of_a_request_that_went_out_twice_is_within_the_first_one() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        if wire.number == 1:
            wire.say(ok())
            await wire.request()
            return
        await wire.hung_up()

    async with stage(script) as on:
        await on.answer()
        assert await on.trouble(within=0.1) is Trouble.TIMEOUT
        assert len(on.service.requests) == 3


@pytest.mark.parametrize("connected", [True, False])
@on_each_loop
async def test_a_post_that_is_cancelled_leaves_nothing_behind(connected: bool) -> None:
    asked = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        asked.set()
        await wire.hung_up()

    async with stage(script) as on:
        posting = asyncio.ensure_future(on.post())
        await (asked.wait() if connected else asyncio.sleep(0))
        posting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await posting
