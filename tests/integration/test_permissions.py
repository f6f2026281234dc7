"""An ambassador with a user of its own: what it needs, no more, and what it says where something of that is missing."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from choregos_contract.configure import configurations
from choregos_contract.permissions import Permission, permissions
from support.ambassador import Ambassador
from support.bus import TestBus, connected, wired
from support.choreographies import choreography
from support.console_script import ROOT
from support.nats import NatsServer
from support.scene import SERVICE, metric
from support.secret import Secret
from support.service import Call, Service

BATCH = "application/cloudevents-batch+json"
MADE: dict[str, Any] = {"event": "Placed", "emits": ["Done", "Other"], "onSuccess": "Done"}
FAILED: dict[str, Any] = {
    "event": "Refused",
    "emits": ["Failed"],
    "onFailure": "Failed",
    "idempotency": {"ttl": "1h"},
}
UNREACHABLE: dict[str, Any] = {
    "event": "Waiting",
    "delivery": {"retry": 0, "backoffDelay": "5ms", "backoffMax": "5ms"},
}
STORED = ["Placed", "Refused", "Waiting", "Done", "Other", "Failed"]
QUICK = {"timeout": "10s", "retry": 1, "backoffDelay": "20ms", "backoffMax": "100ms"}
BOTH_ACKS = ("$JS.ACK.*.*.", "$JS.ACK.choregos_")
EVENTS = "choregos_shipping_default_events"
INBOX = "choregos_shipping_default_inbox"


def restricted(
    publish: Iterable[Permission], subscribe: Iterable[Permission], *, responses: bool = True, more: str = ""
) -> str:
    """A server's configuration that allows the ambassador just that."""
    granted = {
        "publish": [each.subject for each in publish],
        "subscribe": [each.subject for each in subscribe],
        "allow_responses": responses,
    }
    users = [
        {"user": "admin", "password": "admin"},
        {"user": "ambassador", "password": "secret", "permissions": granted},
    ]
    return f"authorization: {json.dumps({'users': users})}\n{more}"


@dataclass
class Guarded:
    """A service whose ambassador may do no more than it is granted."""

    server: NatsServer
    bus: TestBus
    service: Service
    ambassador: Ambassador

    def missing(self) -> list[tuple[str, str]]:
        lines = [line for line in self.ambassador.lines if line["message"] == "permission missing"]
        return [(line["action"], line["subject"]) for line in lines]

    async def settled(self, *events: str) -> None:
        for event in events:
            await self.bus.until_settled(SERVICE, event)

    async def publish(self) -> None:
        await self.bus.publish("Placed", event_id="p1")
        await self.bus.publish("Refused", event_id="r1")
        await self.bus.publish("Waiting", event_id="w1")

    async def until_told_of_expired(self, event: str) -> None:
        """Wait for the line; an advisory makes a certainty of what the figures show as a possibility."""
        told = ("events expired unread", "events may have expired unread")
        await self.ambassador.until(
            lambda: any(line["message"] in told and line["event_type"] == event for line in self.ambassador.lines)
        )

    async def order(self) -> tuple[int, str]:
        """Publish through the ambassador; returns the status, and what went wrong."""
        url = f"{self.ambassador.publish_url}/events/Ordered"
        async with aiohttp.ClientSession() as session, session.post(url, json={}) as answer:
            return answer.status, (await answer.json()).get("error", "")

    async def types(self) -> list[str]:
        return sorted((each.headers["ce-type"] for each in await self.bus.events()), key=[*STORED, "Ordered"].index)


def shop(port: int) -> Any:
    made, failed, waiting = ({**each, "path": f"/{each['event']}"} for each in (MADE, FAILED, UNREACHABLE))
    service = {"port": port, "emits": ["Ordered"], "reactions": [made, failed, {**waiting, "port": 1}]}
    return choreography({SERVICE: service}, delivery=QUICK)


