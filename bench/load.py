"""Load at a fixed pace, as a process of its own: each event is sent when it is due, whatever became of the ones before.

    load.py hop NATS RUN TYPES RATE SECONDS     publish to the bus, events of these types (separated by commas) in turns
    load.py direct PORT RATE SECONDS            POST the same bodies to the service

Everything is made before the clock runs. It ends with a line of JSON: when number 0 was due (CLOCK_MONOTONIC, in nanoseconds;
number n is due n/RATE seconds later), how many there were, how late they were written at the 50th and 99th percentile and at worst, in
milliseconds, and the CPU seconds that the process took in all. A generator that cannot keep up says so here.
"""

import ctypes
import json
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from numbered import body, events
from wire import Wire, message

CONNECTIONS = 32
"""Connections for direct POSTs, each with one request at a time: as many as the ambassador may have."""
_PR_SET_TIMERSLACK = 29


class Sender(Protocol):
    """What sends one kind of load."""

    def send(self, first: int, end: int) -> None:
        """Send the events of these numbers, now."""

    def rest(self, seconds: float) -> None:
        """Do what there is to do until the next one is due, for so many seconds at the most."""

    def finish(self) -> None:
        """Return when everything is sent and answered."""


class Publisher:
    """Publishes to the bus."""

    def __init__(self, url: str, run: str, types: list[str], number: int) -> None:
        self._messages = [message(*each) for each in events(run, 0, number, *types)]
        self._wire = Wire(url)

    def send(self, first: int, end: int) -> None:
        """Write what is due at once."""
        self._wire.send(b"".join(self._messages[first:end]))

    def rest(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def finish(self) -> None:
        """Close."""
        self._wire.close()


class Poster:
    """POSTs to the service over connections that are kept."""

    def __init__(self, port: int, number: int) -> None:
        host = f"127.0.0.1:{port}"
        head = f"POST /events HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: "
        bodies = (body(each) for each in range(number))
        self._requests = [head.encode() + b"%d\r\n\r\n%s" % (len(each), each) for each in bodies]
        self._free = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
        self._busy: set[socket.socket] = set()
        self._due: deque[int] = deque()

    def send(self, first: int, end: int) -> None:
        """Send on free connections; what finds none waits for one, which its latency shows."""
        self._due.extend(range(first, end))
        while self._due and self._free:
            connection = self._free.pop()
            connection.sendall(self._requests[self._due.popleft()])
            self._busy.add(connection)

    def rest(self, seconds: float) -> None:
        """Take answers."""
        answered, _, _ = select.select(self._busy, (), (), seconds)
        for connection in answered:
            if not connection.recv(4096).startswith(b"HTTP/1.1 204"):
                raise RuntimeError("the service did not answer 204")
            self._busy.remove(connection)
            self._free.append(connection)
        self.send(0, 0)

    def finish(self) -> None:
        """Take the last answers, and close."""
        while self._busy or self._due:
            self.rest(1.0)
        for connection in self._free:
            connection.close()


def paced(sender: Sender, number: int, rate: float, now: Callable[[], int] = time.monotonic_ns) -> dict[str, float]:
    """Send `number` events, and say how punctual that was."""
    late: list[int] = []
    step = 1e9 / rate
    start = now() + 50_000_000
    sent = 0
    while sent < number:
        moment = now()
        end = min(number, int((moment - start) / step) + 1) if moment >= start else 0
        if end > sent:
            late.extend(moment - start - int(each * step) for each in range(sent, end))
            sender.send(sent, end)
            sent = end
        else:
            sender.rest(max(0.0, (start + sent * step - moment) / 1e9))
    sender.finish()
    late.sort()
    cuts = {"late_p50": late[len(late) // 2], "late_p99": late[len(late) * 99 // 100], "late_max": late[-1]}
    return {"start_ns": start, "number": number, **{name: value / 1e6 for name, value in cuts.items()}}


def _main(kind: str, *arguments: str) -> None:
    *where, rate, seconds = arguments
    number = int(float(rate) * float(seconds))
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)  # otherwise every sleep is 50 us too long
    told = paced(_sender(kind, where, number), number, float(rate))
    sys.stdout.write(json.dumps({**told, "cpu": time.process_time()}) + "\n")


def _sender(kind: str, where: list[str], number: int) -> Sender:
    if kind == "hop":
        url, run, types = where
        return Publisher(url, run, types.split(","), number)
    return Poster(int(where[0]), number)


if __name__ == "__main__":
    _main(*sys.argv[1:])
