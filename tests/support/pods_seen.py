"""Every state of pods that the API server told of meanwhile, the last ones of pods that are gone included."""

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from support import binaries
from support.cluster import Cluster
from support.guarded import Guarded
from support.waiting import eventually

_WATCH: Final = "watch"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class End:
    """How a container of a pod ended that was deleted."""

    code: int
    in_time: bool
    """Within the grace period of its pod."""


class PodsSeen:
    """What `kubectl get pods --watch` has written so far."""

    def __init__(self, cluster: Cluster, guarded: Guarded) -> None:
        self._cluster = cluster
        self._guarded = guarded
        guarded.start(
            _WATCH, binaries.find("kubectl"), f"--kubeconfig={cluster.kubeconfig}",
            "get", "pods", "--all-namespaces", "--watch", "--output=json",
        )  # fmt: skip

    def states(self) -> Iterator[Manifest]:
        """Yield each state of each pod, in the order in which they came."""
        text, decoder, position = self._text(), json.JSONDecoder(), 0
        while (position := text.find("{", position)) >= 0:
            try:
                state, position = decoder.raw_decode(text, position)
            except json.JSONDecodeError:
                return  # the last one is still being written
            yield state

    def fallen(self) -> list[str]:
        """Tell of each time that a pod left Ready although nobody had deleted it."""
        return fallen(self.states())

    def ends(self, pods: Collection[str]) -> dict[str, dict[str, End]]:
        """Return how the containers of those of these pods ended that are gone, by names of pods and containers."""
        return ends(self.states(), pods)

    def restarts(self) -> dict[str, int]:
        """Return how often containers of pods were started again, where they were."""
        counts = {
            f"{_name(pod)}/{each['name']}": each["restartCount"] for pod in self.states() for each in _statuses(pod)
        }
        return {name: count for name, count in counts.items() if count}

    def _text(self) -> str:
        assert self._guarded.processes[_WATCH].poll() is None, "the watch of pods has ended"
        return (self._guarded.directory / f"{_WATCH}.log").read_text()


@contextmanager
def watched(cluster: Cluster) -> Iterator[PodsSeen]:
    """Watch the pods of all namespaces meanwhile; those that are there have been seen at the start."""
    guarded = Guarded("choregos-pods-")
    try:
        seen = PodsSeen(cluster, guarded)
        there = {_name(pod) for pod in cluster.get("pods", "--all-namespaces")["items"]}
        eventually(lambda: there <= {_name(pod) for pod in seen.states()}, "every pod was seen")
        yield seen
    finally:
        guarded.close()


def fallen(states: Iterable[Manifest]) -> list[str]:
    """Tell of each time that a pod left Ready although nobody had deleted it."""
    told, ready = [], dict[str, bool]()
    for pod in states:
        condition = _condition(pod, "Ready")
        now = condition.get("status") == "True"
        if ready.get(_name(pod)) and not now and "deletionTimestamp" not in pod["metadata"]:
            told.append(f"{_name(pod)} at {condition.get('lastTransitionTime')}: {condition.get('message')}")
        ready[_name(pod)] = now
    return told


def ends(states: Iterable[Manifest], pods: Collection[str]) -> dict[str, dict[str, End]]:
    """Return how the containers of those of these pods ended that were deleted, once none of them runs."""
    last = {pod["metadata"]["name"]: pod for pod in states if "deletionTimestamp" in pod["metadata"]}
    return {name: found for name in pods if name in last and (found := _ends(last[name]))}


def _name(pod: Manifest) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _condition(pod: Manifest, kind: str) -> Manifest:
    return next((each for each in pod["status"].get("conditions", []) if each["type"] == kind), {})


def _statuses(pod: Manifest) -> list[Manifest]:
    status = pod["status"]
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _ends(pod: Manifest) -> dict[str, End]:
    """Return how all containers ended; nothing while one of them still runs."""
    ended = {each["name"]: each["state"].get("terminated") for each in _statuses(pod)}
    if not all(ended.values()):
        return {}
    # RFC 3339, both in UTC and of whole seconds, so that their order is that of the letters.
    last = pod["metadata"]["deletionTimestamp"]
    return {name: End(each["exitCode"], each["finishedAt"] <= last) for name, each in ended.items()}