@asynccontextmanager
async def guarded(directory: Path, config: str) -> AsyncIterator[Guarded]:
    secret = Secret(directory / "secret", username="ambassador", password="secret")
    with NatsServer(config) as server:
        async with connected(server.url, user="admin", password="admin") as connection, Service() as service:
            service.handler = answer
            wanted = shop(service.port)
            bus = await wired(connection, wanted)
            configuration = configurations([wanted], None, generation=1)[SERVICE]
            async with Ambassador(server.url, configuration, CHOREGOS_NATS_CREDENTIALS=str(secret)) as ambassador:
                yield Guarded(server, bus, service, ambassador)


def answer(call: Call) -> web.Response:
    """Placed: two events at the first attempt. Refused: no, at the second."""
    event = call.headers["ce-type"]
    if event == "Refused":
        return web.Response(status=500 if call.headers["choregos-attempt"] == "1" else 422)
    replies = [{"specversion": "1.0", "id": each, "source": "/s", "type": each} for each in ("Done", "Other")]
    return web.Response(body=json.dumps(replies).encode(), headers={"Content-Type": BATCH})


def without(*prefixes: str, responses: bool = True, more: str = "") -> str:
    """A server's configuration that allows what the ambassador needs, but for these subjects."""
    wanted = permissions(configurations([shop(8080)], None, generation=1)[SERVICE])
    publish, subscribe = (
        [each for each in granted if not each.subject.startswith(prefixes)]
        for granted in (wanted.publish, wanted.subscribe)
    )
    return restricted(publish, subscribe, responses=responses, more=more)


def test_the_configuration_in_the_guide_is_one_that_a_server_takes() -> None:
    guide = (ROOT / "docs" / "guides" / "nats-permissions.md").read_text()
    config = guide.partition("```conf\n")[2].partition("```")[0].replace("$PAYMENT_PASSWORD", "secret")
    with NatsServer(config) as server:
        assert "Server is ready" in server.log


@pytest.mark.parametrize(
    ("flags", "other"),
    [("feature_flags { js_ack_fc_v2: false }", "$JS.ACK.*.*."), ("", f"$JS.ACK.{EVENTS}.")],
    ids=["acks until 2.14", "acks from 2.15 on"],
)
async def test_with_what_the_guide_lists_nothing_is_missing(flags: str, other: str, tmp_path: Path) -> None:
    """Replies, a retry, the inbox, a failure event, a dead letter, notes, the publish API, the service API, the lag, what expired."""
    async with guarded(tmp_path, without(other, more=flags)) as on:
        await on.ambassador.logged("configured")
        await on.publish()
        assert (await on.order()) == (201, "")
        await on.settled("Placed", "Refused")
        asked = await on.bus.connection.request(f"{on.bus.names.root}.status.{SERVICE}", timeout=5)
        assert json.loads(asked.data)["generation"] == 1
        assert (await on.bus.connection.request("$SRV.STATS.choregos-ambassador", timeout=5)).data
        assert await on.types() == [*STORED, "Ordered"]
        assert [letter.headers["ce-id"] for letter in await on.bus.dead_letters()] == ["r1"]
        notes = f"STREAM.INFO.KV_{on.bus.names.note_bucket}"

        async def is_noted() -> bool:
            return bool((await on.bus.api(notes))["state"]["messages"])

        await on.bus.until(is_noted)
        await on.bus.until(is_measured, on)
        # Past the number from which the notes are read.
        await on.ambassador.until(lambda: len(on.ambassador.hops("hand-back")) > 13)
        await on.bus.api(f"STREAM.PURGE.{EVENTS}")
        await on.until_told_of_expired("Waiting")
        assert on.missing() == []
        assert not [line for line in on.ambassador.lines if line["message"] == "nats"]


async def is_measured(on: Guarded) -> bool:
    return await metric(on.ambassador.probes_url, "choregos_unacknowledged_events") > 0


