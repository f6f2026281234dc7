"""Any bytes on a connection to the publish API, over real sockets: one of the documented answers, and never a 500.

Requests that are nearly right, cut in two anywhere. A 201 is an event in the stream, and its body is what it says.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.stage import Stage, staged

STATUSES = {"201", "400", "403", "404", "405", "413", "415", "417", "503"}
SILENCE = 0.1
"""Seconds after which no further answer is expected."""
PLAIN = b"POST /events/Ordered HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
EVENT = b'{"specversion":"1.0","id":"1","source":"/shop","type":"Ordered","data":{"a": 1.00}}'
STRUCTURED = b"POST /events HTTP/1.1\r\nHost: a\r\nContent-Type: application/cloudevents+json\r\n"
REQUESTS = [
    PLAIN + b'Content-Length: 8\r\n\r\n{"a": 1}',
    PLAIN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    PLAIN + b"Idempotency-Key: k\r\nX-Correlation-ID: gr%C3%BC\r\nContent-Length: 0\r\n\r\n",
    PLAIN + b"Content-Encoding: deflate\r\nContent-Length: 2\r\n\r\n{}",
    PLAIN + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    PLAIN + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}",
    STRUCTURED + b"Content-Length: %d\r\n\r\n" % len(EVENT) + EVENT,
    STRUCTURED.replace(b"+json", b"-batch+json") + b"Content-Length: %d\r\n\r\n[" % (len(EVENT) + 2) + EVENT + b"]",
    b"POST /events HTTP/1.1\r\nHost: a\r\nce-specversion: 1.0\r\nce-id: 2\r\nce-source: /s\r\nce-type: Ordered\r\n\r\n",
    b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n",
]
pieces = st.binary(max_size=6) | st.sampled_from(
    [b"\r\n", b"\xff", b"%ff", b"\x00", b"-1", b"99999999999999999999", *REQUESTS]
)


class Played(NamedTuple):
    """A stage, and the event loop that it is on."""

    runner: asyncio.Runner
    stage: Stage

    def __repr__(self) -> str:
        return "the stage"  # hypothesis writes it down with every failure


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield Played(runner, runner.run(stack.enter_async_context(staged({}, emits=("Ordered",)))))
        runner.run(stack.aclose())


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.tuples(st.sampled_from(REQUESTS), st.integers(0, 400), st.integers(0, 6)), pieces, st.integers(0, 400))
def test_whatever_is_sent_the_answer_is_a_documented_one_that_is_what_it_says(
    played: Played, spoilt: tuple[bytes, int, int], piece: bytes, cut: int
) -> None:
    runner, stage = played
    request_, start, length = spoilt
    start %= len(request_) + 1
    sent = request_[:start] + piece + request_[start + length :]
    cut %= len(sent) + 1
    for status, body in runner.run(ask(stage, sent[:cut], sent[cut:])):
        if status == "201":
            told = json.loads(body)
            ids = {each["id"] for each in told.get("events", [told])}
            assert ids <= runner.run(stored(stage))


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_requests_are_nearly_right(played: Played, request_: bytes) -> None:
    """Otherwise the test above would show nothing."""
    runner, stage = played
    (answer,) = runner.run(ask(stage, request_, b"", patience=20.0))
    expected = "415" if b"deflate" in request_ else "405" if request_.startswith(b"GET") else "201"
    assert answer[0] == expected


def test_nothing_of_all_this_was_a_bug_or_wrote_anything_but_json(played: Played) -> None:
    assert not [line for line in played.stage.ambassador.lines if line["message"] in ("bug", "not JSON")]


async def ask(stage: Stage, first: bytes, second: bytes, patience: float = SILENCE) -> list[tuple[str, bytes]]:
    """Send two pieces; return status and body of each answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stage.ambassador.publish_url.rpartition(":")[2]))
    answers: list[tuple[str, bytes]] = []
    try:
        writer.write(first)
        await writer.drain()
        await asyncio.sleep(0.002)  # so that it comes in two
        writer.write(second)
        while (answer := await next_answer(reader, SILENCE if answers else patience)) is not None:
            answers.append(answer)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # it was closed while more was sent
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return answers


async def next_answer(reader: asyncio.StreamReader, patience: float) -> tuple[str, bytes] | None:
    try:
        async with asyncio.timeout(patience):
            head = await reader.readuntil(b"\r\n\r\n")
            while head.startswith(b"HTTP/1.1 100 "):
                head = await reader.readuntil(b"\r\n\r\n")
    except (TimeoutError, asyncio.IncompleteReadError):
        return None
    line, *headers = head.decode("latin-1").lower().split("\r\n")
    named = dict(each.split(": ", 1) for each in headers if each)
    status = re.fullmatch(r"http/\d\.\d (\d{3}) .+", line)
    assert status, line  # of what calls itself HTTP/0.9, aiohttp takes over even that
    assert status[1] in STATUSES
    body = await reader.readexactly(int(named["content-length"]))
    if named["content-type"].startswith("application/json"):
        assert isinstance(json.loads(body), dict)
        assert ("retry-after" in named) == (status[1] == "503")
    else:
        assert named["content-type"].startswith("text/plain")
        assert status[1] in ("400", "404", "405", "417")
        assert body.decode()
    return status[1], body


async def stored(stage: Stage) -> set[str]:
    """The ids of the events that are on the bus."""
    return {each.headers["ce-id"] for each in await stage.bus.events("Ordered")}
