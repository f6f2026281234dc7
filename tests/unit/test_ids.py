"""Identifiers: fixed vectors, so that another version or another language derives the same ones."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_contract import ids


@pytest.mark.parametrize(
    ("derived", "vector"),
    [
        (ids.derive("event", "/shop", "1"), "gCl2A0Un8XKq_745ClJqMQ"),
        (ids.event_record("/shop", "1"), "gCl2A0Un8XKq_745ClJqMQ"),
        (ids.reply_id("/shop", "1", "package", "OrderPlaced", 0), "kh3U5QhtoSgMUYg9a5bqjg"),
        (ids.reply_id("/shop", "1", "package", "OrderPlaced", ids.FAILURE), "ZArr5T4_tRiFuncy0DRNGQ"),
        (ids.reply_record("x"), "R3yMzrJjKVFhQDMXyq1m7g"),
        (
            ids.dead_letter_record("choregos_s_default_events", "2026-01-01T00:00:00Z", 7, "package"),
            "9B0-yr3Aj0zYQnA-Phjq3g",
        ),
        (ids.keyed_event_id("ingestion", "OrderPlaced", "key-é"), "iTBTsJRGTiOrX6uO_SEGtA"),
    ],
)
def test_derived_ids_follow_the_published_vectors(derived: str, vector: str) -> None:
    assert derived == vector


parts = st.lists(st.text(st.characters(exclude_characters="\0")), max_size=4)


@given(parts, parts)
def test_distinct_parts_give_distinct_ids(one: list[str], other: list[str]) -> None:
    """128 bits in 22 characters of base64url; a part cannot slide into its neighbour."""
    assert (ids.derive("k", *one) == ids.derive("k", *other)) == (one == other)
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", ids.derive("k", *one))


def test_the_bare_id_is_never_the_record() -> None:
    assert ids.event_record("/a", "1") != ids.event_record("/b", "1")


def test_a_header_that_is_not_utf8_still_derives_an_id() -> None:
    assert ids.keyed_event_id("s", "E", "\udcff") != ids.keyed_event_id("s", "E", "\udcfe")


@given(st.integers(0, 2**48 - 1))
def test_uuid7_has_the_layout_of_rfc_9562(milliseconds: int) -> None:
    made = UUID(ids.uuid7(milliseconds))
    assert str(made) == str(UUID(int=made.int))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == milliseconds


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1))
def test_uuid7_sorts_by_time(one: int, other: int) -> None:
    if one != other:
        assert (ids.uuid7(one) < ids.uuid7(other)) == (one < other)


def test_uuid7_is_new_each_time() -> None:
    assert len({ids.uuid7(0) for _ in range(1000)}) == 1000
