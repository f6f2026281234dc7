"""What an event costs, in function calls of the ambassador: a guard that no slow machine trips, and a tenth of growth does.

`NO_REPLY` and `ONE_REPLY` say where the calls of an event are made. Who has one grow for a good reason writes down the new
figure, which a failure prints. Figures are of Python 3.11.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp

from choregos_contract.cloudevents_nats import encode
from choregos_contract.configuration import Configuration
from choregos_contract.configure import configurations
from choregos_contract.event import Event
from choregos_contract.ids import event_record
from choregos_contract.resources import Choreography
from support.bus import TestBus, connected, wired
from support.choreographies import choreography
from support.counted_ambassador import Calls, CountedAmbassador
from support.lean_service import REPLY, lean_service
from support.nats import NatsServer
from support.waiting import wait_for

SERVICE: Final = "worker"
PENDING: Final = "choregos_pending_events"
FEW: Final = 1000
MANY: Final = 4000
SLACK: Final = 1.1
"""How many events share a pull, or a write, is never twice the same; so are the calls of an event."""
NO_REPLY: Final = {
    "ambassador": {
        "answer": 1, "breaker": 5, "claim": 2, "conclusion": 3, "deadlines": 4, "delivery": 9, "fail_point": 7, "gate": 8,
        "hop": 23, "http_client": 7, "http_connection": 16, "leases": 15, "lookahead": 1, "nats_client": 7, "nats_headers": 19,
        "nats_parser": 16, "notes": 1, "pull": 7, "reaction": 10, "replies": 3, "report": 2, "request": 6, "role": 6,
        "slots": 4, "tallies": 3, "verdict": 2,
    },
    "contract": {"cloudevents_http": 9, "cloudevents_nats": 3, "event": 24, "ids": 7, "names": 6},
    "others": {"nats": 1, "the standard library": 15},
}  # fmt: skip
ONE_REPLY: Final = {
    "ambassador": {
        "answer": 2, "breaker": 5, "bus": 13, "claim": 2, "conclusion": 3, "connection": 6, "deadlines": 8, "delivery": 11,
        "fail_point": 8, "gate": 8, "hop": 30, "http_client": 7, "http_connection": 63, "leases": 15, "lookahead": 1, "nats_client": 15,
        "nats_headers": 28, "nats_parser": 25, "notes": 1, "outbox": 3, "pull": 7, "reaction": 12, "records": 2,
        "replies": 11, "report": 2, "request": 6, "request_reply": 7, "role": 9, "server_clock": 3, "silence": 2,
        "slots": 6, "storing": 9, "tallies": 4, "timestamps": 2, "verdict": 2,
    },
    "contract": {"cloudevents_http": 50, "cloudevents_nats": 8, "configuration": 1, "event": 62, "ids": 21, "names": 14},
    "others": {"nats": 7, "the standard library": 29},
}  # fmt: skip

Steps = Mapping[str, Mapping[str, int]]


def reactions(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"event": f"Placed{each}", **fields} for each in range(number)]


async def store(bus: TestBus, events: int, event_types: list[str]) -> None:
    """Store the events, their types in turns, without waiting for each."""
    for number in range(events):
        event_type = event_types[number % len(event_types)]
        event = Event({"specversion": "1.0", "id": f"e{number}", "source": "/test", "type": event_type}, b"{}")
        headers = {**encode(event), "Nats-Msg-Id": event_record(event.source, event.id)}
        subject = bus.names.event_subject(event_type, event.correlation_id)
        await bus.connection.publish(subject, b"{}", headers=headers)

    async def stored() -> bool:
        info = await bus.api(f"STREAM.INFO.{bus.names.event_stream}")
        return int(info["state"]["messages"]) == events

    await wait_for(stored, "all events are stored")


async def series(ambassador: CountedAmbassador, name: str, number: int) -> bool:
    """Tell whether so many series of a metric are there."""
    async with aiohttp.ClientSession() as session, session.get(f"{ambassador.probes_url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(line.startswith(f"{name}{{") for line in lines) == number


async def calls_of(events: int, file: Path, listed: list[dict[str, Any]]) -> Calls:
    """Count the calls from when the reactions begin, with all events there, until the last one is acknowledged."""

    def shops(**fields: bool) -> list[Choreography]:
        """One choreography has room for 64 reactions."""
        parts = [listed[start : start + 50] for start in range(0, len(listed), 50)]
        return [
            choreography(
                {SERVICE: {"port": port, "reactions": [{**each, **fields} for each in part]}}, name=f"s{number}"
            )
            for number, part in enumerate(parts)
        ]

    def configured(*, suspend: bool) -> Configuration:
        return configurations(shops(suspend=suspend), None, generation=1 + (not suspend))[SERVICE]

    with NatsServer() as server:
        async with connected(server.url) as connection, lean_service() as port:
            bus = await wired(connection, *shops())
            async with CountedAmbassador(server.url, configured(suspend=True), file) as ambassador:
                await ambassador.logged("configured")
                types = [each["event"] for each in listed]
                await store(bus, events, types)
                # It looks at every durable as it begins, and after 12 s again: that is no event's.
                await wait_for(lambda: series(ambassador, PENDING, len(listed)), "every durable was looked at")
                before = await ambassador.calls()
                ambassador.configure(configured(suspend=False))
                await ambassador.logged("configured", generation=2)
                for event_type in types:
                    await bus.until_settled(SERVICE, event_type)
                after = await ambassador.calls()
            assert not await bus.dead_letters()
            return after - before


async def per_event(file: Path, listed: list[dict[str, Any]]) -> Calls:
    """Count the calls of `MANY - FEW` events: what is done once, however many there are, counts for nothing."""
    few = await calls_of(FEW, file, listed)
    many = await calls_of(MANY, file, listed)
    many.subtract(few)
    return many


def check(calls: Calls, usual: Steps) -> None:
    """Fail where an event takes more calls than usual, or fewer than are possible."""
    number, expected = calls.total() / (MANY - FEW), sum(sum(each.values()) for each in usual.values())
    told = f"{number:.0f} calls per event; {expected} are usual\n{_growth(calls, usual)}\n{_top(calls)}"
    assert number < expected * SLACK, told
    assert number > expected / 2, f"the usual figures are to be written anew, or not every call is counted: {told}"


def _growth(calls: Calls, usual: Steps) -> str:
    """Tell for each module what it takes, and what it usually takes, the one that has grown most first."""
    before = {
        module if kind == "others" else f"{kind}.{module}": number
        for kind, modules in usual.items()
        for module, number in modules.items()
    }
    now: Counter[str] = Counter()
    for (module, _), number in calls.items():
        now[module] += number
    rows = [(now[module] / (MANY - FEW), before.get(module, 0), module) for module in {*now, *before}]
    rows.sort(key=lambda row: row[1] - row[0])
    return "\n".join(f"{number:8.1f} now {usually:5} usually  {module}" for number, usually, module in rows)


def _top(calls: Calls) -> str:
    rows = [
        f"{number / (MANY - FEW):8.1f} {module}: {function}" for (module, function), number in calls.most_common(40)
    ]
    return "the functions, a C function beside the module that calls it:\n" + "\n".join(rows)


async def test_an_event_without_a_reply_takes_no_more_calls_than_usual(tmp_path: Path) -> None:
    check(await per_event(tmp_path / "calls", reactions(1)), NO_REPLY)


async def test_an_event_with_a_reply_takes_no_more_calls_than_usual(tmp_path: Path) -> None:
    check(await per_event(tmp_path / "calls", reactions(1, path=REPLY, emits=["Done"])), ONE_REPLY)


async def test_an_event_takes_no_more_calls_among_a_hundred_reactions(tmp_path: Path) -> None:
    check(await per_event(tmp_path / "calls", reactions(100)), NO_REPLY)
