"""Our parser of NATS headers reads whatever comes exactly as nats-py's does; it is only quicker."""

from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client

from choregos_ambassador.nats_client import PermanentClient

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
    assert PermanentClient._parse_header_lines(raw) == Client._parse_header_lines(raw)
