"""Servers that are not ours may promise lists without an end: no command waits for it, or takes a part for the whole."""

import json
from collections.abc import AsyncIterator
from subprocess import CompletedProcess

import pytest
import pytest_asyncio
from nats.aio.msg import Msg

from choregos_contract.names import BusNames
from support.bus import connected
from support.choreographed import SHOP, Choreographed, api_client, reacting
from support.choreographies import choreography
from support.cluster import Cluster
from support.commands import Commands
from support.nats import NatsServer
from support.paged_jetstream import ENDLESS, PagedJetStream

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
TOLD = "NATS tells of more than 1000 pages of the durables of choregos_{}_default_events"


@pytest_asyncio.fixture(loop_scope="module")
async def commands(cluster: Cluster, crds: None, namespace: str) -> AsyncIterator[Commands]:
    """The CLI, where a choreography is stored and NATS has more durables than anybody can read."""
    jetstream = PagedJetStream(BusNames(namespace=namespace), durables=ENDLESS)

    async def answer(message: Msg) -> None:
        await message.respond(await jetstream.ask(message.subject, message.data))

    with NatsServer(jetstream=False) as server:
        async with connected(server.url) as nats, api_client(cluster.kubeconfig) as client:
            await nats.subscribe("$JS.API.>", cb=answer)
            await nats.flush()
            await Choreographed(client, namespace, nats).choreography("shop", SHOP)
            yield Commands(cluster.kubeconfig, namespace, server.url)


def unknown(ended: CompletedProcess[str], code: int) -> str:
    assert ended.returncode == code, ended.stdout + ended.stderr
    (sentence,) = json.loads(ended.stdout)["unknown"]
    return str(sentence)


async def test_a_plan_does_not_know_what_it_cannot_read_whole(commands: Commands) -> None:
    services = {"shop": {"emits": ["OrderPlaced"]}, "billing": reacting("OrderPlaced")}
    given = choreography(services, namespace=commands.namespace).model_dump_json(by_alias=True, exclude_unset=True)
    ended = await commands.run("plan", "-", "--output=json", stdin=given)
    assert TOLD.format(commands.namespace) in unknown(ended, 0)


async def test_status_does_not_know_what_it_cannot_read_whole(commands: Commands) -> None:
    assert TOLD.format(commands.namespace) in unknown(await commands.run("status", "--output=json"), 3)


async def test_check_says_so_with_the_mend(commands: Commands) -> None:
    ended = await commands.run("check", "--output=json")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    lines = [line for section in json.loads(ended.stdout)["sections"] for line in section["checks"]]
    (reachable,) = (line for line in lines if line["code"] == "nats-reachable")
    assert TOLD.format(commands.namespace) in reachable["says"]
    assert "remove what is not needed" in reachable["hint"]
