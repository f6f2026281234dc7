"""Whoever answers for ambassadors is not trusted further than a number can be counted on from."""

import json
from typing import Any

import pytest

from choregos_contract.configure import bus_names
from choregos_operator.bus.ambassadors import ambassadors

NAMES = bus_names(None, "shop")


class Answering:
    """A connection over which these generations are told."""

    server_version = "2.12.0"

    def __init__(self, *generations: Any) -> None:
        self._generations = generations

    async def ask(self, subject: str, payload: bytes = b"") -> bytes:
        raise NotImplementedError

    async def gather(self, subject: str, *, max_age: float = 0.0) -> tuple[bytes, ...]:
        metadata = {"namespace": "shop", "bus": "default", "service": "payment"}
        endpoints = ([{"data": {"generation": each}}] for each in self._generations)
        return tuple(json.dumps({"id": "a", "metadata": metadata, "endpoints": each}).encode() for each in endpoints)


@pytest.mark.parametrize("generation", [-1, 2**53 + 1, 2**63, 2**64, 10**30, "7", 1.5])
async def test_a_generation_that_no_document_has_is_no_answer(generation: Any) -> None:
    assert [each.generation for each in await ambassadors(Answering(generation, 3), NAMES)] == [3]


async def test_every_generation_that_a_document_can_have_is_taken() -> None:
    found = await ambassadors(Answering(0, 2**53), NAMES)
    assert sorted(each.generation for each in found) == [0, 2**53]
