"""The demo's figures come from the bus and from what clients are told; what does not fit is counted as lost or double."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from choregos_cli.happenings import DeadLettered, EventStored
from choregos_cli.transactions import Roles, Transactions

ROLES = Roles({"DeliveryScheduled": "completed", "PackageRemoved": "failed"}, {})


def _load() -> ModuleType:
    file = Path(__file__).parents[2] / "examples" / "drone-delivery" / "demo.py"
    spec = importlib.util.spec_from_file_location("drone_delivery_demo", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


demo = _load()


def event(sequence: int, request: str, name: str, **changes: Any) -> EventStored:
    values: dict[str, Any] = {
        "time": float(sequence),
        "stream": "events",
        "sequence": sequence,
        "id": f"{request}-{name}",
        "source": "/test",
        "type": name,
        "correlation_id": f"c-{request}",
        "causation_id": None if name == "DeliveryRequested" else "cause",
        "hops": 0,
        "data": f'{{"deliveryId": "{request}"}}'.encode(),
    }
    return EventStored(**values | changes)


def letter(request: str) -> DeadLettered:
    return DeadLettered(
        time=9.0,
        stream="dead",
        sequence=1,
        service="package",
        event_id=f"{request}-DeliveryRequested",
        event_type="DeliveryRequested",
        correlation_id=f"c-{request}",
        reason="rejected",
        attempts=1,
    )


BUS = [
    event(1, "a", "DeliveryRequested"),
    event(2, "a", "DeliveryScheduled"),
    event(3, "b", "DeliveryRequested"),
    event(4, "b", "PackageRemoved"),
    event(5, "c", "DeliveryRequested"),
    letter("c"),
]
TOLD = {"a": ("completed", 1), "b": ("failed", 1), "c": ("accepted", 0)}
FINE = {"requested": 3, "completed": 1, "failed": 1, "dead_lettered": 1}


def tally(bus: list[Any], told: dict[str, tuple[str, int]], *, idle: bool = True) -> dict[str, int]:
    stored = Transactions(ROLES)
    for happening in bus:
        stored.feed(happening)
    views = {name: {"status": status, "outcomes": outcomes} for name, (status, outcomes) in told.items()}
    sums: dict[str, int] = demo.tally("abc", stored, views, idle=idle)
    return {name: number for name, number in sums.items() if number}


def test_all_three_ends_are_counted() -> None:
    assert tally(BUS, TOLD) == FINE


@pytest.mark.parametrize(
    ("bus", "told", "sums"),
    [
        (BUS[2:], TOLD, {"requested": 3, "failed": 1, "dead_lettered": 1, "lost": 1}),
        (BUS[:-1], TOLD, {"requested": 3, "completed": 1, "failed": 1, "lost": 1}),
        (BUS, TOLD | {"a": ("accepted", 0)}, {"requested": 3, "failed": 1, "dead_lettered": 1, "lost": 1}),
        (BUS, {"a": ("completed", 1), "c": ("accepted", 0)}, {**FINE, "failed": 0, "lost": 1}),
        ([*BUS, event(7, "a", "DeliveryScheduled")], TOLD, {**FINE, "duplicates": 1}),
        ([*BUS, event(7, "a", "DeliveryScheduled", id="other")], TOLD, {**FINE, "duplicates": 1}),
        ([*BUS, event(7, "a", "DeliveryRequested", correlation_id="c-2")], TOLD, {**FINE, "duplicates": 1}),
        ([*BUS, event(7, "d", "DeliveryRequested")], TOLD, {**FINE, "duplicates": 1}),
        (BUS, TOLD | {"a": ("completed", 2)}, {**FINE, "duplicates": 1}),
    ],
)
def test_what_does_not_fit_is_lost_or_double(
    bus: list[Any], told: dict[str, tuple[str, int]], sums: dict[str, int]
) -> None:
    assert tally(bus, told) == {name: number for name, number in sums.items() if number}


def test_what_is_on_its_way_is_unfinished_not_lost() -> None:
    assert tally(BUS[:-1], TOLD, idle=False) == {"requested": 3, "completed": 1, "failed": 1, "unfinished": 1}


def test_only_the_full_number_of_requests_is_fine() -> None:
    sums = dict.fromkeys(("failed", "dead_lettered", "unfinished", "lost", "duplicates"), 0)
    assert demo.is_fine(sums | {"requested": 50, "completed": 50})
    assert not demo.is_fine(sums | {"requested": 49, "completed": 49})
    assert not demo.is_fine(sums | {"requested": 50, "completed": 49})
    assert not demo.is_fine(sums | {"requested": 50, "completed": 50, "duplicates": 1})
