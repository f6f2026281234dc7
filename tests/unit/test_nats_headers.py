"""Header blocks: what is written is read again, no value makes a header of its own, and a status is one in the first line only."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client

from choregos_ambassador import nats_headers

names = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1, max_size=20)
values = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30)
spaces = " \t\n\r\x0b\x0c"


@given(st.dictionaries(names, values, min_size=1, max_size=9))
def test_what_is_written_is_read_again(headers: dict[str, str]) -> None:
    block = nats_headers.write(headers)
    assert block.startswith(b"NATS/1.0\r\n")
    assert block.endswith(b"\r\n\r\n")
    expected = {name: value.strip(spaces) for name, value in headers.items()}
    assert nats_headers.read(block) == expected
    assert Client._parse_header_lines(block.partition(b"\r\n")[2]) == expected, "and nats-py reads the same"


@given(st.dictionaries(names, st.text(st.sampled_from("ab:\r\n é\x0b\x00"), max_size=12), min_size=1, max_size=6))
@example({"ce-id": "a\r\nNats-Msg-Id: stolen"})
@example({"ce-id": "a\r\n\r\nbody"})
@example({"a": "\n", "b": "\r"})
def test_a_value_with_line_breaks_makes_no_header(headers: dict[str, str]) -> None:
    block = nats_headers.write(headers)
    assert nats_headers.read(block).keys() == headers.keys()
    assert block.count(b"\n") == block.count(b"\r") == block.count(b"\r\n") == len(headers) + 2


def test_no_headers_are_no_block() -> None:
    assert nats_headers.write({}) == b""


@pytest.mark.parametrize(
    ("line", "status", "headers"),
    [
        ("", "", {}),
        (" 503", "503", {"Status": "503"}),
        (" 404 No Messages", "404 No Messages", {"Status": "404", "Description": "No Messages"}),
        (" 409  Consumer Deleted ", "409  Consumer Deleted", {"Status": "409", "Description": " Consumer Deleted"}),
        (" paid", "paid", {}),
    ],
)
def test_a_status_stands_in_the_first_line(line: str, status: str, headers: dict[str, str]) -> None:
    block = f"NATS/1.0{line}\r\nce-id: a\r\n\r\n".encode()
    assert nats_headers.status(block) == status
    assert nats_headers.read(block) == {**headers, "ce-id": "a"}


@pytest.mark.parametrize("value", ["404", "503", "100", "paid"])
def test_a_header_called_status_is_none(value: str) -> None:
    block = nats_headers.write({"Status": value, "Description": "a bill"})
    assert nats_headers.status(block) == ""
    assert nats_headers.read(block) == {"Status": value, "Description": "a bill"}


def test_names_beyond_those_that_are_remembered_are_read_all_the_same() -> None:
    for number in range(2 * nats_headers._MAX_NAMES):
        assert nats_headers.read(b"NATS/1.0\r\nname-%d: v\r\n\r\n" % number) == {f"name-{number}": "v"}
    assert len(nats_headers._names) <= nats_headers._MAX_NAMES


def test_few_names_are_remembered_since_each_may_be_as_long_as_a_block() -> None:
    for number in range(1000):
        name = f"name-{number}"
        assert nats_headers.read(f"NATS/1.0\r\n{name}: v\r\n\r\n".encode()) == {name: "v"}
    assert len(nats_headers._names) <= nats_headers._MAX_NAMES <= 128