DENIED: dict[str, tuple[str, tuple[str, ...]]] = {
    "pull": ("publish", ("$JS.API.CONSUMER.MSG.NEXT.",)),
    "acknowledge": ("publish", BOTH_ACKS),
    "store a reply": ("publish", ("choregos.shipping.default.ev.Other.",)),
    "store a failure event": ("publish", ("choregos.shipping.default.ev.Failed.",)),
    "store a dead letter": ("publish", ("choregos.shipping.default.dl.",)),
    "see the stream": ("publish", ("$JS.API.STREAM.INFO.",)),
    "look for earlier replies": ("publish", (f"$JS.API.STREAM.MSG.GET.{EVENTS}",)),
    "note a hand-back": ("publish", ("$KV.",)),
    "claim an event": ("publish", (f"$KV.{INBOX}.",)),
    "read a claim": ("publish", (f"$JS.API.STREAM.MSG.GET.KV_{INBOX}",)),
    "see how old a claim is": ("publish", (f"$JS.API.STREAM.INFO.KV_{INBOX}",)),
    "hear answers": ("subscribe", ("_INBOX.",)),
}


@pytest.mark.parametrize(("action", "subjects"), DENIED.values(), ids=DENIED.keys())
async def test_a_permission_that_is_missing_is_named_loses_nothing_and_works_once_it_is_there(
    action: str, subjects: tuple[str, ...], tmp_path: Path
) -> None:
    """Without responses, which would allow one acknowledgement of each event."""
    async with guarded(tmp_path, without(*subjects, responses=False)) as on:
        await on.publish()
        await on.ambassador.until(
            lambda: any(done == action and subject.startswith(subjects) for done, subject in on.missing())
        )
        on.server.reload(without())
        await on.settled("Placed", "Refused")
        assert await on.types() == STORED
        assert [letter.headers["ce-id"] for letter in await on.bus.dead_letters()] == ["r1"]


async def test_the_publish_api_says_which_permission_is_missing(tmp_path: Path) -> None:
    async with guarded(tmp_path, without("choregos.shipping.default.ev.Ordered.")) as on:
        await on.ambassador.logged("configured")
        status, error = await on.order()
        assert status == 503
        assert error.startswith("NATS does not permit to publish to choregos.shipping.default.ev.Ordered.")
        on.server.reload(without())
        assert await on.order() == (201, "")


async def test_what_expired_unread_is_told_without_the_permission_to_count_it(tmp_path: Path) -> None:
    async with guarded(tmp_path, without("$JS.API.CONSUMER.CREATE.")) as on:
        await on.publish()
        await on.settled("Placed", "Refused")
        await on.bus.until(is_measured, on)
        await on.bus.api(f"STREAM.PURGE.{EVENTS}")
        await on.until_told_of_expired("Waiting")
        await on.ambassador.until(lambda: bool(on.missing()))
        assert {subject.rpartition("~")[0] for _, subject in on.missing()} == {
            f"$JS.API.CONSUMER.CREATE.{EVENTS}.{on.bus.names.durable(SERVICE, 'Waiting')}"
        }


async def test_after_an_upgrade_the_permissions_of_before_cost_nothing_but_certainty_about_what_expired(
    tmp_path: Path,
) -> None:
    """What they lack is told once for each subject, and all else goes on."""
    advisories, counts = "$JS.EVENT.ADVISORY.", ("$JS.API.CONSUMER.CREATE.", "$JS.API.CONSUMER.DELETE.")
    async with guarded(tmp_path, without(advisories, *counts)) as on:
        await on.publish()
        await on.settled("Placed", "Refused")
        assert await on.types() == STORED
        assert [letter.headers["ce-id"] for letter in await on.bus.dead_letters()] == ["r1"]
        await on.bus.until(is_measured, on)
        assert sorted(action for action, _ in on.missing()) == ["subscribe"] * 3
        assert len({subject for _, subject in on.missing() if subject.startswith(advisories)}) == 3
        await on.bus.api(f"STREAM.PURGE.{EVENTS}")
        await on.until_told_of_expired("Waiting")


async def test_a_permission_that_is_missing_for_every_event_does_not_flood_the_log(tmp_path: Path) -> None:
    async with guarded(tmp_path, without(*BOTH_ACKS, responses=False)) as on:
        for number in range(100):
            await on.bus.publish("Placed", event_id=f"e{number}")
        await on.service.until_calls(100)
        await on.ambassador.until(lambda: len(on.ambassador.hops("done")) == 100)
        on.server.reload(without())
        await on.settled("Placed")
        assert 1 <= len(on.missing()) <= 3
