"""`choregos status` shows what is: on a real API server, nats-server, controller and ambassador."""

import asyncio
import json
import signal
import subprocess
from functools import partial
from itertools import count
from typing import Any

import pytest
from aiohttp import web

from support.ambassador import Ambassador
from support.choreographed import SHOP, Choreographed, reacting
from support.cluster import Cluster
from support.commands import Commands
from support.console_script import SCRIPT, environment
from support.controlled import Controlled
from support.service import Call, Service
from support.waiting import wait_for

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


async def status(commands: Commands, *options: str, code: int = 0, nats: str = "") -> dict[str, Any]:
    ended = await commands.run("status", "--output=json", *options, nats=nats)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return dict(json.loads(ended.stdout))


async def reaction(commands: Commands, *options: str) -> dict[str, Any]:
    (choreography,) = (await status(commands, *options))["choreographies"]
    (row,) = choreography["reactions"]
    return dict(row)


def of(choreography: dict[str, Any], service: str) -> dict[str, Any]:
    return next(each for each in choreography["services"] if each["name"] == service)


async def wired(shop: Choreographed, port: int = 8080) -> None:
    """A shop whose payment listens there, with a pod that no kubelet runs."""
    delivery = {"backoffDelay": "1h", "backoffMax": "1h"}
    payment = {"port": port, **reacting("OrderPlaced", delivery=delivery)}
    await shop.choreography("shop", {**SHOP, "payment": payment})
    await shop.until("shop", "True")
    await shop.pod("payment-1", "payment")
    await shop.running("payment-1")


async def test_the_figures_are_those_of_the_bus_and_of_the_ambassadors(
    shop: Choreographed, site: Controlled, commands: Commands
) -> None:
    held: asyncio.Event = asyncio.Event()

    async def answer(call: Call) -> web.Response:
        if b"fail" in call.body:
            return web.Response(status=500)
        if b"reject" in call.body:
            return web.Response(status=422)
        await held.wait()
        return web.Response(status=204)

    service = Service(answer)
    await service.start()
    try:
        await wired(shop, service.port)
        configured = await shop.get("ConfigMap", "choregos-payment")
        async with Ambassador(site.server.url, None, CHOREGOS_POD="payment-1") as ambassador:
            ambassador.configure_raw(configured["data"]["configuration.json"].encode())
            # One after the other: a breaker that has just closed lets one event through at a time.
            for data, unacknowledged, in_hand, dead in (
                (b'"reject"', 0, 0, 1),
                (b'"fail"', 1, 0, 1),
                (b'"hold"', 2, 1, 1),
            ):
                await shop.bus().publish("OrderPlaced", data, event_id=data.decode())
                expected = {"unacknowledged": unacknowledged, "inHand": in_hand, "deadLetters": dead}
                await wait_for(partial(_is, commands, waiting=0, **expected), f"{data!r} is where it belongs")
            row = await reaction(commands)
            assert (row["waiting"], row["note"], row["rate"]) == (0, None, None)
            assert 0 <= row["oldestSeconds"] < 60
            (choreography,) = (await status(commands, "shop"))["choreographies"]
            assert choreography["entries"][0] | {"last": None} == {"event": "OrderPlaced", "stored": 3, "last": None}
            assert choreography["events"]["messages"] == 3
            assert choreography["events"]["maxBytes"] == 2**30
            assert {each["type"] for each in choreography["conditions"]} >= {"Ready", "Wired"}
            payment = of(choreography, "payment")
            assert payment["pods"] == {"ready": 0, "total": 1}
            assert payment["ambassadors"] == {"current": 1, "total": 1}
            assert payment["breakers"] == {"closed": 1}

            held.set()
            async with asyncio.TaskGroup() as group:
                customers = group.create_task(_publish_on_and_on(shop))
                assert (await reaction(commands, "--rate"))["rate"] > 0
                customers.cancel()
            await wait_for(lambda: _is(commands, waiting=0, unacknowledged=1), "all but the failed one are done")
    finally:
        held.set()
        await service.stop()


async def _publish_on_and_on(shop: Choreographed) -> None:
    for number in count():
        await shop.bus().publish("OrderPlaced", b'"more"', event_id=f"more-{number}")
        await asyncio.sleep(0.05)


