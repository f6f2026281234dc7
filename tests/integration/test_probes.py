"""Probes, metrics and logs of the real process: they tell of this process, and never of what is in an event."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from choregos_contract.configuration import dump
from support.ambassador import Ambassador
from support.service import always
from support.stage import BYSTANDER, SERVICE, Stage, staged
from support.waiting import wait_for

pytestmark = pytest.mark.asyncio(loop_scope="module")

DELIVERY = {"timeout": "10s", "retry": 1, "backoffDelay": "20ms", "backoffMax": "100ms"}
REACTIONS: dict[str, dict[str, Any]] = {
    "Sorted": {},
    "Packed": {"emits": ["Done", "PackingFailed"], "onSuccess": "Done", "onFailure": "PackingFailed"},
}
NOWHERE = "nats://127.0.0.1:1"

LABELS: dict[str, tuple[str, set[str]]] = {
    "choregos_hops": ("counter", {"event", "verdict"}),
    "choregos_attempt_seconds": ("histogram", {"event"}),
    "choregos_replies": ("counter", {"event"}),
    "choregos_dead_letters": ("counter", {"event", "reason"}),
    "choregos_in_flight": ("gauge", {"event"}),
    "choregos_leases_lost": ("counter", {"event"}),
    "choregos_oldest_unacknowledged_event_age_seconds": ("gauge", {"event"}),
    "choregos_oldest_unacknowledged_event_age_ratio": ("gauge", {"event"}),
    "choregos_expired_unread_events": ("counter", {"event"}),
    "choregos_consumer_present": ("gauge", {"event"}),
    "choregos_published": ("counter", {"status"}),
    "choregos_connections_shed": ("counter", {"port", "cause"}),
    "choregos_breaker_state": ("gauge", {"state"}),
    "choregos_bus_connected": ("gauge", set()),
    "choregos_bus_reconnects": ("counter", set()),
    "choregos_bus_faults": ("counter", set()),
    "choregos_draining": ("gauge", set()),
    "choregos_configuration_generation": ("gauge", set()),
    "choregos_configuration_errors": ("counter", set()),
}
VALUES = {
    "event": {"Sorted", "Packed", "Done", "PackingFailed", BYSTANDER},
    "verdict": {"done", "retry", "hand-back", "dead-letter", "lease-lost"},
    "reason": {"exhausted", "rejected", "invalid-reply", "reply-too-large", "not-an-event", "too-many-hops"},
    "port": {"publish", "probes"},
    "cause": {"full", "slow"},
    "state": {"open", "half-open", "closed"},
    "status": {"201", "400", "413", "415", "503"},
}
"""Every value that a label may have: a closed set for each, and no id, subject or path in any."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged(REACTIONS, delivery=DELIVERY, emits=("Sorted",)) as stage:
        yield stage


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def samples(ambassador: Ambassador) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and then its label values in the order of the labels' names."""
    _, text = await get(f"{ambassador.probes_url}/metrics")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_it_is_live_and_ready_before_nats_and_before_a_configuration(path: str) -> None:
    """A native sidecar that waited for either would keep the service from starting."""
    async with Ambassador(NOWHERE, None) as ambassador:
        assert (await get(ambassador.probes_url + path))[0] == 200
        found = await samples(ambassador)
        assert found["choregos_bus_connected",] == 0
        assert found["choregos_breaker_state", "open"] == 1


async def test_it_stays_live_and_ready_while_nats_and_the_service_are_away() -> None:
    async with staged(REACTIONS) as stage:
        await asyncio.to_thread(stage.server.kill)
        await stage.service.stop()
        await stage.ambassador.logged("disconnected")
        await stage.ambassador.logged("breaker", state="open")
        assert (await get(f"{stage.ambassador.probes_url}/livez"))[0] == 200
        assert (await get(f"{stage.ambassador.probes_url}/readyz"))[0] == 200
        found = await samples(stage.ambassador)
        assert found["choregos_bus_connected",] == 0
        assert found["choregos_breaker_state", "open"] == 1
        await stage.service.start()
        await asyncio.to_thread(stage.server.start)
        await stage.ambassador.until(lambda: messages(stage.ambassador).count("connected") == 2)
        found = await samples(stage.ambassador)
        assert found["choregos_bus_connected",] == 1
        assert found["choregos_bus_reconnects_total",] == 1


def messages(ambassador: Ambassador) -> list[str]:
    return [line["message"] for line in ambassador.lines]


async def test_the_probes_port_has_nothing_but_the_probes(stage: Stage) -> None:
    for path in ("/", "/events", "/events/Sorted", "/drain", "/debug"):
        assert (await get(stage.ambassador.probes_url + path))[0] == 404


