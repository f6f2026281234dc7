"""`choregos ambassador` is the ambassador of the image, in front of a service that no pod holds."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from choregos_cli.main import main
from choregos_contract import cloudevents_http, cloudevents_nats
from choregos_contract.configuration import dump
from choregos_contract.configure import configurations
from choregos_contract.document import load
from choregos_contract.resources import Choreography
from support.ambassador import Ambassador
from support.bus import connected, wired
from support.console_script import SCRIPT, choregos, environment
from support.documents import ORDERS, changed
from support.nats import NatsServer
from support.service import Service, always

PAID = always(200, b'{"paid": 5}', Content_Type="application/json")
EVERY_DURABLE = ["choregos_payment_OrderPlaced", "choregos_shipping_PaymentTaken"]


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer() as running:
        yield running


@pytest.fixture
def choreography(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Choreography:
    monkeypatch.chdir(tmp_path)
    Path("choreography.yaml").write_text(ORDERS)
    return load(ORDERS, "").choreographies[0]


class Standalone(Ambassador):
    """The command as a process; all that tests ask an ambassador of the image, they ask it as well."""

    def __init__(self, nats_url: str, port: int, *options: str, **variables: str) -> None:
        super().__init__(nats_url, None)
        ports = ("--publish-port", "0", "--probes-port", "0")
        target = ("--service", "payment", "--target", f"http://127.0.0.1:{port}")
        self._command = (str(SCRIPT), "ambassador", *target, "--nats", nats_url, *ports, *options)
        steering = {"CHOREGOS_PROBES_HOST": "127.0.0.1", "CHOREGOS_LOG_EVENTS": "1", **variables}
        self._environment = environment(steering)

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, env=self._environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        self._reader = asyncio.create_task(self._read())

    async def __aexit__(self, *outcome: object) -> None:
        """End it politely, so that it removes its directory."""
        if self._process is not None and self._process.returncode is None:
            self.signal(signal.SIGTERM)
            await self.ended()
        await super().__aexit__(*outcome)

    def says(self, message: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["message"] == message]


async def published(ambassador: Ambassador, event: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{ambassador.publish_url}/events/{event}", data=b"{}") as answer,
    ):
        return answer.status


async def test_it_wires_delivers_and_drains_at_sigterm(server: NatsServer, choreography: Choreography) -> None:
    async with connected(server.url) as connection, Service(PAID) as service:
        async with Standalone(server.url, service.port, "--wire") as ambassador:
            await ambassador.logged("configured", service="payment", reactions=["OrderPlaced"])
            bus = await wired(connection, choreography)
            await bus.publish("OrderPlaced", event_id="e-1")
            hop = await ambassador.logged("hop", verdict="done", event_id="e-1")
            assert hop["replies"] == ["PaymentTaken"]
            ambassador.signal(signal.SIGTERM)
            assert await ambassador.ended() == 0
            assert ambassador.says("draining")
            assert ambassador.lines[-1]["message"] == "stopped"
        assert [call.path for call in service.calls] == ["/payments"]
        assert [event.headers["ce-source"] for event in await bus.events("PaymentTaken")] == ["/shop/payment"]


async def test_it_says_which_durable_is_missing_and_takes_up_work_when_it_is_there(
    server: NatsServer, choreography: Choreography
) -> None:
    """Until then it takes no event in: its reader might not get it."""
    async with (
        connected(server.url) as connection,
        Service(PAID) as service,
        Standalone(server.url, service.port) as ambassador,
    ):
        await ambassador.logged("not wired", stream="choregos_shop_default_events", level="error")
        for durable in EVERY_DURABLE:
            line = await ambassador.logged("not wired", durable=durable)
            assert "--wire" in line["hint"]
        await ambassador.logged("listening")
        assert await published(ambassador, "OrderPlaced") == 503
        assert len(ambassador.says("not wired")) == 3, "what is missing is told once"

        bus = await wired(connection, choreography)
        await bus.api(f"CONSUMER.DELETE.{bus.names.event_stream}.{EVERY_DURABLE[1]}")
        await wired(connection, choreography)
        await ambassador.logged("configured")
        await bus.publish("OrderPlaced", event_id="e-1")
        await ambassador.logged("hop", verdict="done", event_id="e-1")
        assert len(ambassador.says("configured")) == 1


async def test_nats_may_come_later(choreography: Choreography) -> None:
    with NatsServer() as server:
        server.stop()
        async with Service(PAID) as service, Standalone(server.url, service.port, "--wire") as ambassador:
            await ambassador.logged("listening")
            server.restart()
            await ambassador.logged("configured")


async def test_the_operators_document_is_followed_and_its_port_replaced(
    server: NatsServer, choreography: Choreography
) -> None:
    configuration = configurations([choreography], None, generation=7)["payment"]
    document = Path("configuration.json")
    write(document, dump(configuration))
    async with connected(server.url) as connection, Service(PAID) as service:
        bus = await wired(connection, choreography)
        async with Standalone(server.url, service.port, "--config", str(document)) as ambassador:
            await ambassador.logged("configured", generation=7)
            write(document, dump(replace(configuration, generation=8)))
            await ambassador.logged("configured", generation=8)
            write(document, b'{"version": 99}')
            refused = await ambassador.logged("configuration refused")
            assert refused["in_force"] is True
            await bus.publish("OrderPlaced", event_id="e-1")
            await ambassador.logged("hop", verdict="done", event_id="e-1")


async def test_invoke_sends_the_request_and_shows_the_reply_of_the_ambassador(
    server: NatsServer, choreography: Choreography
) -> None:
    """The same headers in the same order, and the same record for the next hop, but for ids and times."""
    async with (
        connected(server.url) as connection,
        Service(PAID) as service,
        Standalone(server.url, service.port, "--wire") as ambassador,
    ):
        await ambassador.logged("configured")
        to = f"http://127.0.0.1:{service.port}"
        ended = await asyncio.to_thread(choregos, "invoke", "payment/OrderPlaced", "--to", to, "--json", cwd=Path())
        told = json.loads(ended.stdout)
        (invoked,) = service.calls
        bus = await wired(connection, choreography)
        event = cloudevents_http.decode(invoked.headers.items(), invoked.body)[0]
        await bus.publish_raw(
            bus.names.event_subject(event.type, event.correlation_id), event.data, cloudevents_nats.encode(event)
        )
        await ambassador.logged("hop", verdict="done", event_id=event.id)
        (stored,) = await bus.events("PaymentTaken")
    delivered = service.calls[1]
    assert (list(delivered.headers.items()), delivered.path, delivered.body) == (
        list(invoked.headers.items()),
        invoked.path,
        invoked.body,
    )
    (shown,) = told["stored"]
    assert (shown["subject"], shown["body"].encode()) == (stored.subject, stored.data)
    assert shown["headers"] | {"ce-time": ""} == stored.headers | {"ce-time": ""}


async def test_a_reaction_of_somebody_else_is_not_wired_over(server: NatsServer, choreography: Choreography) -> None:
    async with connected(server.url) as connection:
        await wired(connection, choreography.model_copy(update={"metadata": _owned(choreography, "another")}))
    async with Standalone(server.url, 9, "--wire") as ambassador:
        assert await ambassador.ended() == 1
        assert b"error: the reaction of payment to OrderPlaced belongs to another" in ambassador.output


async def test_a_port_that_is_taken_is_said(server: NatsServer, choreography: Choreography) -> None:
    async with Service() as other, Standalone(server.url, 9, "--publish-port", str(other.port)) as ambassador:
        assert await ambassador.ended() == 3
        assert f"error: cannot listen on 127.0.0.1:{other.port}: ".encode() in ambassador.output


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (
            ["--service", "paymnt"],
            2,
            "there is no service 'paymnt' in this choreography\n  hint: did you mean 'payment'",
        ),
        (["--service", "payment", "--target", "https://a"], 2, "it speaks plain HTTP"),
        (["--service", "payment", "--config", "absent.json"], 2, "cannot read absent.json: No such file"),
        (["--service", "payment", "--config", "choreography.yaml"], 2, "choreography.yaml is no configuration: "),
        (["--service", "shop", "--config", "payment.json"], 2, "the configuration of 'payment', not of 'shop'"),
        (["--service", "payment", "--config", "payment.json", "--wire"], 2, "leave out --file and --wire"),
        (["--service", "payment", "--file", "broken.yaml"], 1, "broken.yaml:6:5: error[invalid-duration]"),
        (["--service", "payment", "--nats", ""], 2, "CHOREGOS_NATS_URL is ''"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_listens(
    choreography: Choreography, arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("broken.yaml"), changed("timeout: 5s", "timeout: 5 s").encode())
    write(Path("payment.json"), dump(configurations([choreography], None, generation=1)["payment"]))
    target = [] if "--target" in arguments else ["--target", "http://127.0.0.1:9"]
    assert main(["ambassador", *arguments, *target]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _owned(choreography: Choreography, uid: str) -> Any:
    return choreography.metadata.model_copy(update={"uid": uid})