async def _is(commands: Commands, **figures: int) -> bool:
    row = await reaction(commands)
    return all(row[name] == figure for name, figure in figures.items())


async def test_what_no_ambassador_takes_waits_and_grows_old(shop: Choreographed, commands: Commands) -> None:
    await wired(shop)
    assert (await reaction(commands))["oldestSeconds"] is None
    for number in range(3):
        await shop.bus().publish("OrderPlaced", event_id=str(number))
    row = await reaction(commands)
    assert (row["waiting"], row["unacknowledged"], row["redelivered"], row["inHand"]) == (3, 0, 0, 0)
    assert row["oldestSeconds"] >= 0
    ended = await commands.run("status")
    lines = [" ".join(line.split()) for line in ended.stdout.splitlines()]
    assert lines[0].startswith(f"{shop.namespace}/shop bus default, ")
    assert next(line for line in lines if line.startswith("payment ")).startswith(
        "payment 0/1 0/0 - OrderPlaced 3 0 0 "
    )


async def test_without_nats_the_rest_is_shown_and_the_exit_code_is_3(shop: Choreographed, commands: Commands) -> None:
    await wired(shop)
    found = await status(commands, code=3, nats="nats://127.0.0.1:1")
    (choreography,) = found["choreographies"]
    assert choreography["events"] is None
    assert choreography["reactions"][0]["waiting"] is None
    assert of(choreography, "payment")["pods"] == {"ready": 0, "total": 1}
    assert "127.0.0.1:1" in found["unknown"][0]


async def test_without_a_right_the_rest_is_shown_and_the_right_is_named(
    cluster: Cluster, shop: Choreographed, commands: Commands
) -> None:
    await wired(shop)
    user = f"reader-{shop.namespace}"
    kubeconfig = await asyncio.to_thread(cluster.user_kubeconfig, user)
    rule = {"apiGroups": ["choregos.dev"], "resources": ["choreographies", "eventbuses"], "verbs": ["get", "list"]}
    rbac = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "reader"}, "rules": [rule]}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": user}],
    }
    await asyncio.to_thread(cluster.apply, role, binding, namespace=shop.namespace)
    reader = Commands(kubeconfig, shop.namespace, commands.nats)

    async def pods_alone_are_missing() -> dict[str, Any]:
        ended = await reader.run("status", "--output=json")
        return dict(json.loads(ended.stdout)) if ended.returncode == 3 and ended.stdout else {}

    found = await wait_for(pods_alone_are_missing, "the role is in force")
    (choreography,) = found["choreographies"]
    assert choreography["reactions"][0]["waiting"] == 0
    assert of(choreography, "payment")["pods"] == {"ready": None, "total": None}
    assert of(choreography, "payment")["ambassadors"] == {"current": None, "total": 0}
    assert any(f"{user} may not list pods in the namespace {shop.namespace}" in each for each in found["unknown"])


async def test_a_name_that_is_not_there_is_refused_with_the_one_that_was_meant(
    shop: Choreographed, commands: Commands
) -> None:
    await wired(shop)
    ended = await commands.run("status", "shpo")
    assert ended.returncode == 1
    assert "did you mean 'shop'?" in ended.stderr


async def test_watching_tells_again_and_again_until_it_is_interrupted(shop: Choreographed, commands: Commands) -> None:
    await wired(shop)
    options = ["--watch", "--output=json", f"-n{commands.namespace}", f"--nats={commands.nats}"]
    variables = environment(commands.environment)
    process = await asyncio.create_subprocess_exec(SCRIPT, "status", *options, env=variables, stdout=subprocess.PIPE)
    assert process.stdout
    try:
        rows = [_row(await process.stdout.readline())]
        await shop.bus().publish("OrderPlaced")
        while rows[-1]["waiting"] != 1:
            rows.append(_row(await process.stdout.readline()))
        assert rows[0]["rate"] is None
        assert rows[-1]["rate"] == 0
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _row(line: bytes) -> dict[str, Any]:
    return dict(json.loads(line)["choreographies"][0]["reactions"][0])
