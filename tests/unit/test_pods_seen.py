"""What the end-to-end tests believe of pods: they must notice one that leaves Ready, and one that is killed."""

from typing import Any

from support.pods_seen import End, ends, fallen

DELETED = {"deletionTimestamp": "2026-01-01T00:00:45Z"}


def pod(name: str, ready: bool, metadata: dict[str, Any] | None = None, **ended: tuple[int, str]) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready), "message": "why", "lastTransitionTime": "then"}]
    running: dict[str, Any] = {"name": "app", "restartCount": 0, "state": {"running": {}}}
    statuses = [
        {"name": each, "restartCount": 0, "state": {"terminated": {"exitCode": code, "finishedAt": at}}}
        for each, (code, at) in ended.items()
    ]
    return {
        "metadata": {"namespace": "shop", "name": name, **(metadata or {})},
        "status": {"conditions": conditions, "containerStatuses": statuses or [running]},
    }


def test_a_pod_that_leaves_ready_is_told_of_each_time() -> None:
    states = [pod("a", False), pod("b", True), pod("a", True), pod("a", False), pod("a", True), pod("a", False)]
    assert fallen(states) == ["shop/a at then: why"] * 2


def test_a_pod_that_starts_or_was_deleted_is_not() -> None:
    assert fallen([pod("a", False), pod("a", True), pod("a", False, DELETED), pod("b", False)]) == []


def test_how_containers_ended_and_whether_in_time() -> None:
    killed = pod("a", False, DELETED, app=(0, "2026-01-01T00:00:45Z"), beside=(137, "2026-01-01T00:00:46Z"))
    found = ends([pod("a", True), killed, pod("b", False, DELETED), pod("c", True)], ["a", "b", "c"])
    assert found == {"a": {"app": End(0, in_time=True), "beside": End(137, in_time=False)}}