async def test_every_metric_has_its_kind_and_its_labels_and_no_label_holds_an_id(stage: Stage) -> None:
    await play_each(stage)

    async def exposition() -> str:
        """Everything, once the first look at the reactions is over."""
        _, text = await get(f"{stage.ambassador.probes_url}/metrics")
        return text if text.count("choregos_pending_events{") == len(REACTIONS) + 1 else ""

    text = await wait_for(exposition)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert LABELS.keys() <= families.keys()
    for name, (kind, labels) in LABELS.items():
        family = families[name]
        assert (family.type, bool(family.documentation)) == (kind, True)
        assert family.samples or name in ("choregos_leases_lost", "choregos_published")
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == labels, name
    for family in families.values():
        assert family.name.startswith("choregos_")
        for sample in family.samples:
            strange = {k: v for k, v in sample.labels.items() if k != "le" and v not in VALUES[k]}
            assert not strange, family.name


async def play_each(stage: Stage) -> None:
    """A hop of each kind: 1 done with a reply, 1 exhausted with a failure event, 2 rejected, 1 that is no event."""
    await stage.play("Packed", always(200, b'{"n": 1}', Content_Type="application/json"))
    await stage.play("Packed", always(500))
    await stage.play("Sorted", always(422))
    await stage.play("Sorted", always(410))
    subject = stage.bus.names.event_subject("Sorted", "x")
    await stage.outcome(await stage.bus.publish_raw(subject, b"{}", {"X-Kind": "Sorted"}))


async def test_hops_are_counted_by_how_they_ended(stage: Stage) -> None:
    before = await samples(stage.ambassador)
    await play_each(stage)
    after = await samples(stage.ambassador)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["choregos_hops_total", "Packed", "done"] == 1
    assert grown["choregos_hops_total", "Packed", "retry"] == 1
    assert grown["choregos_hops_total", "Packed", "dead-letter"] == 1
    assert grown["choregos_hops_total", "Sorted", "dead-letter"] == 3
    assert grown["choregos_dead_letters_total", "Packed", "exhausted"] == 1
    assert grown["choregos_dead_letters_total", "Sorted", "rejected"] == 2
    assert grown["choregos_dead_letters_total", "Sorted", "not-an-event"] == 1
    assert grown["choregos_replies_total", "Done"] == 1
    assert grown["choregos_replies_total", "PackingFailed"] == 1
    assert grown["choregos_attempt_seconds_count", "Packed"] == 3
    assert grown["choregos_attempt_seconds_count", "Sorted"] == 2
    assert after["choregos_in_flight", "Sorted"] == 0
    assert after["choregos_consumer_present", "Sorted"] == 1
    assert after["choregos_bus_connected",] == 1
    assert after["choregos_configuration_generation",] == 1
    states = {name[1]: value for name, value in after.items() if name[0] == "choregos_breaker_state"}
    assert states == {"open": 0, "half-open": 0, "closed": 1}


async def test_an_event_in_hand_is_in_flight(stage: Stage) -> None:
    free = asyncio.Event()

    async def hold(_: Any) -> Any:
        await free.wait()
        return always(204)(_)

    called = len(stage.service.calls)
    sequence, event_id = await stage.publish("Sorted", hold)
    await stage.service.until_calls(called + 1)
    assert (await samples(stage.ambassador))["choregos_in_flight", "Sorted"] == 1
    free.set()
    await stage.outcome(sequence, event_id)


async def test_requests_to_the_publish_api_are_counted_by_status(stage: Stage) -> None:
    before = await samples(stage.ambassador)
    async with aiohttp.ClientSession() as session:
        for path, count in {"/events/Sorted": 2, "/events": 1, "/events/Undeclared": 1}.items():
            for _ in range(count):
                await session.post(stage.ambassador.publish_url + path, json={})
    after = await samples(stage.ambassador)
    name = "choregos_published_total"
    assert [after[name, status] - before.get((name, status), 0) for status in ("201", "400", "503")] == [2, 1, 1]


@pytest.mark.parametrize("document", [b"{", b'{"version": 99}', b'{"version": 1, "generation": 7, "unknown": 1}'])
async def test_a_configuration_that_cannot_be_read_is_counted_and_the_last_good_one_stays(
    stage: Stage, document: bytes
) -> None:
    before = await samples(stage.ambassador)
    known = messages(stage.ambassador).count("configuration refused")
    stage.ambassador.configure_raw(document)
    await stage.ambassador.until(lambda: messages(stage.ambassador).count("configuration refused") > known)
    after = await samples(stage.ambassador)
    name = ("choregos_configuration_errors_total",)
    assert after[name] - before[name] == 1
    assert after["choregos_configuration_generation",] == 1
    outcome = await stage.play("Packed", always(200, b"{}", Content_Type="application/json"))
    assert len(outcome.replies) == 1
    stage.ambassador.configure_raw(dump(stage.configuration))


async def test_a_log_line_of_a_hop_carries_ids_and_verdicts_and_never_a_payload(stage: Stage) -> None:
    reply = b'{"iban": "reply-secret"}'
    done = await stage.play(
        "Packed", always(200, reply, Content_Type="application/json"), b'"data-secret"', correlationid="c5"
    )
    await stage.play("Packed", always(422), b'"data-secret"')
    (line,) = done.hops
    assert line["service"] == SERVICE
    assert line["event_id"] == done.event_id
    assert line["event_type"] == "Packed"
    assert line["correlation_id"] == "c5"
    assert line["level"] == "info"
    assert line["replies"] == ["Done"]
    assert b"secret" not in stage.ambassador.output
