"""`choregos publish` says what became of the event: stored, refused, or taken by nobody; never a traceback."""

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from choregos_cli import publish_client
from choregos_cli.main import main
from choregos_contract import cloudevents_http
from support.console_script import SCRIPT, choregos, environment

STORED: tuple[int, dict[str, str], bytes] = (201, {}, b'{"id":"e-1","correlationId":"c-1"}')


class PublishApi(ThreadingHTTPServer):
    """Answers every request with `answer` (status, headers, body), and keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: tuple[int, dict[str, str], bytes] = STORED
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.arrived = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: PublishApi
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        refused_early = self.server.answer[0] == 413
        body = b"" if refused_early else self.rfile.read(length)
        self.server.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.server.arrived.set()
        self.server.may_answer.wait(30)
        status, headers, text = self.server.answer
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(text))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
        self.close_connection = refused_early

    def log_message(self, *args: object) -> None:
        """Say nothing; the tests look at `requests`."""


@pytest.fixture
def api() -> Iterator[PublishApi]:
    server = PublishApi()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.may_answer.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture(autouse=True)
def _no_default_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHOREGOS_PUBLISH_URL", raising=False)
    monkeypatch.delenv("CHOREGOS_DEBUG", raising=False)


def test_a_stored_event_is_told_with_both_ids(api: PublishApi) -> None:
    ended = choregos("publish", "OrderPlaced", "--data", '{"total": 5}', "--to", api.url)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "published OrderPlaced\n  id              e-1\n  correlation id  c-1\n"
    path, headers, body = api.requests[0]
    assert (path, body) == ("/events/OrderPlaced", b'{"total": 5}')
    assert headers["content-type"] == "application/json"
    assert "idempotency-key" not in headers
    assert "x-correlation-id" not in headers


def test_the_address_comes_from_the_environment_and_no_proxy_stands_between(api: PublishApi) -> None:
    env = {"CHOREGOS_PUBLISH_URL": api.url + "/", "http_proxy": "http://127.0.0.1:9"}
    ended = choregos("publish", "OrderPlaced", "--json", env=env)
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == {"event": "OrderPlaced", "id": "e-1", "correlationId": "c-1", "duplicate": False}
    assert api.requests[0][2] == b"{}"


def test_ids_and_media_type_travel_as_headers(api: PublishApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answer = (201, {}, b'{"id":"e-1","correlationId":"c-9","duplicate":true}')
    options = ["--correlation-id", "c-ö", "--idempotency-key", "k-1", "--content-type", "application/geo+json"]
    assert main(["publish", "Order.Placed", "--to", api.url, *options]) == 0
    assert "published Order.Placed, which the stream had already" in capsys.readouterr().out
    path, headers, body = api.requests[0]
    assert (path, body, headers["content-type"]) == ("/events/Order.Placed", b"{}", "application/geo+json")
    assert (headers["x-correlation-id"], headers["idempotency-key"]) == ("c-%C3%B6", "k-1")


def test_data_that_is_not_json_goes_as_a_cloudevent(api: PublishApi) -> None:
    options = ["--content-type", "text/csv", "--data", "a,b", "--correlation-id", "c-9", "--idempotency-key", "k-1"]
    assert main(["publish", "OrderPlaced", "--to", api.url, *options]) == 0
    path, headers, body = api.requests[0]
    assert (path, body, headers["content-type"]) == ("/events", b"a,b", "text/csv")
    decoded = cloudevents_http.decode(headers.items(), body)
    assert [(one.type, one.id, one.correlation_id, one.data) for one in decoded] == [
        ("OrderPlaced", "k-1", "c-9", b"a,b")
    ]


def test_an_event_may_have_no_data(api: PublishApi) -> None:
    assert main(["publish", "OrderPlaced", "--to", api.url, "--data", ""]) == 0
    assert api.requests[0][2] == b""


def test_data_from_stdin_and_from_a_file_is_sent_byte_for_byte(api: PublishApi, tmp_path: Path) -> None:
    body = b'{ "grams": 1.50,  "n\xc3\xb6te": "\\u00e9" }\n'
    (tmp_path / "order.json").write_bytes(body)
    assert choregos("publish", "OrderPlaced", "-d", "-", "--to", api.url, stdin=body).returncode == 0
    assert choregos("publish", "OrderPlaced", "-d", "@order.json", "--to", api.url, cwd=tmp_path).returncode == 0
    assert [request[2] for request in api.requests] == [body, body]


@pytest.mark.parametrize(
    ("status", "headers", "body", "code", "sentence"),
    [
        (400, {}, b'{"error":"no such id"}', 1, "OrderPlaced was refused as malformed: no such id"),
        (403, {}, b'{"error":"not among emits"}', 1, "does not emit OrderPlaced: not among emits"),
        (413, {}, b'{"error":"9 bytes of 8"}', 1, "OrderPlaced is too large: 9 bytes of 8"),
        (503, {"Retry-After": "2"}, b'{"error":"bus away"}', 3, "publish it again in 2 s"),
        (503, {}, b"", 3, "OrderPlaced cannot be stored now: no reason is given"),
        (404, {}, b"<h1>Not\nfound</h1>", 3, "does not answer as a publish API does (status 404: <h1>Not found</h1>)"),
        (307, {"Location": "/elsewhere"}, b"", 3, "status 307"),
        (200, {}, b"{}", 3, "status 200"),
        (201, {}, b"[]", 3, "201 without 'id'"),
        (400, {}, b'{"error":"\\u001b[31mred"}', 1, "malformed: \\x1b[31mred"),
    ],
)
def test_an_answer_that_is_no_acknowledgement_is_an_error_with_its_reason(
    api: PublishApi,
    capsys: pytest.CaptureFixture[str],
    *,
    status: int,
    headers: dict[str, str],
    body: bytes,
    code: int,
    sentence: str,
) -> None:
    api.answer = (status, headers, body)
    assert main(["publish", "OrderPlaced", "--to", api.url]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert sentence in printed.err
    assert "\n  hint: " in printed.err
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Missing argument 'EVENT'"),
        (["order placed"], "'order placed' is no event name"),
        (["OrderPlaced", "--data", "{"], "--data is no JSON"),
        (["OrderPlaced", "--data", "NaN"], "--data is no JSON"),
        (["OrderPlaced", "--data", "@absent.json"], "cannot read absent.json: No such file or directory"),
        (["OrderPlaced", "--to", "localhost:9480"], "'localhost:9480' is no address"),
        (["OrderPlaced", "--to", "http://127.0.0.1:99999"], "is no address"),
        (["OrderPlaced", "--idempotency-key", "a\nb"], "--idempotency-key 'a\\nb' cannot be sent in a header"),
        (["OrderPlaced", "--corelation-id", "a"], "--corelation-id"),
    ],
)
def test_a_command_line_that_is_wrong_sends_nothing(
    api: PublishApi,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.setenv("CHOREGOS_PUBLISH_URL", api.url)
    assert main(["publish", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert sentence in printed.err
    assert (printed.out, api.requests) == ("", [])


def test_a_large_event_that_is_refused_before_it_is_read_still_says_why(
    api: PublishApi, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    api.answer = (413, {}, b'{"error":"20000000 bytes, the bus takes 1048576"}')
    (tmp_path / "large.json").write_text('"' + "x" * 20_000_000 + '"')
    assert main(["publish", "OrderPlaced", "--to", api.url, "--data", f"@{tmp_path}/large.json"]) == 1
    assert "20000000 bytes, the bus takes 1048576" in capsys.readouterr().err


def test_each_exit_code_of_the_process(api: PublishApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    api.answer = (403, {}, b'{"error":"not among emits"}')
    codes = {
        1: choregos("publish", "OrderPlaced", "--to", api.url),
        2: choregos("publish", "OrderPlaced", "--data", "{"),
        3: choregos("publish", "OrderPlaced", "--to", nobody),
    }
    assert {code: ended.returncode for code, ended in codes.items()} == {1: 1, 2: 2, 3: 3}
    assert codes[3].stderr.startswith(f"error: nothing listens on {nobody}\n  hint: start it")
    assert all("Traceback" not in ended.stderr for ended in codes.values())


def test_an_interrupted_command_ends_with_130(api: PublishApi) -> None:
    api.may_answer.clear()
    command: list[str | Path] = [SCRIPT, "publish", "OrderPlaced", "--to", api.url]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        assert api.arrived.wait(30)
        os.kill(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (130, "interrupted\n")


def test_a_publish_api_that_never_answers_is_not_waited_for_forever(
    api: PublishApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(publish_client, "PATIENCE_SECONDS", 0.1)
    api.may_answer.clear()
    assert main(["publish", "OrderPlaced", "--to", api.url]) == 3
    assert "the event may be stored or not\n  hint: send it again with the same --idempotency-key" in (
        capsys.readouterr().err
    )


def test_the_traceback_is_there_for_whoever_asks_for_it() -> None:
    ended = choregos("publish", "OrderPlaced", "--data", "{", env={"CHOREGOS_DEBUG": "1"})
    assert ended.returncode == 2
    assert ended.stderr.startswith("Traceback")
    assert "\nerror: --data is no JSON" in ended.stderr
