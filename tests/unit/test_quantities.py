"""Durations and sizes: what is written is what is meant, and a refusal shows how to write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from choregos_contract.quantities import (
    LONGEST,
    Duration,
    PositiveDuration,
    Size,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("1m", 60),
        ("1h30m", 5400),
        ("7d", 604800),
        ("0s", 0),
        ("1d2h3m4s5ms", 93784.005),
        ("90m", 5400),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("5 s", 'write "5s"'),
        ("5S", 'write "5s"'),
        ("30 seconds", 'write "30s"'),
        ("1.5h", 'write "1h30m"'),
        ("0,5s", 'write "500ms"'),
        ("100 millis", 'write "100ms"'),
        ("30", 'add a unit, "30s" for seconds'),
        ("30m1h", 'write "1h30m"'),
        ("", "write whole numbers"),
        ("soon", "write whole numbers"),
        ("-5s", "write whole numbers"),
        ("5s\n", 'write "5s"'),
        ("\u0665s", "write whole numbers"),
        ("99999999d", 'write at most "36500d"'),
        ("9" * 5000 + "s", "write whole numbers"),
        ("9" * 400 + ".5s", "write whole numbers"),
    ],
)
def test_a_refused_duration_comes_with_its_mend(text: str, mend: str) -> None:
    with pytest.raises(ValueError, match=r"duration|long") as refusal:
        parse_duration(text)
    assert mend in str(refusal.value)
    assert len(str(refusal.value)) < 200


@given(st.integers(min_value=0, max_value=int(LONGEST * 1000)))
def test_a_formatted_duration_reads_back_exactly(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.text(alphabet="0123456789dhms .,µ-+e", max_size=12))
def test_a_duration_is_read_or_refused_with_a_sentence_and_its_mend_can_be_read(text: str) -> None:
    try:
        assert 0 <= parse_duration(text) <= LONGEST
    except ValueError as refusal:
        sentence, quote, rest = str(refusal).partition(': write "')
        assert sentence
        if quote:
            parse_duration(rest.split('"')[0])


@pytest.mark.parametrize(
    ("text", "size"),
    [("1Mi", 2**20), ("64Ki", 65536), ("1M", 10**6), ("2k", 2000), ("12", 12), (12, 12), ("0", 0), ("1Ti", 2**40)],
)
def test_a_size_is_read_in_bytes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("1 Mi", 'write "1Mi"'),
        ("1MB", 'write "1Mi" (powers of 1024) or "1M" (powers of 1000)'),
        ("1K", 'write "1Ki" (powers of 1024) or "1k" (powers of 1000)'),
        ("64kib", 'write "64Ki"'),
        ("1.5Mi", "write a whole number"),
        ("-1", "write a whole number"),
        ("lots", "write a whole number"),
        ("9999999999Ti", "write at most"),
        (True, "write a whole number"),
    ],
)
def test_a_refused_size_comes_with_its_mend(text: str | int, mend: str) -> None:
    with pytest.raises(ValueError, match=r"size|large") as refusal:
        parse_size(text)
    assert mend in str(refusal.value)


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_a_formatted_size_reads_back_exactly(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("spell", [format_duration, format_size])
def test_nothing_is_shorter_than_nothing(spell: type) -> None:
    with pytest.raises(ValueError, match="never negative"):
        spell(-1)


@pytest.mark.parametrize("value", [30, 1.5, True, None, [], "30"])
def test_a_duration_in_a_document_is_a_text_with_a_unit(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(value)


def test_the_types_read_spell_and_describe_themselves() -> None:
    duration, size = TypeAdapter(Duration), TypeAdapter(Size)
    assert duration.validate_python("1h30m") == 5400.0
    assert duration.dump_python(5400.0, mode="json") == "1h30m"
    assert duration.json_schema()["type"] == "string"
    assert size.validate_python("1Mi") == size.validate_python(2**20) == 2**20
    assert size.dump_python(2**20, mode="json") == "1Mi"
    assert size.json_schema()["x-kubernetes-int-or-string"] is True
    with pytest.raises(ValidationError, match="write at least"):
        TypeAdapter(PositiveDuration).validate_python("0s")
