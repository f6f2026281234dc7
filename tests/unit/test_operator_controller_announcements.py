"""An event is told once, when something happened, in words that hold the mend."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from choregos_contract.status import Condition
from choregos_contract.survey import Reaction
from choregos_operator.bus.state import Lost, Orphan, Restored
from choregos_operator.controller import announcements as told
from choregos_operator.controller.announcements import Announcement, Regarding, manifest, transitions
from choregos_operator.controller.labels_on_deployments import mislabelled
from choregos_operator.controller.pods import Pod

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CHOREOGRAPHY = Regarding("choregos.dev/v1alpha1", "Choreography", "shop", "orders", "u-1")
POD = Pod(namespace="shop", name="payment-1", uid="p-1", service="payment", created=NOW)
WEEK = timedelta(days=7)


def condition(type_: str, answer: str) -> Condition:
    """A condition from `True Wired`: status and reason."""
    status, reason = answer.split()
    date = "2026-05-01T12:00:00Z"
    fields = {"type": type_, "status": status, "reason": reason, "message": reason, "lastTransitionTime": date}
    return Condition.model_validate(fields)


@pytest.mark.parametrize(
    ("type_", "before", "after", "expected"),
    [
        # What is well from the beginning is told of the wiring alone.
        ("Valid", None, "True Valid", None),
        ("Wired", None, "True Wired", "Normal"),
        ("GraphComplete", None, "True Complete", None),
        ("AmbassadorsCurrent", None, "True AllCurrent", None),
        ("Valid", None, "False Invalid", "Warning"),
        ("Wired", None, "Unknown BusAway", "Warning"),
        ("GraphComplete", None, "False Conflict", "Warning"),
        # A change is told, either way; what has not changed is not.
        ("Wired", "True Wired", "Unknown BusAway", "Warning"),
        ("Wired", "Unknown BusAway", "Unknown BusAway", None),
        ("Wired", "Unknown BusAway", "True Wired", "Normal"),
        ("Wired", "Unknown BusAway", "False Refused", "Warning"),
        ("Wired", "True Wired", "True Wired", None),
        ("Wired", "True Wired", "True Drift", "Warning"),
        ("Wired", "True Drift", "True Wired", "Normal"),
        ("AmbassadorsCurrent", "True AllCurrent", "False WithoutAmbassador", "Warning"),
        ("AmbassadorsCurrent", "False WithoutAmbassador", "True AllCurrent", "Normal"),
        # Daily life.
        ("AmbassadorsCurrent", "True AllCurrent", "True NoPods", None),
        ("AmbassadorsCurrent", "True NoPods", "True AllCurrent", None),
        ("AmbassadorsCurrent", "True AllCurrent", "False Starting", None),
        ("AmbassadorsCurrent", "True AllCurrent", "False Behind", None),
        ("AmbassadorsCurrent", "False Behind", "True AllCurrent", None),
        ("AmbassadorsCurrent", "False Starting", "False Failing", "Warning"),
        # An invalid object says so once, and so does one that is mended.
        ("Wired", "True Wired", "Unknown Invalid", None),
        ("Wired", "Unknown Invalid", "True Wired", "Normal"),
        ("GraphComplete", "Unknown Invalid", "True Complete", None),
        ("GraphComplete", "Unknown Invalid", "False Conflict", "Warning"),
        ("Valid", "False Invalid", "True Valid", "Normal"),
        # The sum says nothing of its own.
        ("Ready", "True Ready", "False Invalid", None),
    ],
)
def test_a_transition_is_told_once(type_: str, before: str | None, after: str, expected: str | None) -> None:
    known = [condition(type_, before)] if before else []
    found = transitions(CHOREOGRAPHY, known, [condition(type_, after)])
    assert [each.type for each in found] == ([expected] if expected else [])
    for each in found:
        assert (each.reason, each.regarding) == (after.split()[1], CHOREOGRAPHY)


def test_a_dropped_reaction_is_told_with_the_number_of_its_events() -> None:
    pending = told.orphaned(CHOREOGRAPHY, Orphan("payment", "OrderPlaced", 12, NOW, fresh=True), WEEK)
    assert pending.type == "Warning"
    assert "payment/OrderPlaced is gone from the choreography with 12 events" in pending.message
    assert "for 7 days: put the reaction back" in pending.message
    idle = told.orphaned(CHOREOGRAPHY, Orphan("payment", "OrderPlaced", 0, NOW, fresh=True), WEEK)
    assert idle.type == "Normal"


def test_an_orphan_that_is_read_is_told_with_both_mends() -> None:
    orphan = Orphan("payment", "OrderPlaced", 12, NOW, fresh=True, in_use=True)
    announcement = told.orphaned(CHOREOGRAPHY, orphan, WEEK)
    assert (announcement.type, announcement.reason) == ("Warning", "OrphanInUse")
    assert "kept for another 7 days: stop who reads it" in announcement.message
    assert "another prefix" in announcement.message


@pytest.mark.parametrize(
    "announcement",
    [
        told.orphaned(CHOREOGRAPHY, Orphan("payment", "OrderPlaced", 12, NOW, fresh=True), WEEK),
        told.swept(CHOREOGRAPHY, Reaction("payment", "OrderPlaced")),
        told.restored(CHOREOGRAPHY, Restored("payment", "OrderPlaced", 5)),
        told.lost(CHOREOGRAPHY, Lost("payment", "OrderPlaced", "created")),
        told.remade(CHOREOGRAPHY, "choregos_shop_default_events"),
        told.edited(CHOREOGRAPHY, "ConfigMap choregos-payment"),
        told.without_ambassador(POD),
        told.evicted(POD),
    ],
)
def test_every_announcement_keeps_the_bounds_of_the_api(announcement: Announcement) -> None:
    event = manifest(announcement, instance="i" * 300, now=NOW)
    assert len(event["note"].encode()) <= 1024
    assert len(event["reason"]) <= 128
    assert len(event["reportingInstance"]) <= 128
    assert event["eventTime"] == "2026-05-01T12:00:00.000000Z"
    assert event["metadata"]["namespace"] == event["regarding"]["namespace"] == "shop"
    assert event["note"] == announcement.message


def test_a_long_note_is_cut_between_characters() -> None:
    event = manifest(Announcement("Normal", "Wired", "ß" * 1000, CHOREOGRAPHY), instance="i", now=NOW)
    assert len(event["note"].encode()) <= 1024
    assert event["note"] == "ß" * 510 + "..."


def workload(kind: str, template: dict[str, Any], labels: dict[str, str] | None) -> dict[str, Any]:
    metadata = {"name": "payment", "namespace": "shop", "uid": "w-1", "labels": labels}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {"template": template}}


LABELS = {"choregos.dev/service": "payment"}


@pytest.mark.parametrize(
    "template", [{}, {"metadata": {}}, {"metadata": {"labels": None}}, {"metadata": {"labels": {"a": "b"}}}]
)
def test_a_label_on_a_deployment_and_not_on_its_pods_is_told(template: dict[str, Any]) -> None:
    found = mislabelled(workload("Deployment", template, LABELS))
    assert found is not None
    assert found.type == "Warning"
    assert found.regarding == Regarding("apps/v1", "Deployment", "shop", "payment", "w-1")
    assert "choregos.dev/service: payment is on the Deployment, not on its pods" in found.message
    assert "write it under spec.template.metadata.labels" in found.message


def test_a_label_on_the_pods_or_nowhere_is_no_mistake() -> None:
    assert mislabelled(workload("Deployment", {"metadata": {"labels": LABELS}}, LABELS)) is None
    assert mislabelled(workload("Deployment", {}, None)) is None
    assert mislabelled(workload("Deployment", {}, {"app": "payment"})) is None
