"""The targets of `make fuzz` for a moment each: their seeds, what once broke them, and some bytes of hypothesis."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS, Target

names = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


@names
def test_every_seed_keeps_the_properties(target: Target) -> None:
    seeds = list(target.seeds())
    assert len(seeds) >= 3
    for seed in seeds:
        target.consume(seed)


@names
def test_a_seed_with_a_piece_that_is_another_keeps_the_properties(target: Target) -> None:
    seeds = [seed[: target.longest] for seed in target.seeds()]

    @settings(max_examples=30 if target.name == "answer-parser" else 150, deadline=None, derandomize=True)
    @given(
        st.sampled_from(seeds), st.integers(0, 400), st.integers(0, 20), st.binary(max_size=12) | st.sampled_from(seeds)
    )
    def consume(seed: bytes, start: int, length: int, piece: bytes) -> None:
        start = start % (len(seed) + 1)
        target.consume(seed[:start] + piece + seed[start + length :])

    consume()


@names
def test_any_bytes_keep_the_properties(target: Target) -> None:
    @settings(
        max_examples=20 if target.name == "answer-parser" else 100,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.binary(max_size=200))
    def consume(data: bytes) -> None:
        target.consume(data)

    consume()
