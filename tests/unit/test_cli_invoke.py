"""`choregos invoke` sends what an ambassador would send, and says what it would make of the answer; it stores nothing."""

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador.answer import Answer, NoAnswer, Trouble
from choregos_ambassador.backoff import delay
from choregos_ambassador.role import Role
from choregos_cli.consequence import Consequence, Wait, consequence, wait
from choregos_cli.errors import MisuseError
from choregos_cli.main import main
from choregos_cli.target import Target, target
from choregos_contract import cloudevents_http, cloudevents_nats
from choregos_contract.configuration import Delivery
from choregos_contract.configure import configurations
from choregos_contract.event import Event
from choregos_contract.ids import event_record, reply_id
from support.choreographies import choreography
from support.console_script import SCRIPT, choregos, environment
from support.documents import ORDERS, changed
from support.service import Service, always

NOW = "2026-01-02T03:04:05.000Z"
EVENT = Event(
    {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/shop/shop",
        "type": "OrderPlaced",
        "correlationid": "c-1",
        "datacontenttype": "application/json",
    },
    b'{"total": 5}',
)
JSON = (("content-type", "application/json"),)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHOREGOS_DEBUG", raising=False)
    write("choreography.yaml", ORDERS)


def write(name: str, text: str) -> None:
    Path(name).write_text(text)


