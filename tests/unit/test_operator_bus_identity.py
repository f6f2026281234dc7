"""What makes two places the same for an ambassador: the servers, in whichever order, and the prefix."""

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

from choregos_contract.event_bus import EventBus
from choregos_operator.bus_identity import bus_hash, place
from support.choreographies import event_bus

USUAL = ("nats://a:4222", "nats://b:4222")


def hashed(bus: EventBus | None, usual: Sequence[str]) -> str:
    return bus_hash(bus, place(bus, usual))


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"servers": ["nats://b:4222", "nats://a:4222"]},
        {"stream": {"prefix": "choregos", "replicas": 3}},
        {"deadLetters": {"maxAge": "1d"}},
        {"tls": {"serverName": "evil.example"}},
    ],
)
def test_what_does_not_move_an_ambassador_leaves_the_hash(spec: dict[str, Any]) -> None:
    assert hashed(event_bus(**spec), USUAL) == hashed(None, USUAL)


@pytest.mark.parametrize(
    "spec",
    [
        {"servers": ["nats://a:4222"]},
        {"servers": ["nats://c:4222"]},
        {"stream": {"prefix": "other"}},
        {"tls": {"enabled": True}},
        {"tls": {"handshakeFirst": True}},
    ],
)
def test_what_an_ambassador_has_to_be_made_anew_for_changes_the_hash(spec: dict[str, Any]) -> None:
    assert hashed(event_bus(**spec), USUAL) != hashed(None, USUAL)


def test_other_servers_of_the_operator_are_another_place_for_a_bus_that_names_none() -> None:
    assert hashed(None, USUAL) != hashed(None, ["nats://c:4222"])
    named = event_bus(servers=["nats://own:4222"])
    assert hashed(named, USUAL) == hashed(named, ["nats://c:4222"])


def test_the_name_in_the_certificate_of_a_buss_own_servers_is_a_part_of_the_place() -> None:
    own = event_bus(servers=["nats://own:4222"])
    named = event_bus(servers=["nats://own:4222"], tls={"serverName": "a.example"})
    assert hashed(named, USUAL) != hashed(own, USUAL)


def test_the_hash_of_a_place_without_peculiarities_is_that_of_earlier_releases() -> None:
    told = "choregos\nnats://a:4222\nnats://b:4222"
    assert hashed(None, USUAL) == hashlib.sha256(told.encode()).hexdigest()[:16]
