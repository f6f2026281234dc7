"""What our client does otherwise than nats-py: it reads headers exactly as nats-py does, only quicker, and pauses by chance."""

from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client

from choregos_ambassador import nats_headers
from choregos_ambassador.nats_client import FIRST_PAUSE, LONGEST_PAUSE, pause

lines = st.lists(
    st.binary(max_size=30)
    | st.sampled_from(
        [
            b"ce-id: a",
            b"ce-id:b",
            b"ce-type:\tX \x0b",
            b" lead: v",
            b"a b: v",
            b"no colon",
            b":",
            b"",
            b"n: \xff",
            b"\xc3\xa9: v",
            "ce-x: \xa0é\u2003".encode(),
            b"a:b:c",
            b"x: a\nb",
            b"Status: 404",
        ]
    ),
    max_size=8,
)


@given(lines)
@example([b"a: 1", b"", b"b: 2"])
def test_headers_are_read_as_nats_py_reads_them(block: list[bytes]) -> None:
    raw = b"\r\n".join(block) + b"\r\n\r\n"
    assert nats_headers.read(b"NATS/1.0\r\n" + raw) == Client._parse_header_lines(raw)


@given(st.integers(0, 10**9))
def test_a_pause_is_drawn_up_to_a_ceiling_that_doubles_and_has_an_end(rounds: int) -> None:
    ceiling = 0.0 if rounds == 0 else min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(rounds - 1, 40))
    assert 0 <= pause(rounds) <= ceiling


def test_pauses_fill_the_time_up_to_their_ceiling() -> None:
    drawn = sorted(pause(9) for _ in range(1000))
    assert drawn[50] < LONGEST_PAUSE / 5
    assert drawn[-50] > LONGEST_PAUSE * 4 / 5
