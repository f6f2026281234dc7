"""Whoever answers for ambassadors is not trusted further than a number can be counted on from."""

import json
from typing import Any

import pytest

from choregos_contract.configure import bus_names
from choregos_contract.running import read_answers

NAMES = bus_names(None, "shop")
METADATA = {"namespace": "shop", "bus": "default", "service": "payment"}


def answer(metadata: Any = METADATA, endpoints: Any = None, **status: Any) -> bytes:
    return json.dumps({"id": "a", "metadata": metadata, "endpoints": endpoints or [{"data": status}]}).encode()


def generations(*answers: bytes) -> list[int]:
    return [each.generation for each in read_answers(answers, NAMES)]


@pytest.mark.parametrize("generation", [-1, 2**53 + 1, 2**63, 2**64, 10**30, "7", 1.5])
def test_a_generation_that_no_document_has_is_no_answer(generation: Any) -> None:
    assert generations(answer(generation=generation), answer(generation=3)) == [3]


def test_every_generation_that_a_document_can_have_is_taken() -> None:
    assert sorted(generations(answer(generation=0), answer(generation=2**53))) == [0, 2**53]


@pytest.mark.parametrize(
    "strange",
    [
        b"",
        b"\xff",
        b"[]",
        answer(service="payment").replace(b"payment", b"\xff", 1),
        b'{"id": "a", "metadata": {}, "deep": ' + b"[" * 100_000,
        answer(endpoints=[{}]),
        answer().replace(b'[{"data": {}}]', b"[]"),
        answer(inFlight={"OrderPlaced": "many"}),
        answer(METADATA | {"namespace": "other"}),
        answer(METADATA | {"bus": "other"}),
        answer({}),
    ],
)
def test_what_no_ambassador_of_the_bus_gives_hides_nobody(strange: bytes) -> None:
    assert generations(strange, answer(generation=3)) == [3]


def test_who_runs_is_told_by_service_and_pod_with_what_it_has_in_hand_by_type() -> None:
    pods = [("payment", "p2"), ("package", "p3"), ("payment", "p1")]
    answers = [answer(METADATA | {"service": service, "pod": pod}, inFlight={"E": 2}) for service, pod in pods]
    found = read_answers(answers, NAMES)
    assert [(each.service, each.pod) for each in found] == sorted(pods)
    assert [each.in_flight for each in found] == [{"E": 2}] * 3
