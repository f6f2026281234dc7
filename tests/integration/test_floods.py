"""Floods against the real ambassador: its memory and its descriptors stay bounded, and everybody else is served meanwhile.

Memory is the peak of the process (VmHWM) while the flood is there, above what the process had before.
"""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio

from choregos_ambassador import probes, publish_api
from choregos_ambassador.bodies import REQUEST_LIMIT, ROOM
from support.ambassador import Ambassador
from support.bus import connected
from support.flood import affordable, flood
from support.service import always
from support.stage import Stage, staged
from support.waiting import wait_for

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
FLOOD = 10_000
FEWER = 1500
PATIENCE = 40.0
ELSEWHERE = "127.0.0.2"
"""A flood of the probes port comes from another pod, and the probes from the node."""
BOUND = 128 * MIB
"""Of a flood, above what the process had before: mostly what was sent to it and waits for the rest."""
BOUND_OF_LARGE = ROOM * 3 + BOUND
"""Of large requests: the room for them, the copy of one that has just become whole, and what the allocator keeps."""
SPARE = 40
"""Descriptors beside those of the flood: NATS, the service, and connections that are about to be closed."""
HEAD = b"POST /events/Ordered HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
WHOLE = HEAD + b"Content-Length: 2\r\n\r\n{}"
SHED = b"HTTP/1.1 503 Service Unavailable"
PIECES = {
    "nothing": (b"", FLOOD),
    "half a head": (HEAD, FEWER),
    "half a body": (HEAD + b"Content-Length: 60000\r\n\r\n" + b"x" * 30_000, FEWER),
    "a whole request": (WHOLE, FLOOD // 2),
    "a giant header": (HEAD + b"X: " + b"x" * 100_000, FEWER),
    "no HTTP": (b"\x16\x03\x01" + b"\x00" * 500, FEWER),
    "a body without end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2000\r\n" + b"x" * 0x2000 + b"\r\n", FEWER),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged({"Placed": {}}, emits=("Ordered",)) as stage:
        yield stage


def port(url: str) -> int:
    return urlsplit(url).port or 0


@dataclass
class Watch:
    """What everybody else saw while the flood was there."""

    stage: Stage
    statuses: list[int] = field(default_factory=list)
    probed: list[int] = field(default_factory=list)
    rounds: int = 0
    slowest: float = 0.0
    descriptors: int = 0
    grown: int = 0
    over: bool = False

    async def go_on(self) -> None:
        """Publish, probe, and have an event go through the reaction, again and again, on new connections each time."""
        while not self.over:
            began = time.monotonic()
            await self._publish()
            self.probed.append(await get(f"{self.stage.ambassador.probes_url}/livez"))
            sequence, _ = await self.stage.publish("Placed", always(204))
            await self.stage.outcome(sequence)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.descriptors = max(self.descriptors, descriptors(self.stage))
            self.rounds += 1

    async def _publish(self) -> None:
        """Publish an event, as often as it takes."""
        url = f"{self.stage.ambassador.publish_url}/events/Ordered"
        status = 0
        while status != 201:
            async with aiohttp.ClientSession() as session, session.post(url, json={}) as answer:
                status = answer.status
                assert status == 201 or answer.headers["Retry-After"]
            self.statuses.append(status)


async def get(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status


@asynccontextmanager
async def watched(stage: Stage) -> AsyncIterator[Watch]:
    """Watch the process, and how everybody else fares, until some more rounds after the block have gone well."""
    proc = Path(f"/proc/{stage.ambassador.pid}")
    (proc / "clear_refs").write_text("5")  # the peak begins anew
    before = peak(proc)
    watch = Watch(stage)
    going_on = asyncio.create_task(watch.go_on())
    try:
        yield watch
        enough = watch.rounds + 3
        await wait_for(lambda: watch.rounds >= enough or going_on.done(), "others are served", PATIENCE)
    finally:
        # A cancellation that comes together with an answer of NATS is lost in the `asyncio.wait_for` of Python 3.11.
        watch.over = True
        going_on.cancel()
        await asyncio.wait((going_on,))
    if not going_on.cancelled():
        going_on.result()
    watch.grown = peak(proc) - before


def descriptors(stage: Stage) -> int:
    return sum(1 for _ in Path(f"/proc/{stage.ambassador.pid}/fd").iterdir())


def peak(proc: Path) -> int:
    status = (proc / "status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


@pytest.mark.parametrize(("piece", "number"), PIECES.values(), ids=PIECES.keys())
async def test_a_flood_of_connections_is_shed_while_everybody_else_is_served(
    stage: Stage, piece: bytes, number: int
) -> None:
    async with flood(port(stage.ambassador.publish_url), piece) as water:
        async with watched(stage) as watch:
            await water.rise(affordable(number))
        assert not water.refused
        assert len(water.open) <= publish_api.LIMITS.connections
        assert all(drop.got for drop in water.drops if not drop.open), "each that was closed was told why"
        assert water.answers() <= {SHED, b"HTTP/1.1 201 Created", b"HTTP/1.0 400 Bad Request"}
    assert set(watch.statuses) == ({201} if piece != WHOLE else {201} | set(watch.statuses) & {503})
    assert set(watch.probed) == {200}
    assert watch.descriptors <= publish_api.LIMITS.connections + probes.LIMITS.connections + SPARE
    assert watch.grown < BOUND, f"{watch.grown / MIB:.0f} MiB"
    await all_is_as_before(stage)


async def all_is_as_before(stage: Stage) -> None:
    """Neither descriptors nor an ear for others are lost to a flood, and nothing but JSON was written."""
    await wait_for(lambda: descriptors(stage) < SPARE, "its connections are closed")
    assert await get(f"{stage.ambassador.probes_url}/readyz") == 200
    assert not [line for line in stage.ambassador.lines if line["message"] in ("not JSON", "bug")]


@pytest.mark.parametrize("path", ["", "/livez", "/metrics", "/drained"])
async def test_a_flood_of_the_probes_port_takes_down_neither_the_probes_nor_anything_else(
    stage: Stage, path: str
) -> None:
    piece = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() if path else b""
    async with flood(port(stage.ambassador.probes_url), piece, host=ELSEWHERE) as water:
        async with watched(stage) as watch:
            await water.rise(affordable(FEWER))
        assert len(water.open) <= probes.LIMITS.connections
        assert water.answers() <= {SHED, b"HTTP/1.1 200 OK"}
    assert set(watch.statuses) == {201}
    assert set(watch.probed) == {200}, "whoever floods crowds out nobody but himself"
    assert watch.grown < BOUND, f"{watch.grown / MIB:.0f} MiB"
    await all_is_as_before(stage)


async def test_connections_that_never_read_an_answer_take_little_memory_and_nobody_elses_place(stage: Stage) -> None:
    """Each sends as many requests as the sockets take, one behind the other."""
    many = (HEAD + b"Content-Length: 3\r\n\r\n[1}") * 2000
    async with flood(port(stage.ambassador.publish_url), many, reading=False) as water, watched(stage) as watch:
        await water.rise(30)
    assert (set(watch.statuses), set(watch.probed)) == ({201}, {200})
    assert watch.grown < BOUND, f"{watch.grown / MIB:.0f} MiB"
    await all_is_as_before(stage)


async def test_of_the_largest_requests_only_some_are_taken_at_once_and_small_ones_always(stage: Stage) -> None:
    """As many as would take a gigabyte, and none of them ever whole: so each stays where it is."""
    number = 1024 * MIB // REQUEST_LIMIT
    head = HEAD + b"Content-Length: %d\r\n\r\n" % REQUEST_LIMIT
    async with flood(port(stage.ambassador.publish_url), head + b" " * (REQUEST_LIMIT - 1)) as water:
        async with watched(stage) as watch:
            await water.rise(number)
            await wait_for(
                lambda: len([drop for drop in water.drops if drop.got]) >= number - ROOM // REQUEST_LIMIT - 1
            )
        assert water.answers() == {SHED}
        assert all(b"Retry-After: 1" in drop.got for drop in water.drops if drop.got)
    assert (set(watch.statuses), set(watch.probed)) == ({201}, {200})
    assert watch.grown < BOUND_OF_LARGE, f"{watch.grown / MIB:.0f} MiB"
    await all_is_as_before(stage)
    async with flood(port(stage.ambassador.publish_url), head + b"[" + b" " * (REQUEST_LIMIT - 2) + b"]") as one:
        await one.rise(1)
        await wait_for(lambda: bool(one.answers()))
        assert one.answers() == {b"HTTP/1.1 413 Request Entity Too Large"}, "it was read, and found too large an event"


@contextmanager
def few_descriptors(number: int) -> Iterator[None]:
    """Have the processes that are started meanwhile get along with few file descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_with_few_descriptors_it_takes_fewer_connections_and_never_runs_out_of_them(stage: Stage) -> None:
    few = 128
    async with connected(stage.server.url) as connection:
        lines: list[dict[str, Any]] = []
        with few_descriptors(few):
            ambassador = Ambassador(stage.server.url, stage.configuration)
            await ambassador.start()
        try:
            assert connection.is_connected
            for url, most in ((ambassador.publish_url, few // 2), (ambassador.probes_url, few // 4)):
                async with flood(port(url)) as water:
                    await water.rise(affordable(FEWER))
                    await wait_for(lambda: len(water.open) <= most)  # noqa: B023
                    assert water.answers() == {SHED}
                    assert await get(f"{ambassador.probes_url}/livez") == 200
                    lines = [
                        each for each in ambassador.lines if each["message"] in ("not JSON", "bug", "disconnected")
                    ]
                    assert not lines
        finally:
            await ambassador.__aexit__()
