"""Our parser finds in what a server sends exactly the messages that nats-py's finds, however the network cuts it."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from choregos_ambassador.nats_parser import MessageParser

OURS = 7
OTHERS = 8


@dataclass
class Recorder:
    """Takes what a parser finds, as a client would."""

    found: list[Any] = field(default_factory=list)

    def receive(self, subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> None:
        self.found.append((OURS, subject, reply, payload, headers))

    async def _process_msg(
        self, number: int, subject: bytes, reply: bytes, payload: bytes, headers: bytes | None
    ) -> None:
        self.found.append((number, subject, reply, payload, headers or b""))

    async def _process_ping(self) -> None:
        self.found.append("ping")

    async def _process_pong(self) -> None:
        self.found.append("pong")

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.found.append(str(info))

    async def _process_err(self, error: str) -> None:
        self.found.append(error)


tokens = st.sampled_from([b"a", b"_INBOX.x.1", b"choregos.shop.ev"])
payloads = st.binary(max_size=40) | st.sampled_from([b"MSG a 7 1\r\nx\r\n", b"PING\r\n", b"\r\n\r\n"])
numbers = st.sampled_from([OURS, OTHERS])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    subject, number, payload = draw(tokens), draw(numbers), draw(payloads)
    reply = draw(st.none() | tokens)
    head = b" ".join([subject, b"%d" % number] + ([reply] if reply else []))
    if draw(st.booleans()):
        return b"MSG %b %d\r\n%b\r\n" % (head, len(payload), payload)
    block = b"NATS/1.0\r\nname: %b\r\n\r\n" % draw(st.sampled_from([b"", b"value"]))
    return b"HMSG %b %d %d\r\n%b%b\r\n" % (head, len(block), len(block) + len(payload), block, payload)


others = st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'No'\r\n", b'INFO {"max_payload":1}\r\n'])


async def found(sent: bytes, cuts: list[int], *, by: type[Parser]) -> list[Any]:
    recorder = Recorder()
    parser = by(recorder)
    if isinstance(parser, MessageParser):
        parser.receivers[OURS] = recorder.receive
    edges = sorted({0, len(sent), *(cut % (len(sent) + 1) for cut in cuts)})
    for begin, end in pairwise(edges):
        await parser.parse(sent[begin:end])
    return recorder.found


def in_turn(found: list[Any]) -> tuple[list[Any], list[Any]]:
    """The messages of our subscription, and all else, each in its order: messages of others may come a moment later."""
    ours = [each for each in found if each[0] == OURS]
    return ours, sorted((each for each in found if each[0] != OURS), key=str)


@given(st.lists(messages() | others, max_size=6), st.lists(st.integers(0, 1000), max_size=12))
async def test_it_finds_what_nats_py_finds(parts: list[bytes], cuts: list[int]) -> None:
    sent = b"".join(parts)
    assert in_turn(await found(sent, cuts, by=MessageParser)) == in_turn(await found(sent, [], by=Parser))


@pytest.mark.parametrize(
    "line",
    [
        b"MSG a\r\n",
        b"MSG a seven 1\r\nx\r\n",
        b"MSG a 7 -15\r\n",
        b"HMSG a 7 1\r\n",
        b"HMSG a 7 9 1\r\nx\r\n",
        b"HMSG a 7 -1 1\r\nx\r\n",
        b"WHAT\r\n",
    ],
)
async def test_what_no_server_sends_ends_the_connection(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        await found(line, [], by=MessageParser)


async def test_a_part_of_a_message_is_forgotten_with_its_connection() -> None:
    recorder = Recorder()
    parser = MessageParser(recorder)  # type: ignore[arg-type]
    parser.receivers[OURS] = recorder.receive
    await parser.parse(b"MSG a 7 100\r\nthe first ten")
    parser.reset()
    await parser.parse(b"MSG b 7 1\r\nx\r\n")
    assert recorder.found == [(OURS, b"b", b"", b"x", b"")]


async def test_a_receiver_that_fails_is_told_of_and_the_next_message_comes(capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder()
    parser = MessageParser(recorder)  # type: ignore[arg-type]

    def fails_once(*message: bytes) -> None:
        parser.receivers[OURS] = recorder.receive
        raise KeyError("a bug")

    parser.receivers[OURS] = fails_once
    await parser.parse(b"MSG a 7 1\r\nx\r\nMSG b 7 1\r\ny\r\n")
    assert [each[1] for each in recorder.found] == [b"b"]
    assert "a bug" in capsys.readouterr().out
