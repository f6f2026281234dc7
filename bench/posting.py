"""Requests to a publish API as fast as it answers, as a process: `posting.py PORT plain|binary|batch RUN SIZE REQUESTS CONNECTIONS`.

Each connection has one request under way at a time; all requests are made before the clock runs. Ends with a line of JSON: seconds
in all, and how long a request took, at the 50th and 99th percentile.
"""

import json
import re
import select
import socket
import sys
import time
from dataclasses import dataclass

from numbered import body

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def request(kind: str, run: str, first: int, size: int) -> bytes:
    """Return the bytes of a request with the events of these numbers."""
    headers = {"host": "127.0.0.1"}
    if kind == "batch":
        document = b"[" + b",".join(_structured(run, each) for each in range(first, first + size)) + b"]"
        headers["content-type"] = "application/cloudevents-batch+json"
        path = "/events"
    else:
        document, path = body(first), "/events/Placed" if kind == "plain" else "/events"
        headers |= {"content-type": "application/json"} | (_binary(run, first) if kind == "binary" else {})
    headers["content-length"] = str(len(document))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + document


def _binary(run: str, number: int) -> dict[str, str]:
    return {f"ce-{name}": value for name, value in _attributes(run, number).items()}


def _structured(run: str, number: int) -> bytes:
    head = json.dumps({**_attributes(run, number), "datacontenttype": "application/json"}).encode()
    return head[:-1] + b', "data": ' + body(number) + b"}"


def _attributes(run: str, number: int) -> dict[str, str]:
    return {
        "specversion": "1.0",
        "id": f"{run}-{number}",
        "source": "/bench/origin",
        "type": "Placed",
        "time": "2026-01-01T00:00:00.000Z",
    }


@dataclass(eq=False)
class _Connection:
    socket: socket.socket
    sent: int = 0
    got: bytes = b""

    def send(self, data: bytes) -> None:
        self.sent, self.got = time.monotonic_ns(), b""
        self.socket.sendall(data)

    def receive(self) -> bool:
        """Read, and tell whether the answer is whole."""
        self.got += self.socket.recv(1 << 18)
        end = self.got.find(b"\r\n\r\n")
        length = _LENGTH.search(self.got, 0, max(0, end))
        if end < 0 or length is None:
            return False
        if not self.got.startswith(b"HTTP/1.1 201"):
            raise RuntimeError(self.got[:500].decode(errors="replace"))
        return len(self.got) >= end + 4 + int(length[1])


def run_all(port: int, requests: list[bytes], connections: int) -> dict[str, float]:
    """Send them all, and say how long that took."""
    open_ = [_Connection(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)]
    poll = select.epoll()
    by_number = {each.socket.fileno(): each for each in open_}
    waited: list[int] = []
    left = iter(requests)
    started = time.monotonic_ns()
    for each, data in zip(open_, left, strict=False):
        poll.register(each.socket.fileno(), select.EPOLLIN)
        each.send(data)
    while len(waited) < len(requests):
        for number, _ in poll.poll():
            connection = by_number[number]
            if connection.receive():
                waited.append(time.monotonic_ns() - connection.sent)
                if data := next(left, b""):
                    connection.send(data)
    seconds = (time.monotonic_ns() - started) / 1e9
    waited.sort()
    cuts = {"p50_ms": waited[len(waited) // 2] / 1e6, "p99_ms": waited[len(waited) * 99 // 100] / 1e6}
    return {"seconds": seconds, **cuts}


def _main(port: str, kind: str, run: str, *sizes: str) -> None:
    size, requests, connections = map(int, sizes)
    made = [request(kind, run, each * size, size) for each in range(requests)]
    sys.stdout.write(json.dumps(run_all(int(port), made, connections)) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
