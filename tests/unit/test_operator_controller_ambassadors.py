"""Who counts as current, who is told of a new configuration, and who may be evicted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_operator.controller.ambassadors import Standing, ambassadors, standing
from choregos_operator.controller.api import Api
from choregos_operator.controller.configmaps import Target
from choregos_operator.controller.eviction import PAUSE, Evictions, anew, candidates
from choregos_operator.controller.nudge import Nudge, farewells, nudges
from choregos_operator.controller.pods import Ambassador, Owner, Pod, pod_of
from choregos_operator.kube import Away

WRITTEN = datetime(2026, 5, 1, 12, tzinfo=UTC)
TARGET = Target("wanted", 3, "default", WRITTEN, "here")
REPLICA_SET = Owner("apps/v1", "ReplicaSet", "payment-1")
POD = Pod(
    namespace="shop",
    name="payment-1-a",
    uid="p-1",
    service="payment",
    created=WRITTEN + timedelta(hours=1),
    ambassador=Ambassador.RUNNING,
    hash="wanted",
    bus="default",
    bus_hash="here",
    ready=True,
    owner=REPLICA_SET,
)
WITHOUT = replace(POD, name="w", ambassador=Ambassador.ABSENT, hash="", bus="")


def body(**changes: Any) -> dict[str, Any]:
    """A running, injected pod as the API server holds it."""
    metadata = {
        "name": "payment-1-a",
        "namespace": "shop",
        "uid": "p-1",
        "creationTimestamp": "2026-05-01T13:00:00Z",
        "labels": {"choregos.dev/service": "payment", "choregos.dev/injected": "true"},
        "annotations": {
            "choregos.dev/configuration-hash": "wanted",
            "choregos.dev/bus": "default",
            "choregos.dev/bus-hash": "here",
        },
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Odd", "name": "o", "uid": "o"},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "payment-1", "uid": "r", "controller": True},
        ],
    }
    status = {
        "phase": "Running",
        "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
        "initContainerStatuses": [{"name": "choregos-ambassador", "state": {"running": {}}}],
    }
    spec = {"initContainers": [{"name": "choregos-ambassador"}], "containers": [{"name": "app"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata | changes.get("metadata", {}),
        "spec": changes.get("spec", spec),
        "status": changes.get("status", status),
    }


def state(**fields: Any) -> dict[str, Any]:
    return body(status={"initContainerStatuses": [{"name": "choregos-ambassador", "state": fields}]})


def test_a_pod_is_read_whole() -> None:
    assert pod_of(body()) == POD


@pytest.mark.parametrize(
    ("object_", "field", "value"),
    [
        (body(spec={"containers": [{"name": "app"}]}), "ambassador", Ambassador.ABSENT),
        (body(status={}), "ambassador", Ambassador.STARTING),
        (state(waiting={}), "ambassador", Ambassador.STARTING),
        (state(waiting={"reason": "PodInitializing"}), "ambassador", Ambassador.STARTING),
        (state(waiting={"reason": "ImagePullBackOff"}), "ambassador", Ambassador.FAILING),
        (state(waiting={"reason": "CrashLoopBackOff"}), "complaint", "CrashLoopBackOff"),
        (state(terminated={"reason": "OOMKilled"}), "complaint", "OOMKilled"),
        (body(status={"phase": "Succeeded"}), "over", True),
        (body(status={"phase": "Failed"}), "over", True),
        (body(metadata={"deletionTimestamp": "2026-05-01T14:00:00Z"}), "leaving", True),
        (body(metadata={"annotations": {"choregos.dev/inject": "false"}}), "declined", True),
        (body(metadata={"annotations": {"choregos.dev/configuration-generation": "3"}}), "generation", 3),
        (body(metadata={"annotations": {"choregos.dev/configuration-generation": "³"}}), "generation", 0),
        (body(metadata={"ownerReferences": []}), "owner", None),
        (body(status={}), "ready", False),
    ],
)
def test_what_a_pod_says_of_itself_is_understood(object_: dict[str, Any], field: str, value: object) -> None:
    assert getattr(pod_of(object_), field) == value


@pytest.mark.parametrize(
    ("pod", "loaded", "stands"),
    [
        (POD, None, Standing.CURRENT),
        (POD, 3, Standing.CURRENT),
        (POD, 2, Standing.BEHIND),
        (replace(POD, hash="older"), None, Standing.BEHIND),
        # The kubelet was faster than our look at the pod.
        (replace(POD, hash="older"), 3, Standing.CURRENT),
        # Told the hash by a webhook that knew of it before the ConfigMap was written.
        (replace(POD, created=WRITTEN - timedelta(seconds=5)), None, Standing.BEHIND),
        (replace(POD, created=WRITTEN + timedelta(seconds=5)), None, Standing.BEHIND),
        (replace(POD, created=WRITTEN - timedelta(seconds=5), generation=3), None, Standing.CURRENT),
        (replace(POD, generation=2), None, Standing.BEHIND),
        (replace(POD, ambassador=Ambassador.STARTING), None, Standing.STARTING),
        (replace(POD, ambassador=Ambassador.FAILING), 3, Standing.FAILING),
        (replace(POD, bus="other"), 3, Standing.ASTRAY),
        (replace(POD, bus=""), 3, Standing.CURRENT),
        (replace(POD, bus_hash="left"), None, Standing.ASTRAY),
        (replace(POD, bus_hash="left", ambassador=Ambassador.FAILING), None, Standing.ASTRAY),
        (replace(POD, bus_hash="left"), 2, Standing.ASTRAY),
        # The same servers by another name: it answers there.
        (replace(POD, bus_hash="left"), 3, Standing.CURRENT),
        (replace(POD, bus_hash=""), None, Standing.CURRENT),
        (replace(WITHOUT, bus_hash="left"), None, Standing.WITHOUT),
        (WITHOUT, None, Standing.WITHOUT),
        (replace(WITHOUT, bus="other"), None, Standing.WITHOUT),
    ],
)
def test_a_pod_stands_towards_its_configuration(pod: Pod, loaded: int | None, stands: Standing) -> None:
    assert standing(pod, TARGET, loaded) is stands


def test_pods_that_are_over_leaving_or_declined_do_not_count() -> None:
    others = [replace(WITHOUT, over=True), replace(WITHOUT, leaving=True), replace(WITHOUT, declined=True)]
    found = ambassadors([POD, *others], {"payment": TARGET})
    assert (found.current, found.total) == (1, 1)


def test_pods_are_counted_by_how_they_stand() -> None:
    pods = [POD, replace(POD, name="b", hash="older"), WITHOUT, replace(POD, name="d")]
    found = ambassadors(pods, {"payment": TARGET}, {"d": 2})
    assert (found.current, found.total) == (1, 4)
    assert [pod.name for pod in found.of(Standing.BEHIND)] == ["b", "d"]
    assert found.of(Standing.WITHOUT) == (WITHOUT,)


def test_a_pod_is_nudged_until_it_was_told_and_never_again() -> None:
    behind = replace(POD, hash="older", generation=2)
    early = replace(POD, name="early", created=WRITTEN)
    found = nudges([POD, behind, early, WITHOUT, replace(behind, leaving=True)], {"payment": TARGET})
    assert found == (
        Nudge("shop", behind.name, "wanted", 3),
        Nudge("shop", "early", "wanted", 3),
    )
    for pod in (behind, early):
        assert nudges([replace(pod, hash="wanted", generation=3)], {"payment": TARGET}) == ()
    assert nudges([behind], {}) == ()


@given(
    st.sampled_from(["wanted", "older", ""]),
    st.integers(0, 4),
    st.integers(-100, 100),
    st.sampled_from([Ambassador.RUNNING, Ambassador.STARTING]),
)
def test_who_is_behind_by_what_it_was_told_is_nudged_and_nobody_else(
    hash_: str, generation: int, age: int, ambassador: Ambassador
) -> None:
    created = WRITTEN + timedelta(seconds=age)
    pod = replace(POD, hash=hash_, generation=generation, created=created, ambassador=ambassador)
    nudged = bool(nudges([pod], {"payment": TARGET}))
    assert nudged == (standing(replace(pod, ambassador=Ambassador.RUNNING), TARGET) is Standing.BEHIND)


def test_pods_of_a_service_that_nobody_declares_any_more_are_told_once_that_their_configuration_is_gone() -> None:
    told = replace(POD, hash="")
    assert farewells([POD, told, WITHOUT, replace(POD, leaving=True)]) == (Nudge("shop", POD.name, "", 0),)


@pytest.mark.parametrize(
    ("pods", "chosen"),
    [
        ([WITHOUT], ["w"]),
        ([POD], []),
        ([POD, WITHOUT], ["w"]),
        ([WITHOUT, replace(WITHOUT, name="v")], ["v"]),
        ([WITHOUT, replace(WITHOUT, name="x", ready=False)], ["x"]),
        ([WITHOUT, replace(WITHOUT, name="o", service="other")], ["w", "o"]),
        ([replace(WITHOUT, owner=None)], []),
        ([replace(WITHOUT, owner=Owner("batch/v1", "Job", "j"))], []),
        ([replace(WITHOUT, owner=Owner("argoproj.io/v1alpha1", "Workflow", "f"))], []),
        ([replace(WITHOUT, owner=Owner("example.org/v1", "ReplicaSet", "f"))], []),
        ([replace(WITHOUT, owner=Owner("v1", "ReplicationController", "r"))], ["w"]),
        ([replace(WITHOUT, declined=True)], []),
        ([replace(WITHOUT, over=True)], []),
        # The last eviction is not over yet: its pod leaves, or the new one does not serve yet.
        ([WITHOUT, replace(WITHOUT, name="l", leaving=True)], []),
        ([WITHOUT, replace(POD, ready=False)], []),
        ([WITHOUT, replace(POD, ready=False, over=True)], ["w"]),
    ],
)
def test_one_pod_of_a_service_is_evicted_at_a_time_and_only_one_that_is_made_anew(
    pods: list[Pod], chosen: list[str]
) -> None:
    assert [pod.name for pod in candidates(pods)] == chosen


class Evicting:
    """An API server that evicts all that it is asked to, or what it says instead."""

    def __init__(self, *, injects: bool = True, says: Exception | None = None) -> None:
        self._injects, self._says = injects, says

    async def get_pod(self, _: str, name: str) -> Any:
        return {"metadata": {"name": name, "uid": WITHOUT.uid}, "spec": {"containers": []}}

    async def try_pod(self, _: str, manifest: Any) -> Any:
        ambassador = {"initContainers": [{"name": "choregos-ambassador"}]} if self._injects else {}
        return {**manifest, "spec": manifest["spec"] | ambassador}

    async def evict_pod(self, *_: str) -> None:
        if self._says:
            raise self._says


A, B = replace(WITHOUT, name="a"), replace(WITHOUT, name="b")
OTHER = replace(WITHOUT, name="o", service="other")


def evictions(**answers: Any) -> Evictions:
    return Evictions(cast("Api", Evicting(**answers)))


async def test_between_the_end_of_a_pod_and_the_news_of_its_successor_no_other_of_the_service_is_evicted() -> None:
    lately = evictions()
    assert lately.due([A, B, OTHER], WRITTEN) == (A, OTHER)
    assert await lately.evict(A, WRITTEN) == ""
    # A is gone; a StatefulSet has not made it anew, or nobody has heard of it.
    soon = WRITTEN + timedelta(seconds=29)
    assert lately.due([B, OTHER], soon) == (OTHER,)
    assert lately.again([B, OTHER], soon) == 1
    after = WRITTEN + PAUSE
    starting = replace(POD, ready=False)
    assert lately.due([B, starting], after) == (), "nor before the successor serves, however long that takes"
    assert lately.due([B, POD], after) == (B,)
    assert lately.again([B, POD], after) is None


@pytest.mark.parametrize(
    ("answers", "waits"),
    [
        ({"says": Away("no answer")}, True),
        ({"injects": False}, False),
    ],
    ids=["an answer that is lost", "a dry run without an ambassador"],
)
async def test_what_may_have_evicted_a_pod_counts_and_what_cannot_have_does_not(
    answers: dict[str, Any], waits: bool
) -> None:
    lately = evictions(**answers)
    assert await lately.evict(A, WRITTEN) != ""
    assert (lately.due([A, B], WRITTEN) == ()) is waits


def test_a_dry_run_takes_the_pod_without_what_makes_it_this_one() -> None:
    running = body()
    running["spec"] |= {"nodeName": "n1", "ephemeralContainers": [{"name": "debug"}], "priority": 0}
    again = anew(running)
    assert again["metadata"].keys() == {"labels", "annotations", "generateName"}
    assert again["spec"].keys() == {"initContainers", "containers", "priority"}
    assert "status" not in again
    assert running["spec"]["nodeName"] == "n1"
