"""Whatever a service answers, cut wherever it may be, is an answer or none, and never that of the next request.

The first byte of an input says how the rest is cut, and whether the service then hangs up or falls silent. Real sockets.
"""

import asyncio
from collections.abc import Iterable

from choregos_ambassador.answer import Answer, Trouble
from choregos_ambassador.http_client import HttpClient
from support.raw_service import RawService, Wire

HEAD = b"POST /%s HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
LIMIT = 4096
SILENT = 192
"""From this first byte on the service falls silent after its answer; below, it hangs up."""
SILENCE = 0.03
"""Seconds after which the client has waited enough, then."""
PATIENCE = 10.0
ANSWERS = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\nt: v\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n2",
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + b"x" * 5000,
]


def seeds() -> Iterable[bytes]:
    return [bytes([how]) + answer for answer in ANSWERS for how in (0, 1, 7, 200)]


def consume(data: bytes) -> None:
    if data:
        asyncio.run(_ask_twice(data[0], data[1:]))


async def _ask_twice(how: int, answer: bytes) -> None:
    said = asyncio.Event()

    async def script(wire: Wire) -> None:
        try:
            await answered(wire)
        finally:
            said.set()

    async def answered(wire: Wire) -> None:
        while True:
            if b"second" in await wire.request():
                wire.say(b"HTTP/1.1 299 Right\r\nx-for: the second\r\ncontent-length: 3\r\n\r\nyes")
                continue
            for piece in _cut(answer, how % 64):
                wire.say(piece)
                await wire.writer.drain()
                await asyncio.sleep(0)
            said.set()
            if how < SILENT:
                return

    async with RawService(script) as service:
        client = HttpClient("127.0.0.1", service.port)
        try:
            first = await client.post(HEAD % b"first", b"", timeout=PATIENCE if how < SILENT else SILENCE, limit=LIMIT)
            await said.wait()
            for _ in range(5):
                await asyncio.sleep(0)  # what is still on its way comes in
            second = await client.post(HEAD % b"second", b"", timeout=PATIENCE, limit=LIMIT)
        finally:
            client.close()
    if isinstance(first, Answer):
        assert 200 <= first.status < 1000
        assert len(first.body) <= LIMIT
        assert not (first.truncated and first.body)
    else:
        assert how >= SILENT or first.trouble is not Trouble.TIMEOUT, first
    assert isinstance(second, Answer), second
    assert (second.status, second.header("x-for"), second.body) == (299, "the second", b"yes")


def _cut(answer: bytes, size: int) -> list[bytes]:
    """Cut into pieces of that size; 0 leaves it whole, and no more than so many pieces are made."""
    size = max(size, len(answer) // 20 + 1) if size else len(answer) or 1
    return [answer[start : start + size] for start in range(0, len(answer), size)]