async def invoke(*arguments: str, port: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command while this loop goes on serving."""
    to = ("--to", f"http://127.0.0.1:{port}") if port else ()
    return await asyncio.to_thread(choregos, "invoke", "payment/OrderPlaced", *to, *arguments, cwd=Path.cwd())


@asynccontextmanager
async def raw(answer: bytes, *, then: Callable[[], Any] = lambda: None) -> AsyncIterator[int]:
    """A server that writes these bytes to whoever sends a request, and hangs up; yields its port."""

    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        then()
        if answer:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()


# -- what follows from an answer


def role(**fields: Any) -> Role:
    declared = {"event": "OrderPlaced", "emits": ["PaymentTaken", "PaymentRefused"], **fields}
    shop = choreography({"payment": {"reactions": [declared]}}, namespace="shop")
    configuration = configurations([shop], None, generation=1)["payment"]
    return Role(configuration, configuration.reactions[0])


def follows(outcome: Answer | NoAnswer, attempt: int = 1, **fields: Any) -> Consequence:
    return consequence(outcome, EVENT, role(**fields), attempt, NOW)


ON_SUCCESS: dict[str, Any] = {"onSuccess": "PaymentTaken"}
ON_FAILURE = {"onFailure": "PaymentRefused"}
FOREIGN = (*JSON, ("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/x"), ("ce-type", "Unheard"))


@pytest.mark.parametrize(
    ("outcome", "attempt", "fields", "verdict", "reason", "types"),
    [
        (Answer(204), 1, {}, "done", None, []),
        (Answer(200, JSON, b"{}"), 1, {}, "done", None, []),
        (Answer(200, JSON, b"{}"), 1, ON_SUCCESS, "done", None, ["PaymentTaken"]),
        (Answer(204), 1, ON_SUCCESS, "dead-letter", "invalid-reply", []),
        (Answer(204), 1, ON_SUCCESS | ON_FAILURE, "dead-letter", "invalid-reply", ["PaymentRefused"]),
        (Answer(200, truncated=True), 1, {}, "dead-letter", "reply-too-large", []),
        (Answer(200, FOREIGN, b"{}"), 1, {}, "retry", None, []),
        (Answer(200, FOREIGN, b"{}"), 6, {}, "dead-letter", "invalid-reply", []),
        (Answer(500), 5, ON_FAILURE, "retry", None, []),
        (Answer(500), 6, ON_FAILURE, "dead-letter", "exhausted", ["PaymentRefused"]),
        (Answer(422), 1, ON_FAILURE, "dead-letter", "rejected", ["PaymentRefused"]),
        (Answer(500), 1, {"delivery": {"reject": [500]}}, "dead-letter", "rejected", []),
        (NoAnswer(Trouble.TIMEOUT), 1, {}, "retry", None, []),
        (NoAnswer(Trouble.CUT), 6, {}, "dead-letter", "exhausted", []),
        (NoAnswer(Trouble.UNREACHABLE), 6, ON_FAILURE, "hand-back", None, []),
    ],
)
def test_each_outcome_has_the_consequence_that_it_would_have_on_the_bus(
    *,
    outcome: Answer | NoAnswer,
    attempt: int,
    fields: dict[str, Any],
    verdict: str,
    reason: str | None,
    types: list[str],
) -> None:
    found = follows(outcome, attempt, **fields)
    assert (found.verdict, found.reason) == (verdict, reason)
    assert [record.headers["ce-type"] for record in found.stored] == types
    assert (found.wait is not None) == (verdict == "retry")


def test_a_next_hop_is_the_record_that_would_be_stored() -> None:
    (record,) = follows(Answer(200, JSON, b'{"paid": 5}'), **ON_SUCCESS).stored
    stored = cloudevents_nats.decode(record.headers, record.payload)
    assert record.subject.startswith("choregos.shop.default.ev.PaymentTaken.")
    assert stored.data == b'{"paid": 5}'
    assert stored.id == reply_id("/shop/shop", "e-1", "payment", "OrderPlaced", 0)
    assert (stored.correlation_id, stored.attributes["causationid"], stored.hops) == ("c-1", "e-1", 1)


seconds = st.floats(0.001, 1e6)


@given(
    st.builds(Delivery, retry=st.just(100), backoff_delay=seconds, backoff_max=seconds),
    st.integers(1, 100),
    st.just(0.0) | st.floats(0, 1e9),
)
def test_every_wait_that_an_ambassador_draws_is_in_the_range_that_is_told(
    delivery: Delivery, attempt: int, retry_after: float
) -> None:
    shortest, longest = wait(delivery, attempt, retry_after)
    assert shortest <= delay(delivery, attempt, retry_after) <= longest <= delivery.backoff_max


@pytest.mark.parametrize(
    ("attempt", "retry_after", "expected"),
    [(1, "", Wait(0, 2)), (3, "", Wait(0, 8)), (2, "3", Wait(3, 4)), (1, "3", Wait(3, 3)), (5, "999", Wait(60, 60))],
)
def test_the_wait_grows_with_the_attempt_and_obeys_the_service_within_bounds(
    attempt: int, retry_after: str, expected: Wait
) -> None:
    headers = (("retry-after", retry_after),) if retry_after else ()
    assert follows(Answer(503, headers), attempt).wait == expected


# -- the command, against services that really listen


async def test_the_request_is_an_event_in_binary_mode_and_the_answer_its_next_hop() -> None:
    async with Service(always(200, b'{"paid": 5}', Content_Type="application/json")) as service:
        ended = await invoke("--data", '{"total": 5}', port=service.port)
        (call,) = service.calls
    assert (ended.returncode, ended.stderr) == (0, "")
    event = cloudevents_http.decode(call.headers.items(), call.body)[0]
    assert (call.path, event.type, event.source, event.data) == (
        "/payments",
        "OrderPlaced",
        "/shop/shop",
        b'{"total": 5}',
    )
    assert call.headers["idempotency-key"] == event_record(event.source, event.id)
    assert call.headers["x-correlation-id"] == event.correlation_id
    assert (call.headers["choregos-attempt"], call.headers["prefer"]) == ("1", "reply")
    assert call.headers["host"] == f"127.0.0.1:{service.port}"
    shown = ended.stdout
    assert shown.startswith(f"> POST /payments HTTP/1.1\n> host: 127.0.0.1:{service.port}\n")
    assert f"> ce-id: {event.id}\n" in shown
    assert '>\n> {"total": 5}\n\n< 200 OK, after ' in shown
    assert '<\n< {"paid": 5}\n\ndone: PaymentTaken would be stored\n\n  choregos.shop.default.ev.PaymentTaken.' in shown
    assert f"  ce-causationid: {event.id}\n" in shown


async def test_the_json_holds_request_answer_and_verdict() -> None:
    async with Service(always(503, b"\xff", Retry_After="7")) as service:
        ended = await invoke("--json", "--attempt", "4", port=service.port)
        (call,) = service.calls
    told = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert (told["service"], told["event"], told["attempt"]) == ("payment", "OrderPlaced", 4)
    assert told["request"]["line"] == "POST /payments HTTP/1.1"
    assert ["choregos-attempt", "4"] in told["request"]["headers"]
    assert call.headers["choregos-attempt"] == "4"
    assert told["request"]["body"] == "{}"
    assert (told["answer"]["status"], told["answer"]["bodyBase64"]) == (503, "/w==")
    assert ["retry-after", "7"] in told["answer"]["headers"]
    assert (told["verdict"], told["status"], told["reason"]) == ("retry", 503, None)
    assert told["wait"] == {"shortest": 7.0, "longest": 16.0}
    assert told["stored"] == []


async def test_a_retry_is_told_with_its_range_and_after_the_last_a_dead_letter() -> None:
    async with Service(always(500, b"out of\x1b[31m paper")) as service:
        first = await invoke("--attempt", "2", port=service.port)
        last = await invoke("--attempt", "6", port=service.port)
    assert "\nretry: attempt 3 of 6 would come between 0s and 4s later\n  HTTP 500 out of" in first.stdout
    assert "\ndead letter, reason exhausted\n  HTTP 500 out of" in last.stdout
    assert "\x1b" not in first.stdout + last.stdout
    assert (first.returncode, last.returncode) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "cut: "),
        (b"SSH-2.0-nobody\r\n", "malformed: "),
        (b"", "timeout: 0.2 s"),
    ],
)
async def test_a_broken_answer_is_a_retry_that_says_what_broke(answer: bytes, error: str) -> None:
    write("choreography.yaml", changed("timeout: 5s", "timeout: 200ms"))
    async with raw(answer) as port:
        ended = await invoke("--json", port=port)
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["answer"], told["verdict"]) == (1, None, "retry")
    assert told["error"].startswith(error)


async def test_nobody_there_is_no_attempt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ended = await invoke("--attempt", "99", port=port)
    assert ended.returncode == 3
    assert "\nhand-back: this is no attempt" in ended.stdout
    assert ended.stderr.startswith(f"error: nobody takes the event at 127.0.0.1:{port}: ")


async def test_without_an_address_it_is_the_port_of_the_reaction_here() -> None:
    async with Service() as service:
        text = changed("path: /payments", f"path: /payments\n          port: {service.port}")
        text = text.replace("onSuccess: PaymentTaken", "").replace("OrderPlaced: {}", "OrderPlaced: {external: true}")
        write("other.yaml", text.replace("emits: [OrderPlaced]", "emits: []"))
        write("choreography.yaml", "")
        write("order.json", ' {"n":1.50}\n')
        ended = await invoke("--file", "other.yaml", "-d", "@order.json")
        (call,) = service.calls
    assert ended.returncode == 0, ended.stderr
    assert "done: no event follows" in ended.stdout
    assert (call.body, call.headers["ce-source"]) == (b' {"n":1.50}\n', "/shop/payment")


async def test_an_interrupted_command_ends_with_130() -> None:
    arrived = asyncio.Event()
    async with raw(b"", then=arrived.set) as port:
        command = [str(SCRIPT), "invoke", "payment/OrderPlaced", "--to", f"http://127.0.0.1:{port}"]
        process = await asyncio.create_subprocess_exec(*command, env=environment(), stderr=asyncio.subprocess.PIPE)
        async with asyncio.timeout(30):
            await arrived.wait()
            os.kill(process.pid, signal.SIGINT)
            _, stderr = await process.communicate()
    assert (process.returncode, stderr) == (130, b"interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["payment"], 2, "'payment' names no reaction"),
        (
            ["paymnt/OrderPlaced"],
            2,
            "there is no service 'paymnt' in this choreography\n  hint: did you mean 'payment'",
        ),
        (["payment/OrderPlacd"], 2, "does not react to 'OrderPlacd'\n  hint: did you mean 'OrderPlaced'"),
        (["shop/OrderShipped"], 2, "hint: name another service: it reacts to nothing"),
        (["payment/OrderPlaced", "-d", "{"], 2, "--data cannot be the data of OrderPlaced: the body is not JSON"),
        (["payment/OrderPlaced", "-d", "@absent"], 2, "cannot read absent: No such file or directory"),
        (["payment/OrderPlaced", "--to", "127.0.0.1:80"], 2, "'127.0.0.1:80' is no address of a service"),
        (["payment/OrderPlaced", "--attempt", "0"], 2, "--attempt"),
        (["payment/OrderPlaced", "--file", "absent.yaml"], 2, "cannot read absent.yaml"),
        (["payment/OrderPlaced", "--file", "broken.yaml"], 1, "broken.yaml:6:5: error[invalid-duration]"),
        (["payment/OrderPlaced", "--file", "choreography.yaml", "--file", "ops.yaml"], 2, "and these are 2: shop/def"),
    ],
)
def test_what_names_no_request_sends_none(
    arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.yaml").write_text(changed("timeout: 5s", "timeout: 5 s"))
    Path("ops.yaml").write_text(changed("namespace: shop", "namespace: ops"))
    assert main(["invoke", *arguments]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8080", Target("127.0.0.1", 8080)),
        ("http://orders.local/", Target("orders.local", 80)),
        ("http://[::1]:8080", Target("::1", 8080)),
    ],
)
def test_a_target_is_a_host_and_a_port(text: str, expected: Target) -> None:
    assert target(text, "--to") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:80",
        "http://",
        "https://a",
        "http://a:0",
        "http://a:99999",
        "http://a/b",
        "http://a?b",
        "http://u@a",
    ],
)
def test_anything_else_is_no_target(text: str) -> None:
    with pytest.raises(MisuseError, match="is no address"):
        target(text, "--to")
