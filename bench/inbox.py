"""What the inbox costs a hop, against the same hop without: `PYTHONPATH=tests .venv/bin/python bench/inbox.py`.

Writes `bench/results/inbox.json` and prints it. The two take turns, so that a machine whose speed drifts slows both. Memory of
nats-server is measured apart: a bucket is filled with so many entries, and what the process has grown by is divided.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import nats
import uvloop
from msgspec.structs import replace
from nats.aio.client import Client
from pacing import Latency, paced, until
from report import RESULTS
from saturation import Cost
from service import serve
from stage import NAMES, SERVICE, Stage, configuration, cpu_seconds, rss_mib, stage

from choregos_ambassador.answer import Answer
from choregos_ambassador.inbox_entry import Entry, State, lasts
from choregos_cli.ports import free_port
from choregos_contract.configuration import Configuration, Idempotency, dump
from choregos_contract.ids import inbox_key, uuid7
from choregos_contract.resources import Choreography
from choregos_contract.wiring import wanted
from support.nats import NatsServer

TTL = 86_400.0
_SHOP = Choreography.model_validate(
    {
        "apiVersion": "choregos.dev/v1alpha1",
        "kind": "Choreography",
        "metadata": {"name": "bench", "namespace": NAMES.namespace},
        "spec": {
            "events": {"Placed": {"external": True}},
            "services": {SERVICE: {"reactions": [{"event": "Placed", "idempotency": {"ttl": "1d"}}]}},
        },
    }
)
GRACE = 10.0
WITHOUT, WITH = "without", "with an inbox"


def _configuration(port: int, candidate: str, **fields: Any) -> Configuration:
    told = configuration(port, "Placed", **fields)
    if candidate == WITHOUT:
        return told
    reactions = tuple(replace(each, idempotency=Idempotency(ttl=TTL)) for each in told.reactions)
    return replace(told, reactions=reactions)


async def _fresh_bus(the: Stage) -> None:
    await the.fresh_bus("Placed")
    bucket = wanted([_SHOP], None, NAMES.namespace).streams[-1].to_config("2.15.1")
    await the.client.request(f"$JS.API.STREAM.DELETE.{bucket['name']}", b"", timeout=10)
    await the.api(f"STREAM.CREATE.{bucket['name']}", bucket | {"max_bytes": 2**30})


async def saturated(the: Stage, candidate: str, events: int) -> Cost:
    """Let an ambassador work off a full stream."""
    await _fresh_bus(the)
    await the.publish(events)
    process, path = await the.ambassador(_configuration(the.port, candidate, suspend=True))
    await the.said(process, lambda line: '"configured"' in line)
    await asyncio.sleep(1.0)  # its first readiness probe, before the clock runs
    before, started = cpu_seconds(process.pid), time.perf_counter()
    path.write_bytes(dump(_configuration(the.port, candidate, generation=2)))
    await the.settled()
    seconds, cpu = time.perf_counter() - started, cpu_seconds(process.pid) - before
    memory = rss_mib(process.pid)
    await process.stop(GRACE)
    return Cost(cpu / events * 1e6, events / seconds, memory)


async def latency(the: Stage, candidate: str, rate: int, seconds: float) -> Latency:
    """Measure events at a fixed rate, from the moment that each is due to its arrival at the service."""
    arrivals: dict[bytes, float] = {}
    port = free_port(set())
    server = await serve(port, lambda body: arrivals.setdefault(body, time.perf_counter()))
    await _fresh_bus(the)
    process, _ = await the.ambassador(_configuration(port, candidate))
    await the.publish_one("warm-up", body=b"warm-up")
    await until(lambda: b"warm-up" in arrivals)
    found = await paced("hop", rate, seconds, arrivals, lambda body: the.publish_one(body.decode(), body=body))
    await process.stop(GRACE)
    server.close()
    await server.wait_closed()
    return Latency.of(found)


@asynccontextmanager
async def _alone() -> AsyncIterator[tuple[NatsServer, Client]]:
    with NatsServer() as server:
        client = await nats.connect(server.url)
        try:
            yield server, client
        finally:
            await client.close()


async def memory(keys: int) -> dict[str, float]:
    """Fill an inbox with answers of 204, written once each, and say what an entry costs nats-server."""
    async with _alone() as (server, client):
        bucket = wanted([_SHOP], None, NAMES.namespace).streams[-1].to_config("2.15.1") | {"max_bytes": 2**32}
        await client.request(f"$JS.API.STREAM.CREATE.{bucket['name']}", json.dumps(bucket).encode())
        await _fill(client, 1000, "first")
        before = rss_mib(server.pid)
        await _fill(client, keys, "event")
        await asyncio.sleep(5.0)  # what it holds for a moment only is let go
        grown = (rss_mib(server.pid) - before) * 2**20
        state = json.loads((await client.request(f"$JS.API.STREAM.INFO.{bucket['name']}")).data)["state"]
        assert state["num_subjects"] == keys + 1000, state
        return {"memory_bytes": grown / keys, "disk_bytes": state["bytes"] / state["messages"]}


async def _fill(client: Client, number: int, prefix: str) -> None:
    answer = Answer(
        204, (("server", "nginx/1.22.1"), ("date", "Thu, 01 Jan 2026 00:00:00 GMT"), ("connection", "keep-alive"))
    )
    entry = Entry(state=State.DONE, owner=uuid7(), sequence=1, number=1, lasts=lasts(30.0), answer=answer)
    payload, headers = msgspec.msgpack.encode(entry), {"Nats-Expected-Last-Subject-Sequence": "0", "Nats-TTL": "86401s"}
    window: list[Any] = []
    for index in range(number):
        key = inbox_key("2026-01-02T03:04:05Z", SERVICE, "Placed", "/bench/origin", f"{prefix}-{index}")
        window.append(client.request(f"$KV.{NAMES.inbox_bucket}.{key}", payload, timeout=30, headers=headers))
        if len(window) == 512:
            await asyncio.gather(*window)
            window.clear()
    await asyncio.gather(*window)


async def measure(rounds: int, events: int, seconds: float, keys: int) -> dict[str, Any]:
    """Take all measurements."""
    costs: dict[str, list[Cost]] = {WITHOUT: [], WITH: []}
    latencies: dict[str, list[Latency]] = {WITHOUT: [], WITH: []}
    load = os.getloadavg()[0]
    room = await memory(keys)
    async with stage() as the:
        for _ in range(rounds):
            for candidate in (WITHOUT, WITH):
                costs[candidate].append(await saturated(the, candidate, events))
        for _ in range(rounds):
            for candidate in (WITHOUT, WITH):
                latencies[candidate].append(await latency(the, candidate, 100, seconds))
    pairs = list(zip(costs[WITH], costs[WITHOUT], strict=True))
    delays = list(zip(latencies[WITH], latencies[WITHOUT], strict=True))
    return {
        "cpu_ratio": round(statistics.median(a.cpu_us / b.cpu_us for a, b in pairs), 2),
        "throughput_ratio": round(statistics.median(a.per_second / b.per_second for a, b in pairs), 2),
        "cpu_us": {name: [round(each.cpu_us) for each in cost] for name, cost in costs.items()},
        "per_second": {name: [round(each.per_second) for each in cost] for name, cost in costs.items()},
        "added_p50_ms": round(statistics.median(a.p50 - b.p50 for a, b in delays), 2),
        "added_p99_ms": round(statistics.median(a.p99 - b.p99 for a, b in delays), 2),
        "p50_ms": {name: [round(each.p50, 2) for each in found] for name, found in latencies.items()},
        "p99_ms": {name: [round(each.p99, 2) for each in found] for name, found in latencies.items()},
        "server_memory_bytes_per_key": round(room["memory_bytes"]),
        "server_disk_bytes_per_key": round(room["disk_bytes"]),
        "keys": keys,
        "load_before": round(load, 1),
    }


def main() -> None:
    """Measure, write, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=10_000, help="events that each candidate works off in a round")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each latency measurement")
    parser.add_argument("--keys", type=int, default=200_000, help="entries for the measurement of memory")
    arguments = parser.parse_args()
    found = uvloop.run(measure(arguments.rounds, arguments.events, arguments.seconds, arguments.keys))
    text = json.dumps(found, indent=2) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "inbox.json").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
