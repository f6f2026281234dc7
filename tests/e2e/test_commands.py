"""What `choregos check`, `status` and `plan` say of a release on real pods, from a machine that is not in its network.

NATS is found by what the release says, and reached through the API server by `kubectl port-forward`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from choregos_cli.errors import ExitCode
from support import cluster_command
from support.bus import TestBus
from support.customers import more_accepted
from support.shipping import EXAMPLE, SERVICES, Shipping
from support.waiting import eventually

FINE = {"failed": 0, "warnings": 0, "skipped": 0}


def test_check_finds_nothing_wrong_with_a_healthy_release(shipping: Shipping) -> None:
    shipping.settled(some_deliveries(shipping))
    found = checked(shipping)
    assert [line for line in lines(found) if line["level"] != "ok"] == []
    assert {name: found[name] for name in FINE} == FINE


def test_check_names_a_pod_that_has_no_ambassador(shipping: Shipping) -> None:
    with without_ambassador(shipping, "delivery") as name:
        line = {each["code"]: each for each in lines(checked(shipping))}["pods-injected"]
    assert line["level"] == "failed"
    assert name in line["says"]
    assert "rollout restart" in line["hint"]


def test_check_and_status_count_a_dead_letter(shipping: Shipping) -> None:
    before = dead_letters(shipping)
    sequence = shipping.on_bus(request_of_nothing)
    eventually(lambda: dead_letters(shipping) == before + 1, "the request becomes a dead letter")
    try:
        line = {each["code"]: each for each in lines(checked(shipping))}["dead-letters"]
        assert line["level"] == "warning"
        assert "package" in line["says"]
        assert "DeliveryRequested" in line["says"]
        assert reactions(shipping)["package", "DeliveryRequested"]["deadLetters"] == before + 1
    finally:
        shipping.on_bus(partial(remove, sequence))


def test_status_shows_every_reaction_and_its_pods(shipping: Shipping) -> None:
    shipping.settled(some_deliveries(shipping))
    declared = {
        (name, each.event)
        for name, service in shipping.choreography().spec.services.items()
        for each in service.reactions
    }
    found = reactions(shipping)
    assert found.keys() == declared
    assert {(each["waiting"], each["unacknowledged"]) for each in found.values()} == {(0, 0)}
    shown = cluster_command.on(shipping.cluster, "status", "--namespace", shipping.namespace)
    assert shown.returncode == ExitCode.FINE, shown.stderr
    assert all(service in shown.stdout for service in SERVICES)


def test_plan_says_what_an_edit_would_change_and_nothing_of_what_is_there(shipping: Shipping, tmp_path: Path) -> None:
    same = cluster_command.on(shipping.cluster, "plan", "--exit-code", str(EXAMPLE / "choreography.yaml"))
    assert same.returncode == ExitCode.FINE, same.stdout + same.stderr
    edited = tmp_path / "choreography.yaml"
    text = (EXAMPLE / "choreography.yaml").read_text()
    assert "retry: 3" in text
    edited.write_text(text.replace("retry: 3", "retry: 4"))
    planned = cluster_command.on(shipping.cluster, "plan", "--exit-code", str(edited))
    assert planned.returncode == ExitCode.CHANGES, planned.stdout + planned.stderr
    assert "reaction dronescheduler/PackageCreated" in planned.stdout
    assert "delivery.retry: 3 -> 4" in planned.stdout
    assert "delivery/DroneAssigned" not in planned.stdout


def some_deliveries(shipping: Shipping) -> list[str]:
    """Have some deliveries requested, and return their correlation ids."""
    with shipping.customers() as asking:
        more_accepted(asking, 10)
    return list(asking.accepted.values())


def checked(shipping: Shipping) -> dict[str, Any]:
    """Return what `choregos check` finds."""
    ended = cluster_command.on(shipping.cluster, "check", "--namespace", shipping.namespace, "--output=json")
    found: dict[str, Any] = json.loads(ended.stdout)
    assert ended.returncode == (ExitCode.REFUSED if found["failed"] else ExitCode.FINE), ended.stderr
    return found


def lines(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [line for section in found["sections"] for line in section["checks"]]


def reactions(shipping: Shipping) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what `choregos status` shows of each reaction."""
    ended = cluster_command.on(shipping.cluster, "status", "--namespace", shipping.namespace, "--output=json")
    assert ended.returncode == ExitCode.FINE, ended.stdout + ended.stderr
    (only,) = json.loads(ended.stdout)["choreographies"]
    return {(each["service"], each["event"]): each for each in only["reactions"]}


@contextmanager
def without_ambassador(shipping: Shipping, service: str) -> Iterator[str]:
    """Have a labelled pod run without an ambassador, as one does that started before the operator; returns its name."""
    name = f"{service}-plain"
    (template,) = shipping.pods(service)
    plain = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [without_mounts(each) for each in template["spec"]["containers"]]},
    }
    shipping.kubectl("apply", "--filename=-", stdin=json.dumps(plain))
    try:
        shipping.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=50s")
        shipping.kubectl("label", "pod", name, f"choregos.dev/service={service}")
        yield name
    finally:
        shipping.kubectl("delete", "pod", name, "--grace-period=1")


def without_mounts(container: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in container.items() if name != "volumeMounts"}


def dead_letters(shipping: Shipping) -> int:
    return shipping.on_bus(count_of_dead_letters)


async def count_of_dead_letters(bus: TestBus) -> int:
    return len(await bus.dead_letters())


async def request_of_nothing(bus: TestBus) -> int:
    """Store a request that the service refuses for good, and return its place."""
    data = b'{"deliveryId": "nothing", "weightKg": 0}'
    return await bus.publish("DeliveryRequested", data, f"nothing-{uuid4().hex}")


async def remove(sequence: int, bus: TestBus) -> None:
    """Take the request away, and what became of it: other tests ask for an outcome of all that there is."""
    await bus.api(f"STREAM.PURGE.{bus.names.dead_letter_stream}")
    await bus.api(f"STREAM.MSG.DELETE.{bus.names.event_stream}", {"seq": sequence})
