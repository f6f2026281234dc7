"""What makes two places the same for an ambassador: the servers, in whichever order, and the prefix."""

from collections.abc import Sequence
from typing import Any

import pytest

from choregos_contract.resources import EventBus
from choregos_operator.bus_identity import bus_hash, servers
from support.choreographies import event_bus

USUAL = ("nats://a:4222", "nats://b:4222")


def place(bus: EventBus | None, usual: Sequence[str]) -> str:
    return bus_hash(bus, servers(bus, usual))


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"servers": ["nats://b:4222", "nats://a:4222"]},
        {"stream": {"prefix": "choregos", "replicas": 3}},
        {"deadLetters": {"maxAge": "1d"}},
    ],
)
def test_what_does_not_move_an_ambassador_leaves_the_hash(spec: dict[str, Any]) -> None:
    assert place(event_bus(**spec), USUAL) == place(None, USUAL)


@pytest.mark.parametrize(
    "spec",
    [
        {"servers": ["nats://a:4222"]},
        {"servers": ["nats://c:4222"]},
        {"stream": {"prefix": "other"}},
        {"tls": {"enabled": True}},
    ],
)
def test_what_an_ambassador_has_to_be_made_anew_for_changes_the_hash(spec: dict[str, Any]) -> None:
    assert place(event_bus(**spec), USUAL) != place(None, USUAL)


def test_other_servers_of_the_operator_are_another_place_for_a_bus_that_names_none() -> None:
    assert place(None, USUAL) != place(None, ["nats://c:4222"])
    named = event_bus(servers=["nats://own:4222"])
    assert place(named, USUAL) == place(named, ["nats://c:4222"])
