"""Room for the requests in hand: so many of them, and so many bytes of what they brought.

Whoever hangs up leaves his request behind until it is stored or refused, so a limit on connections is none on requests. The
first bytes of each are always taken: large requests, even endless ones, get into the way of large ones only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

REQUESTS: Final = 512
"""Requests in hand at once."""
SMALL: Final = 64 * 1024
"""Bytes of each request that are always taken."""
ROOM: Final = 48 * 1024 * 1024
"""Bytes of all requests in hand, beyond those."""
REQUEST_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of one request, which may hold a batch."""


class TooLarge(Exception):  # noqa: N818  named by what it means for the caller
    """The body has more than REQUEST_LIMIT bytes."""


class NoRoom(Exception):  # noqa: N818  named by what it means for the caller
    """There is no room now; the message says for what. Later there may be."""


class Bodies:
    """The requests in hand."""

    def __init__(self) -> None:
        self._requests = 0
        self._bytes = 0

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """Give a request a place for as long as it is in hand; raises NoRoom."""
        if self._requests >= REQUESTS:
            raise NoRoom(f"{REQUESTS} requests are in hand, and no more are taken at once")
        self._requests += 1
        place = Place(self)
        try:
            yield place
        finally:
            self._requests -= 1
            self._bytes -= place.taken

    def take(self, size: int) -> None:
        """Take room for bytes of a large request; raises NoRoom."""
        if self._bytes + size > ROOM:
            raise NoRoom(f"the large requests in hand have {ROOM} bytes, and no more are taken at once")
        self._bytes += size


class Place:
    """The place of one request."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.taken = 0
        """Bytes that it has of the room."""

    async def read(self, request: web.Request) -> bytes:
        """Read the body; raises TooLarge and NoRoom, and whatever is wrong with it as HTTP (RequestPayloadError)."""
        if (request.content_length or 0) > REQUEST_LIMIT:
            raise TooLarge
        body = bytearray()
        while part := await request.content.readany():
            body += part
            if len(body) > REQUEST_LIMIT:
                raise TooLarge
            beyond = max(0, len(body) - SMALL) - self.taken
            self._bodies.take(beyond)
            self.taken += beyond
        return bytes(body)
