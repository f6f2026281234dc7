"""`choregos-ambassador drain`: what a pod's `preStop` hook runs inside the ambassador's container.

It asks the ambassador beside it to drain and waits for its answer, as long as that takes: whoever ends the pod sets the
limit. It speaks its one request itself, because it starts in a third of the time that an HTTP client's import takes.
"""

import socket
from collections.abc import Mapping
from typing import Final

CONNECT_WITHIN: Final = 5.0
"""Seconds for the connection; the ambassador listens as long as it lives."""
_USUAL_PORT: Final = "9480"
HEADER: Final = ("Choregos-Drain", "1")
"""Name and value of the header that a drain is asked for with: a service that can be talked into sending a request
somewhere cannot so easily be talked into a header, and there is no way back from a drain."""
_REQUEST: Final = (
    "POST /drain HTTP/1.1\r\n"
    f"Host: ambassador\r\n{HEADER[0]}: {HEADER[1]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
).encode()
_LONGEST_ANSWER: Final = 64 * 1024


class DrainError(Exception):
    """The ambassador did not say that it is drained; the message says what it did."""


def drain(environment: Mapping[str, str]) -> None:
    """Have the ambassador of this environment drain, and return when no event is in hand; raises DrainError."""
    port = _port(environment)
    try:
        with socket.create_connection(("127.0.0.1", port), CONNECT_WITHIN) as connection:
            connection.settimeout(None)
            connection.sendall(_REQUEST)
            answer = _answer(connection)
    except OSError as error:
        raise DrainError(
            f"no ambassador answers on 127.0.0.1:{port}: {error.strerror or error}; "
            "what it had in hand is delivered again when its leases end"
        ) from error
    head = answer.partition(b"\r\n")[0].decode(errors="replace")
    if head.split(" ")[1:2] != ["200"]:
        what = repr(head) if head else "without an answer"
        raise DrainError(f"the ambassador on 127.0.0.1:{port} ended the drain with {what}; its log says why")


def _port(environment: Mapping[str, str]) -> int:
    text = environment.get("CHOREGOS_PUBLISH_PORT", _USUAL_PORT)
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 65535):
        raise DrainError(
            f"CHOREGOS_PUBLISH_PORT is {text!r}; to drain, it takes the port that the ambassador listens on"
        )
    return int(text)


def _answer(connection: socket.socket) -> bytes:
    """Read until the ambassador closes; what does not end is not from it."""
    answer = b""
    while (part := connection.recv(4096)) and len(answer) < _LONGEST_ANSWER:
        answer += part
    return answer
