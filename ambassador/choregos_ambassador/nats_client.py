"""nats-py's client, with what it still lacks for a connection that is there for good.

Each override says what would make it go. They touch methods that nats-py keeps to itself, so its version is pinned to a
major, and the integration tests of restarts and credentials are what shows a change.
"""

import asyncio
import random
import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import Final

import msgspec
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.errors import Error, MaxPayloadError, OutboundBufferLimitError

from choregos_ambassador.credentials import Credentials, CredentialsError
from choregos_ambassador.nats_parser import MessageParser, Receiver
from choregos_ambassador.tasks import watched

CLOSE_WITHIN: Final = 1.0
"""Seconds that the end of a connection is waited for."""
GATHER: Final = 0.001
"""Seconds that a message which need not go out at once waits for others: a write costs more than the rest of its way."""
FIRST_PAUSE: Final = 1.0
"""Seconds within which, by chance, the servers are tried after a connection was cut; doubled each time none will have us ..."""
LONGEST_PAUSE: Final = 4.0
"""... up to this, which is how long a server that is back may be without us."""
_NO_LINGERING: Final = struct.pack("ii", 1, 0)


class _Transport(TcpTransport):
    """To go when nats-py does not wait for the end of a connection whose TLS handshake failed: it is never told of it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    async def wait_closed(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN):
                await super().wait_closed()  # type: ignore[no-untyped-call]

    def writelines(self, payload: list[bytes]) -> None:
        """To go when nats-py takes RuntimeError for what it is under uvloop: the word for a connection that has just ended."""
        try:
            super().writelines(payload)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise ConnectionResetError(str(error)) from error

    def reset(self) -> None:
        """End the connection at once, and drop what was written and is not sent yet, in the kernel, too."""
        if self._bare_io_writer is None or self._bare_io_writer.transport.is_closing():
            return
        own: socket.socket | None = self._bare_io_writer.get_extra_info("socket")
        if own is not None:
            with suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        self._bare_io_writer.transport.abort()


class PermanentClient(Client):
    """Comes back after every end of a connection, with the credentials of that moment."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._ps: MessageParser = MessageParser(self)
        self._loop: asyncio.AbstractEventLoop
        self._writes_now = False
        self._writes_later = False
        self._credentials = credentials
        self._rounds = 0
        self._untried = 0
        self._left: Srv | None = None

    async def receive(self, subject: str, receiver: Receiver) -> Subscription:
        """Subscribe, and have messages handed over as they come in, without a queue and a task between."""
        self._sid += 1
        subscription = Subscription(self, self._sid, subject)
        self._subs[self._sid] = subscription
        self._ps.receivers[self._sid] = receiver
        await self._send_subscribe(subscription)
        return subscription

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._ps.receivers.pop(sid, None)
        super()._remove_sub(sid, max_msgs)

    def send(
        self, subject: bytes, payload: bytes, *, reply: bytes = b"", headers: bytes = b"", at_once: bool = True
    ) -> None:
        """Publish, without a coroutine and a write for each message: all that is sent in one turn of the loop is one write.

        What need not go out at once waits for others, but no longer than GATHER. The subjects are not looked at. Raises
        nats.errors.Error where it cannot go out.
        """
        if self._status != Client.CONNECTED:
            raise OutboundBufferLimitError
        size = len(headers) + len(payload)
        if size > self._max_payload:
            raise MaxPayloadError
        if headers:
            command = b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject, reply, len(headers), size, headers, payload)
        else:
            command = b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, size, payload)
        self._pending.append(command)
        self._pending_data_size += len(command)
        if at_once and not self._writes_now:
            self._writes_now = True
            self._loop.call_soon(self._write_now)
        elif not at_once and not self._writes_later:
            self._writes_later = True
            self._loop.call_later(GATHER, self._write_later)

    def _write_now(self) -> None:
        self._writes_now = False
        self._write()

    def _write_later(self) -> None:
        self._writes_later = False
        self._write()

    def _write(self) -> None:
        """Write what has gathered, nats-py's own commands among it, so that everything goes out in its order."""
        if not self._pending or not self.is_connected:
            return
        if not isinstance(self._transport, _Transport):
            watched(self._flush_pending(), "flush")  # a WebSocket writes in a task only
            return
        commands, self._pending, self._pending_data_size = self._pending, [], 0
        try:
            self._transport.writelines(commands)
        except OSError as error:
            watched(self._process_op_err(error), "end of the connection")

    async def leave(self) -> bool:
        """Begin to connect to another server of the cluster; False where the server is of none.

        To go when nats-py's `force_reconnect` does not come back to the same server by chance.
        """
        if not self._server_info.get("cluster"):
            return False
        self._left = self._current_server
        await self.force_reconnect()
        return True

    async def _attempt_reconnect(self) -> None:
        """Reset a connection that is given up. To go when nats-py does.

        Closed in good order, it would have the kernel send what a network has held back, whenever that lets it through:
        a reply or a dead letter, say, that is no longer true, because the lease is over and another has done the event.
        """
        if isinstance(self._transport, _Transport):
            self._transport.reset()
        self._pending, self._pending_data_size = [], 0
        await super()._attempt_reconnect()

    async def _select_next_server(self) -> None:
        """Try the servers in turn, with a pause of chance length before each round (full jitter).

        All that were connected to a server lose it at the same moment, and must not come back at the same moment.
        To go when nats-py's pauses are drawn by chance, and grow.
        """
        self._server_pool.sort(key=lambda server: server is self._left)
        while True:
            if self._untried <= 0:
                await asyncio.sleep(pause(self._rounds))
                self._rounds += 1
                self._untried = len(self._server_pool)
            self._untried -= 1
            server = self._server_pool.pop(0)
            self._server_pool.append(server)
            try:
                await self._connect_to_server(server)
            except Exception as error:  # noqa: BLE001  as nats-py does: whatever it is, the next attempt may go well
                self._err = error
                await self._error_cb(error)
            else:
                self._current_server = server
                return

    async def _process_connect_init(self) -> None:
        """Begin the pauses anew once a server has taken us."""
        await super()._process_connect_init()
        self._rounds, self._untried = 1, 0

    async def _connect_to_server(self, s: Srv) -> None:
        """Begin every attempt afresh. To go when nats-py closes what a failed attempt to reconnect leaves open."""
        self._loop = asyncio.get_running_loop()
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

    async def _process_pong(self) -> None:
        """Drop the answer to a ping that nobody waits for any more. To go when nats-py does.

        It raises on it, and with that reads nothing more, for the 15 s in which it finds the connection dead.
        """
        if self._pongs and self._pongs[0].done():
            self._pongs.pop(0)
            self._pings_outstanding = 0
            return
        await super()._process_pong()

    async def _process_err(self, err_msg: str) -> None:  # noqa: ARG002  it is in lower case, as no subject may be
        """Tell of an error, and no more. To go when nats-py closes for good only when told to, and keeps the case.

        It closes itself for ever on, say, expired credentials, which may be replaced at any moment. The server ends the
        connection itself where the error is of that kind, and then we come back. What it said is still in the parser.
        """
        line = self._ps.buf[: self._ps.buf.find(b"\r\n")]
        await self._error_cb(Error(line.decode(errors="replace").removeprefix("-ERR").strip(" '")))


def pause(rounds: int) -> float:
    """Draw the pause, in seconds, after so many rounds of attempts since there was a connection; none before the very first."""
    longest = 0.0 if rounds == 0 else min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(rounds - 1, 10))
    return random.uniform(0, longest)  # noqa: S311  spread, not secrecy
