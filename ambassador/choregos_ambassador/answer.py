"""What came back from the service for one attempt: an answer, or one of four kinds of trouble."""

from enum import StrEnum

import msgspec


class Trouble(StrEnum):
    """Why there is no answer."""

    UNREACHABLE = "unreachable"
    """The service never had the request: connection refused, no route, not ready, closed before it came. Not an attempt."""
    TIMEOUT = "timeout"
    """No whole answer within `delivery.timeout`."""
    CUT = "cut"
    """The connection ended in mid-request."""
    MALFORMED = "malformed"
    """What came back is not HTTP/1.x, or its headers have no end."""


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer. `truncated`: its body went over the limit and was not read to the end."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    truncated: bool = False

    def header(self, name: str) -> str | None:
        """Return the first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class NoAnswer(msgspec.Struct, frozen=True):
    """An attempt without an answer, and what happened instead."""

    trouble: Trouble
    detail: str = ""
