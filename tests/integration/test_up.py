"""`choregos up` on real processes: what it shows, what it keeps running, and that it leaves nothing behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import nats
import pytest
import pytest_asyncio

from choregos_cli.errors import UnreachableError
from choregos_cli.happenings import EventStored, HopEnded
from choregos_cli.local_run import LocalRun
from choregos_cli.ports import free_port
from support.nats import NatsServer
from support.up_process import Up, eventually, publish, write_shop

ANALYTICS = """
apiVersion: choregos.dev/v1alpha1
kind: Choreography
metadata: {name: analytics, namespace: test}
spec:
  events:
    OrderPlaced: {external: true}
  services:
    analytics:
      reactions:
        - {event: OrderPlaced, path: /facts}
"""


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer() as running:
        yield running


def test_the_first_line_says_where_everything_is_and_an_event_flows(tmp_path: Path) -> None:
    local = "services: {payments: {command: [python, service.py], replicas: 2}}"
    with Up(write_shop(tmp_path, local)) as up:
        ready = up.until("ready")
        assert up.lines[0] is ready
        assert ready.keys() == {"event", "nats", "services"}
        assert ready["nats"].startswith("nats://127.0.0.1:")
        assert {name: len(addresses) for name, addresses in ready["services"].items()} == {"orders": 1, "payments": 2}
        assert ready["services"]["orders"][0].keys() == {"url", "publishUrl", "probesUrl"}

        correlation_id = publish(up.address("orders")["publishUrl"], "OrderPlaced", {"number": 7})

        hop = up.until("hop-ended", service="payments", correlationId=correlation_id)
        assert (hop["verdict"], hop["status"], hop["replies"]) == ("done", 200, ["OrderPaid"])
        paid = up.until("event-stored", type="OrderPaid", correlationId=correlation_id)
        placed = up.until("event-stored", type="OrderPlaced", correlationId=correlation_id)
        assert paid["causationId"] == placed["id"]
        up.until("output", service="payments", line="took OrderPlaced 7")


def test_ctrl_c_drains_and_leaves_no_process_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    with Up(write_shop(tmp_path / "shop")) as up:
        publish(up.address("orders")["publishUrl"], "OrderPlaced", {"number": 1, "sleep": 1})
        up.until("output", line="took OrderPlaced 1")
        up.signal(signal.SIGINT)
        assert up.ends() == 0
        # The event in hand was finished: that is what draining means.
        assert up.until("hop-ended", service="payments")["verdict"] == "done"
        up.until("event-stored", type="OrderPaid")
        up.leaves_nothing()
        assert not list(scratch.iterdir())
        assert not up.complaints


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with Up(write_shop(tmp_path)) as up:
        publish(up.address("orders")["publishUrl"], "OrderPlaced", {"number": 1, "sleep": 25})
        up.until("output", line="took OrderPlaced 1")
        up.signal(signal.SIGINT)
        up.signal(signal.SIGTERM)
        assert up.ends(within=10) == 130
        up.leaves_nothing()


def test_kill_9_leaves_no_process_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    # A shell between us and the service: nobody but its process group knows of the grandchild.
    local = "services: {payments: {command: [sh, -c, 'python service.py & wait']}}"
    with Up(write_shop(tmp_path / "shop", local)) as up:
        up.until("ready")
        assert any("service.py" in command for command in up.left().values())
        up.signal(signal.SIGKILL)
        up.ends()
        up.leaves_nothing()
        eventually(lambda: not list(scratch.iterdir()), "the run's directory is removed")


def test_ctrl_c_during_the_start_leaves_no_process(tmp_path: Path) -> None:
    file = write_shop(tmp_path)
    for milestone in ("guard.py", "nats-server", "choregos_ambassador", "service.py"):
        with Up(file) as up:
            eventually(lambda: any(milestone in command for command in up.left().values()), milestone)  # noqa: B023
            up.signal(signal.SIGINT)
            assert up.ends() == 0
            up.leaves_nothing()
            assert not up.complaints


def test_a_crashed_service_is_reported_with_its_last_words_and_started_again(tmp_path: Path) -> None:
    with Up(write_shop(tmp_path)) as up:
        before = up.until("service-started", service="payments")
        with pytest.raises((URLError, ConnectionError)):
            urlopen(f"{up.address('payments')['url']}/crash", timeout=5)

        exited = up.until("service-exited", service="payments")
        assert (exited["code"], exited["output"]) == (3, ["going down"])

        publish(up.address("orders")["publishUrl"], "OrderPlaced", {"number": 2})
        assert up.until("hop-ended", service="payments", verdict="done")["eventType"] == "OrderPlaced"
        started = [line for line in up.lines if line["event"] == "service-started"]
        assert [line["url"] for line in started] == [before["url"]] * 2


def test_a_killed_ambassador_comes_back_at_the_same_address(tmp_path: Path) -> None:
    with Up(write_shop(tmp_path)) as up:
        address = up.address("orders")["publishUrl"]
        for pid, command in up.left().items():
            if "-m choregos_ambassador" in command:
                os.kill(pid, signal.SIGKILL)
        assert up.until("ambassador-exited", service="orders")["code"] == -signal.SIGKILL
        eventually(lambda: _published(address), "the ambassador is back")
        up.until("hop-ended", service="payments", verdict="done")


def test_an_analytics_choreography_joins_and_leaves_while_events_flow(tmp_path: Path, server: NatsServer) -> None:
    shop_file = write_shop(tmp_path / "shop")
    local = "services: {analytics: {command: [python, service.py]}}"
    analytics_file = write_shop(tmp_path / "analytics", local)
    analytics_file.write_text(ANALYTICS)
    with Up("--nats", server.url, shop_file) as shop:
        placed = [_place(shop, number) for number in range(10)]
        for correlation_id in placed:
            shop.until("hop-ended", verdict="done", correlationId=correlation_id)
        before = _wiring(server)

        with Up("--nats", server.url, analytics_file) as analytics:
            analytics.until("ready")
            placed += [_place(shop, number) for number in range(10, 20)]
            for number in range(10, 20):
                analytics.until("output", line=f"took OrderPlaced {number}")
            joined = _wiring(server)
            analytics.signal(signal.SIGINT)
            assert analytics.ends() == 0
            # It began where it joined.
            assert not any(line.get("line", "").endswith(" 9") for line in analytics.lines)

        placed += [_place(shop, number) for number in range(20, 25)]
        with Up("--nats", server.url, analytics_file) as again:
            # It goes on where it left: what came in between is delivered, what it had is not.
            for number in range(20, 25):
                again.until("output", line=f"took OrderPlaced {number}")
            assert not any(line.get("line", "").endswith(" 19") for line in again.lines)
            rejoined = _wiring(server)

        own = "choregos_analytics_OrderPlaced"
        assert joined["durables"].keys() - before["durables"].keys() == {own}
        assert joined["durables"][own]["metadata"] == rejoined["durables"][own]["metadata"]
        for after in (joined, rejoined):
            after["durables"].pop(own)
            assert after == before
        for correlation_id in placed:
            shop.until("hop-ended", verdict="done", correlationId=correlation_id)
        assert not any(line["event"] == "dead-lettered" for line in shop.lines)


def test_a_reaction_of_somebody_else_is_not_taken(tmp_path: Path, server: NatsServer) -> None:
    other = write_shop(tmp_path / "other")
    other.write_text(other.read_text().replace("name: shop", "name: other-shop"))
    with Up("--nats", server.url, write_shop(tmp_path / "shop")) as shop:
        shop.until("ready")
        before = _wiring(server)
        with Up("--nats", server.url, other) as thief:
            assert thief.ends() == 1
            assert "payments to OrderPlaced belongs to test/shop" in "".join(thief.complaints)
        assert _wiring(server) == before


def test_a_service_that_never_starts_is_tried_again_and_again(tmp_path: Path) -> None:
    local = "services: {payments: {command: [python, -c, 'print(\"no database\"); raise SystemExit(4)']}}"
    with Up(write_shop(tmp_path, local)) as up:
        first = up.until("service-exited", restartInS=0.5)
        assert (first["code"], first["output"]) == (4, ["no database"])
        up.until("service-exited", restartInS=1.0)
        assert up.lines[0]["event"] == "ready"


def test_a_service_without_a_command_is_waited_for(tmp_path: Path) -> None:
    port = free_port(set())
    with Up(write_shop(tmp_path, f"services: {{payments: {{port: {port}}}}}")) as up:
        publish(up.address("orders")["publishUrl"], "OrderPlaced", {"number": 1})
        environment = {**os.environ, "PORT": str(port)}
        with subprocess.Popen([sys.executable, "service.py"], cwd=tmp_path, env=environment) as service:
            try:
                assert up.until("hop-ended", service="payments", verdict="done")["replies"] == ["OrderPaid"]
            finally:
                service.terminate()


@pytest.mark.parametrize(
    ("local", "arguments", "code", "sentence"),
    [
        ("services: {payment: {command: [python]}}", [], 2, 'did you mean "payments"?'),
        ("services: {payments: {command: [no-such-program]}}", [], 2, "there is no program 'no-such-program'"),
        ("services: {}", ["--nats", "nats://127.0.0.1:1"], 3, "cannot connect to NATS at nats://127.0.0.1:1"),
        ("services: {}", ["--nats", "nats://secret:word@127.0.0.1:1"], 3, "NATS at nats://127.0.0.1:1"),
        ("services: {}", ["--store", "/dev/null/store"], 2, "cannot use the store"),
    ],
)
def test_a_mistake_is_a_sentence_and_an_exit_code(
    tmp_path: Path, local: str, arguments: list[str], code: int, sentence: str
) -> None:
    with Up(write_shop(tmp_path, local), *arguments) as up:
        assert up.ends() == code
        up.leaves_nothing()
    said = "".join(up.complaints)
    assert sentence in said
    assert "Traceback" not in said
    assert "secret" not in said
    assert not up.lines


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[LocalRun]:
    async with LocalRun(write_shop(tmp_path / "shop"), store=tmp_path / "store") as run:
        yield run


async def test_application_teams_have_it_as_a_fixture(shop: LocalRun) -> None:
    orders = shop.services["orders"][0]
    correlation_id = publish(orders.publish_url, "OrderPlaced", {"number": 3})

    paid = await shop.until(EventStored, lambda e: (e.type, e.correlation_id) == ("OrderPaid", correlation_id))

    assert json.loads(paid.data)["number"] == 3
    hop = await shop.until(HopEnded)
    assert hop.verdict == "done"


async def test_a_store_keeps_what_it_has_for_the_next_run(shop: LocalRun, tmp_path: Path) -> None:
    publish(shop.services["orders"][0].publish_url, "OrderPlaced", {"number": 4})
    await shop.until(HopEnded)
    await shop.__aexit__(None, None, None)

    async with LocalRun(tmp_path / "shop" / "choreography.yaml", store=tmp_path / "store") as again:
        assert [event.type for event in await again.stored() if isinstance(event, EventStored)] == [
            "OrderPlaced",
            "OrderPaid",
        ]
        assert await again.idle()


async def test_a_run_survives_a_restart_of_the_bus_it_has_joined(tmp_path: Path, server: NatsServer) -> None:
    async with LocalRun(write_shop(tmp_path), nats=server.url) as run:
        orders = run.services["orders"][0].publish_url
        await asyncio.to_thread(publish, orders, "OrderPlaced", {"number": 5})
        await run.until(HopEnded)
        await asyncio.to_thread(server.restart)
        await asyncio.to_thread(eventually, lambda: _published(orders), "an event is stored again")
        await run.until(EventStored, lambda event: event.type == "OrderPaid" and b"9" in event.data, within=30)


async def test_a_service_that_fails_to_start_fails_a_test_s_run(tmp_path: Path) -> None:
    local = "services: {payments: {command: [python, -c, 'print(1/0)']}}"
    with pytest.raises(UnreachableError, match="the service payments ended while it was starting") as raised:
        async with LocalRun(write_shop(tmp_path, local)):
            raise AssertionError("it started")
    assert "ZeroDivisionError" in raised.value.hint


def _place(shop: Up, number: int) -> str:
    return publish(shop.address("orders")["publishUrl"], "OrderPlaced", {"number": number})


def _published(address: str) -> bool:
    try:
        return bool(publish(address, "OrderPlaced", {"number": 9}))
    except OSError:
        return False


def _wiring(server: NatsServer) -> dict[str, dict[str, Any]]:
    """Every stream's configuration, and every durable's with the time it was made."""

    async def read() -> dict[str, dict[str, Any]]:
        client = await nats.connect(server.url)
        try:
            stream = "choregos_test_default_events"
            found: dict[str, dict[str, Any]] = {"streams": {}, "durables": {}}
            for name in (stream, "choregos_test_default_dead-letters"):
                answer = await client.request(f"$JS.API.STREAM.INFO.{name}")
                found["streams"][name] = json.loads(answer.data)["config"]
            answer = await client.request(f"$JS.API.CONSUMER.LIST.{stream}")
            for consumer in json.loads(answer.data)["consumers"]:
                found["durables"][consumer["name"]] = {"created": consumer["created"], **consumer["config"]}
            return found
        finally:
            await client.close()

    return asyncio.run(read())
