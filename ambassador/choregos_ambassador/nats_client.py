"""nats-py's client, with what it still lacks for a connection that is there for good.

Each override says what would make it go. They touch methods that nats-py keeps to itself, so its version is pinned to a
major, and the integration tests of restarts and credentials are what shows a change.
"""

import asyncio
import re
import ssl
import time
from contextlib import suppress
from functools import lru_cache
from typing import Final

import msgspec
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.transport import TcpTransport
from nats.errors import Error

from choregos_ambassador.credentials import Credentials, CredentialsError

CLOSE_WITHIN: Final = 1.0
"""Seconds that the end of a connection is waited for."""
_HEADER_NAME: Final = re.compile(r"[!-9;-~]+")
_ASCII_SPACE: Final = " \t\n\r\x0b\x0c"


class _Transport(TcpTransport):
    """To go when nats-py does not wait for the end of a connection whose TLS handshake failed: it is never told of it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    async def wait_closed(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN):
                await super().wait_closed()  # type: ignore[no-untyped-call]


class PermanentClient(Client):
    """Comes back after every end of a connection, with the credentials of that moment."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._credentials = credentials

    async def _connect_to_server(self, s: Srv) -> None:
        """Begin every attempt afresh. To go when nats-py closes what a failed attempt to reconnect leaves open."""
        if s.uri.scheme not in ("nats", "tls"):
            await super()._connect_to_server(s)
            return
        before, self._transport = self._transport, _Transport()
        if before:
            before.close()  # type: ignore[no-untyped-call]
        s.last_attempt = time.monotonic()
        timeout = self.options["connect_timeout"]
        await self._transport.connect(s.uri, buffer_size=DEFAULT_BUFFER_SIZE, connect_timeout=timeout)

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """Build the context anew. To go when nats-py takes a callable for `tls`."""
        return self._credentials.ssl_context()

    def _connect_command(self) -> bytes:
        """Add the credentials of this moment. To go when nats-py reads an nkey's seed for each connection."""
        encrypted = self._server_info.get("tls_required") or self.options["tls_handshake_first"]
        if self._wants_tls and not encrypted:
            raise CredentialsError("TLS is asked for, and the server does not require it: no credentials are sent")
        command = super()._connect_command()
        fields = msgspec.json.decode(command.removeprefix(b"CONNECT "), type=dict[str, object])
        return b"CONNECT " + msgspec.json.encode(fields | self._credentials.fields(self._nonce)) + b"\r\n"

    @property
    def _wants_tls(self) -> bool:
        assert self._current_server
        return self._credentials.wants_tls or self._current_server.uri.scheme == "tls"

    @property
    def _nonce(self) -> str:
        return str(self._server_info.get("nonce", ""))

    async def _process_err(self, err_msg: str) -> None:  # noqa: ARG002  it is in lower case, as no subject may be
        """Tell of an error, and no more. To go when nats-py closes for good only when told to, and keeps the case.

        It closes itself for ever on, say, expired credentials, which may be replaced at any moment. The server ends the
        connection itself where the error is of that kind, and then we come back. What it said is still in the parser.
        """
        line = self._ps.buf[: self._ps.buf.find(b"\r\n")]
        await self._error_cb(Error(line.decode(errors="replace").removeprefix("-ERR").strip(" '")))

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """Parse headers as nats-py does, in a third of the time. To go when nats-py looks at names as a whole.

        Nearly every block is UTF-8 with proper names; what is not goes nats-py's own way.
        """
        try:
            lines = raw.decode().split("\r\n")
        except UnicodeDecodeError:
            return Client._parse_header_lines(raw)
        parsed = {}
        for line in lines:
            if not line:
                continue
            name, colon, value = line.partition(":")
            if not colon or not _is_header_name(name):
                return Client._parse_header_lines(raw)
            parsed[name] = value.strip(_ASCII_SPACE)
        return parsed


@lru_cache(maxsize=1024)
def _is_header_name(name: str) -> bool:
    return _HEADER_NAME.fullmatch(name) is not None
