"""The NATS protocol, bare: the bytes of a publish, made before the clock runs, and a socket to write them to.

A client library would cost the load generator more than what it measures costs the server.
"""

import json
import secrets
import socket
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

CHUNK = 500
"""Messages between two acknowledgements that are waited for: far below what a stream lets queue up before it drops."""


def message(subject: str, headers: Mapping[str, str], body: bytes, reply: str = "") -> bytes:
    """Return the bytes that publish a message; without `reply` the stream stores it and says nothing."""
    head = b"NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n"
    to = f"{subject} {reply}" if reply else subject
    return f"HPUB {to} {len(head)} {len(head) + len(body)}\r\n".encode() + head + body + b"\r\n"


class Wire:
    """One blocking connection."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self.socket = socket.create_connection((address.hostname, address.port), timeout=60.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self.socket.makefile("rb")
        self._lines.readline()  # INFO
        self._acknowledged = f"bench.acknowledged.{secrets.token_hex(8)}"
        options = {"verbose": False, "pedantic": False, "headers": True, "lang": "bench", "version": "1"}
        self.send(f"CONNECT {json.dumps(options)}\r\nSUB {self._acknowledged} 1\r\nPING\r\n".encode())
        self._until(b"PONG")

    def send(self, data: bytes) -> None:
        """Write."""
        self.socket.sendall(data)

    def store(self, messages: Iterable[tuple[str, Mapping[str, str], bytes]]) -> None:
        """Publish to a stream as fast as it takes them; raises RuntimeError if it refuses one that is asked about."""
        chunk: list[bytes] = []
        last: tuple[str, Mapping[str, str], bytes] | None = None
        for each in messages:
            if last is not None:
                chunk.append(message(*last))
            last = each
            if len(chunk) == CHUNK:
                self._store(chunk, last)
                chunk, last = [], None
        if last is not None:
            self._store(chunk, last)

    def _store(self, chunk: list[bytes], last: tuple[str, Mapping[str, str], bytes]) -> None:
        chunk.append(message(*last, reply=self._acknowledged))
        self.send(b"".join(chunk))
        size = int(self._until(b"MSG").split()[-1])
        answer = json.loads(self._lines.read(size + 2))
        if "error" in answer:
            raise RuntimeError(f"the stream refused an event: {answer['error']}")

    def _until(self, verb: bytes) -> bytes:
        """Return the next line of this verb; answer the server's own questions on the way."""
        while line := self._lines.readline():
            if line.startswith(verb):
                return line
            if line.startswith(b"PING"):
                self.send(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                raise RuntimeError(line.decode().strip())
        raise RuntimeError("nats-server closed the connection")

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self.socket.close()
