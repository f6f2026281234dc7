"""What is kept of objects costs a fraction of them, and says the same; and many durables cost many times one, not its square."""

from collections import UserDict
from typing import Any

import pytest

from choregos_contract.plan import Existing
from choregos_contract.survey import BusSurvey, DurableState
from choregos_contract.wiring import wanted
from choregos_operator.bus.memory import Memory
from choregos_operator.controller.observed import PODS
from choregos_operator.controller.pods import pod_of
from choregos_operator.kube import Kind, Listing
from choregos_operator.mirror import Mirror
from support import labelled_pods
from support.choreographies import choreography

WRITERS = [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}]
STATUS = {
    "phase": "Running",
    "podIP": "10.0.0.1",
    "conditions": [{"type": "Ready", "status": "True"}],
    "initContainerStatuses": [{"name": "choregos-ambassador", "state": {"running": {}}}],
    "containerStatuses": [{"name": "app", "state": {"running": {}}}],
}


def stored(body: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """An object as the API server holds it."""
    metadata = {
        "name": "one",
        "namespace": "shipping",
        "uid": "1",
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": WRITERS,
    }
    return {**body, "metadata": body["metadata"] | metadata, **parts}


@pytest.mark.parametrize("name", labelled_pods.PODS)
def test_what_is_kept_of_a_pod_says_the_same(name: str) -> None:
    sidecar = {"name": "choregos-ambassador", "image": "ambassador:1"}
    body = stored(labelled_pods.PODS[name], status=STATUS)
    for each in (body, {**body, "spec": body["spec"] | {"initContainers": [sidecar]}}):
        assert pod_of(PODS.kept(each)) == pod_of(each)
        assert PODS.kept(PODS.kept(each)) == PODS.kept(each)
    assert "resources" not in str(PODS.kept(body))


def test_nothing_is_kept_of_who_wrote_which_field_whichever_way_an_object_came() -> None:
    kind = Kind("", "v1", "configmaps", "ConfigMap")
    told: list[Any] = []
    mirror = Mirror(lambda _kind, body, _there: told.append(body))
    body = stored({"metadata": {}, "data": {"key": "value"}})
    mirror.put(kind, body)
    mirror.replace(kind, Listing(8, (stored({"metadata": {}}) | {"metadata": body["metadata"] | {"name": "two"}},)))
    assert [each["metadata"]["name"] for each in told] == ["one", "one", "two"]
    assert all("managedFields" not in each["metadata"] for each in [*told, *mirror.of(kind)])
    assert told[0]["data"] == {"key": "value"}
    assert body["metadata"]["managedFields"] == WRITERS, "what somebody else holds is not touched"


class Counted(UserDict[str, DurableState]):
    """Counts how often everything is looked through."""

    looks = 0

    def values(self) -> Any:
        self.looks += 1
        return super().values()


def test_the_places_of_many_durables_are_looked_through_once() -> None:
    shop = choreography({"payment": {"reactions": [{"event": f"Ordered{number}"} for number in range(20)]}})
    bus = wanted([shop], None, "shipping")
    seen = Counted({each.name: DurableState(each.name, Existing({"metadata": {}}, "")) for each in bus.durables})
    memory = Memory("events", BusSurvey({}, seen, frozenset(), {}), None, frozenset())
    assert [memory.placed(each).name for each in bus.durables] == [each.name for each in bus.durables]
    assert seen.looks == 1
