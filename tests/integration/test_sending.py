"""What is sent to NATS goes out in its order, together, in time, and on no other connection than that of its moment."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from choregos_ambassador import nats_client
from choregos_ambassador.bus import Bus
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.metrics import Metrics
from support.listening_server import ListeningServer, Visit, listening_server
from support.waiting import wait_for

SOON = 0.25
"""Seconds that stand for `GATHER` on a busy machine."""


@asynccontextmanager
async def sending() -> AsyncIterator[tuple[Bus, ListeningServer]]:
    async with listening_server() as server:
        bus = Bus(Metrics(), Credentials(None))
        await bus.connect([server.url], "test")
        await bus.client.flush()
        try:
            yield bus, server
        finally:
            await bus.close()


async def hear(visit: Visit, what: bytes) -> tuple[float, bytes]:
    """Wait until something was read; returns when, and with what it came together."""
    await wait_for(lambda: what in visit.heard, f"{what!r} is heard", 10)
    return next(each for each in visit.reads if what in each[1])


async def test_what_need_not_go_out_at_once_goes_out_soon_and_together() -> None:
    async with sending() as (bus, server):
        started = time.monotonic()
        for number in range(20):
            bus.client.send(b"ack.%d" % number, b"+ACK", at_once=False)
            await asyncio.sleep(0)
        at, together = await hear(server.visits[0], b"ack.0 ")
        assert together.count(b"+ACK") == 20
        assert at - started < SOON


async def test_what_goes_out_at_once_takes_along_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_client, "GATHER", 2 * SOON)
    async with sending() as (bus, server):
        started = time.monotonic()
        bus.client.send(b"ack.1", b"+ACK", at_once=False)
        bus.client.send(b"pull.1", b"{}", reply=b"inbox.1")
        at, together = await hear(server.visits[0], b"pull.1")
        assert together == b"PUB ack.1  4\r\n+ACK\r\nPUB pull.1 inbox.1 2\r\n{}\r\n"
        assert at - started < SOON


async def test_subscriptions_pulls_and_acknowledgements_keep_their_order() -> None:
    async with sending() as (bus, server):
        for number in range(10):
            bus.client.send(b"ack.%d" % number, b"+ACK", at_once=False)
            await bus.client.receive(f"inbox.{number}", lambda *_: None)
            bus.client.send(b"pull.%d" % number, b"{}", reply=b"inbox.%d" % number)
            await bus.client.publish(f"told.{number}", b"")
        await hear(server.visits[0], b"told.9")
        lines = [line for line in server.visits[0].heard.split(b"\r\n") if line.startswith((b"PUB", b"SUB"))]
        subjects = [line.split()[1].decode() for line in lines]
        asked = [
            each
            for number in range(10)
            for each in (f"ack.{number}", f"inbox.{number}", f"pull.{number}", f"told.{number}")
        ]
        assert [each for each in subjects if each in asked] == asked


async def test_what_waits_at_a_cut_goes_out_on_no_other_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """An acknowledgement of then may be wrong by now: another holds the event."""
    monkeypatch.setattr(nats_client, "GATHER", 0.2)
    monkeypatch.setattr(nats_client, "FIRST_PAUSE", 0.1)
    async with sending() as (bus, server):
        bus.client.send(b"stale.ack", b"+ACK", at_once=False)
        server.visits[0].cut()
        await wait_for(lambda: len(server.visits) > 1, "it comes back", 10)
        await wait_for(bus.connected.is_set, "it says so", 10)
        bus.client.send(b"fresh.ack", b"+ACK", at_once=False)
        await hear(server.visits[1], b"fresh.ack")
        assert not any(b"stale.ack" in each.heard for each in server.visits)
        assert b"SUB _INBOX" in server.visits[1].heard, "it subscribes again"
