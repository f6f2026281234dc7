"""`choregos up --json` as a process, the small services that it runs, and whatever it might leave behind."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

PATIENCE = 30.0
_MARK = "CHOREGOS_TEST_MARK"

SERVICE = """
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/crash":
            print("going down", flush=True)
            os._exit(3)
        self.answer({})

    def do_POST(self):
        data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sys.stdout.write(f"took {self.headers['ce-type']} {data['number']}\\n")
        time.sleep(data.get("sleep", 0))
        self.answer(data)

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

SHOP = """
apiVersion: choregos.dev/v1alpha1
kind: Choreography
metadata: {name: shop, namespace: test}
spec:
  delivery: {backoffDelay: 100ms}
  events:
    OrderPlaced: {}
    OrderPaid: {outcome: completed}
  services:
    orders:
      emits: [OrderPlaced]
    payments:
      reactions:
        - {event: OrderPlaced, path: /payments, emits: [OrderPaid], onSuccess: OrderPaid}
"""


def write_shop(directory: Path, local: str = "") -> Path:
    """Write a choreography of two services into a directory, and how they run; return its file."""
    directory.mkdir(exist_ok=True)
    (directory / "service.py").write_text(SERVICE)
    (directory / "choregos.local.yaml").write_text(local or "services: {payments: {command: [python, service.py]}}\n")
    file = directory / "choreography.yaml"
    file.write_text(SHOP)
    return file


def publish(publish_url: str, event: str, data: Mapping[str, Any]) -> str:
    """Publish an event and return its correlation id; raises OSError unless it is stored."""
    request = Request(f"{publish_url}/events/{event}", json.dumps(data).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=PATIENCE) as answer:
        assert answer.status == 201
        return str(json.load(answer)["correlationId"])


def eventually(condition: Callable[[], Any], what: str, within: float = PATIENCE) -> Any:
    """Wait until the condition holds, and return what it returned; raises AssertionError with `what` otherwise."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.02)
    return value


class Marked:
    """A process and all its descendants, however they are related by now: they inherit a mark in the environment."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.mark = uuid.uuid4().hex
        environment = {**os.environ, _MARK: self.mark}
        self.process = subprocess.Popen(command, env=environment, text=True, **options)

    def left(self) -> dict[int, str]:
        """The processes with the mark, by id, with their command lines; zombies are gone already."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if f"{_MARK}={self.mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, within: float = PATIENCE) -> int:
        """Wait for the process to end; return its exit code."""
        return self.process.wait(within)

    def leaves_nothing(self, within: float = PATIENCE) -> None:
        """Wait until no process with the mark is left; raises AssertionError with those that are."""
        deadline = time.monotonic() + within
        while left := self.left():
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.02)

    def close(self) -> None:
        """End whatever is left, so that a failed test disturbs no other; the guard goes last, for it cleans up."""
        self.process.kill()
        self.process.wait(PATIENCE)
        try:
            self.leaves_nothing()
        except AssertionError:
            self._kill_what_is_left()
            raise

    def _kill_what_is_left(self) -> None:
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


class Up(Marked):
    """`choregos up --json`, with the lines that it has printed so far."""

    def __init__(self, *arguments: str | Path) -> None:
        command = [str(Path(sys.executable).with_name("choregos")), "up", "--json", *map(str, arguments)]
        super().__init__(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self._fresh: queue.Queue[None] = queue.Queue()
        for stream, take in ((self.process.stdout, self._take), (self.process.stderr, self.complaints.append)):
            threading.Thread(target=self._read, args=(stream, take), daemon=True).start()

    def until(self, event: str, within: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """Wait for a line of that kind with those fields, past ones included."""
        deadline = time.monotonic() + within
        seen = 0
        while True:
            for line in self.lines[seen:]:
                seen += 1
                if line["event"] == event and fields.items() <= line.items():
                    return line
            try:
                self._fresh.get(timeout=max(0.001, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {event} {fields} within {within} s: {self.lines} {self.complaints}") from None

    def address(self, service: str, replica: int = 0) -> dict[str, str]:
        """Where a service and its ambassador listen."""
        address: dict[str, str] = self.until("ready")["services"][service][replica]
        return address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, text: str) -> None:
        self.lines.append(json.loads(text))
        self._fresh.put(None)

    def _read(self, stream: Any, take: Callable[[str], None]) -> None:
        for line in stream:
            take(line)
        stream.close()
