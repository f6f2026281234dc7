"""Customers of the drone delivery: they request deliveries all the time, and remember what they were promised."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

from support import inside
from support.waiting import eventually

AT_ONCE: Final = 4
PAUSE: Final = 0.05
"""Seconds that a customer waits after each answer: the machine is small, and faults are what is tested, not its speed."""
PATIENCE: Final = 10.0
"""Seconds that one request may take."""


@dataclass(frozen=True)
class Refusal:
    """A request that was not accepted, and is made again."""

    request_id: str
    why: str


@dataclass
class Customers:
    """What they asked for, and what they were told."""

    host: str
    port: int = 80
    accepted: dict[str, str] = field(default_factory=dict)
    """Correlation id of each delivery that was accepted, by its id: from then on it may not be lost."""
    refusals: list[Refusal] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def unreached(self) -> list[Refusal]:
        """The requests that reached no service: the connection was refused, or cut."""
        return [each for each in self.refusals if not each.why.isdecimal()]

    def shop(self) -> None:
        """Request deliveries until told to end; each one again, with the same id, until it is accepted."""
        while not self._ended.is_set():
            request_id = f"e2e-{uuid4().hex[:12]}"
            while not self._ended.is_set() and not self._accepted(request_id):
                time.sleep(10 * PAUSE)
            time.sleep(PAUSE)

    def end(self) -> None:
        """Make no further request."""
        self._ended.set()

    def _accepted(self, request_id: str) -> bool:
        try:
            status, body = self._post({"id": request_id, "weightKg": 2})
        except (OSError, http.client.HTTPException) as error:
            self.refusals.append(Refusal(request_id, f"{type(error).__name__}: {error}"))
            return False
        if status != 202:
            self.refusals.append(Refusal(request_id, str(status)))
            return False
        self.accepted[request_id] = json.loads(body)["correlationId"]
        return True

    def _post(self, wanted: dict[str, object]) -> tuple[int, bytes]:
        # A connection for each request, so that each is balanced anew over the pods.
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        try:
            headers = {"Content-Type": "application/json", "Connection": "close"}
            connection.request("POST", "/deliveryrequests", json.dumps(wanted), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextmanager
def customers(network: Path, host: str, port: int = 80) -> Iterator[Customers]:
    """Have customers, who are in the network of the node, request deliveries of ingestion's Service meanwhile."""
    asking = Customers(host, port)
    with inside.threads(network, AT_ONCE) as threads:
        running = [threads.submit(asking.shop) for _ in range(AT_ONCE)]
        try:
            yield asking
        finally:
            asking.end()
    for each in running:
        each.result()


def more_accepted(asking: Customers, count: int, patience: float = 60.0) -> None:
    """Wait until so many more deliveries are accepted."""
    wanted = len(asking.accepted) + count
    eventually(lambda: len(asking.accepted) >= wanted, f"{wanted} deliveries are accepted", patience)
