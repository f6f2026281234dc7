"""Making anew, where the settings allow it, the pods that started without their ambassador.

Never a pod that nobody makes anew, never a Job's, one pod of a service at a time, never while another of it is on its
way or soon after another, and only after a dry run has shown that the next one would have an ambassador: a webhook that
is still away must not cost a service its pods. PodDisruptionBudgets are heeded by the API server.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from choregos_operator.controller.api import Api, ApiError, Conflict, NotThere, Refused
from choregos_operator.controller.pods import Ambassador, Pod, has_ambassador
from choregos_operator.kube import Away, Body

MAKERS: Final = frozenset(
    {
        ("apps", "ReplicaSet"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("", "ReplicationController"),
    }
)
"""Group and kind of the controllers that surely make a pod anew; of others nobody knows whether the work is lost."""
PAUSE: Final = timedelta(seconds=30)
"""Between two evictions of a service: a StatefulSet's next pod is only made, and seen, some time after the last is gone."""
_KEPT_METADATA: Final = ("labels", "annotations")


def candidates(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Return at most one pod of each service that should be made anew, from all labelled pods of a namespace."""
    by_service: dict[str, list[Pod]] = {}
    for pod in pods:
        by_service.setdefault(pod.service, []).append(pod)
    chosen = []
    for of_service in by_service.values():
        if _at_rest(of_service):
            # Pods that serve nobody yet go first.
            without = sorted((pod for pod in of_service if _may_go(pod)), key=lambda pod: (pod.ready, pod.name))
            chosen += without[:1]
    return tuple(chosen)


class Evictions:
    """Evicts, and remembers of which service it did lately; a controller that starts anew has forgotten it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._last: dict[tuple[str, str], datetime] = {}

    def due(self, pods: Iterable[Pod], now: datetime) -> tuple[Pod, ...]:
        """Return the candidates whose service lost no pod lately."""
        self._last = {service: last for service, last in self._last.items() if now - last < PAUSE}
        return tuple(pod for pod in candidates(pods) if _service(pod) not in self._last)

    def again(self, pods: Iterable[Pod], now: datetime) -> float | None:
        """Return the seconds until the first of the candidates that have to wait is due."""
        waiting = [self._last[service] for pod in candidates(pods) if (service := _service(pod)) in self._last]
        return max((min(waiting) + PAUSE - now).total_seconds(), 0.0) if waiting else None

    async def evict(self, pod: Pod, now: datetime) -> str:
        """Evict a pod if the next one would have an ambassador; returns why not, or nothing.

        Raises Away, Forbidden.
        """
        if why_not := await _hindrance(self._api, pod):
            return why_not
        # Before it is asked: an answer may be lost, and a budget that says "not now" need not be asked all the time.
        self._last[_service(pod)] = now
        try:
            return await _evicted(self._api, pod)
        except ApiError:
            del self._last[_service(pod)]  # a right is missing: nothing was evicted
            raise


def anew(body: Body) -> dict[str, Any]:
    """Return the pod as its owner would make it: without name, node, and what the API server filled in by itself."""
    metadata = {key: body["metadata"][key] for key in _KEPT_METADATA if key in body["metadata"]}
    metadata["generateName"] = "choregos-dry-run-"
    spec = {key: value for key, value in body["spec"].items() if key not in ("nodeName", "ephemeralContainers")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


async def _hindrance(api: Api, pod: Pod) -> str:
    """Return why the pod should stay as it is, or nothing."""
    try:
        body = await api.get_pod(pod.namespace, pod.name)
        if body["metadata"]["uid"] != pod.uid:
            return "it is gone already"
        if not has_ambassador(await api.try_pod(pod.namespace, anew(body))):
            return "the next one would have no ambassador either, as a dry run shows"
    except NotThere:
        return "it is gone already"
    except Refused as error:
        return f"the next one would be refused: {error}"
    return ""


async def _evicted(api: Api, pod: Pod) -> str:
    try:
        await api.evict_pod(pod.namespace, pod.name, pod.uid)
    except (NotThere, Conflict):
        return "it is gone already"
    except Away as error:
        # 429 is how a budget says "not now".
        return str(error)
    return ""


def _service(pod: Pod) -> tuple[str, str]:
    return pod.namespace, pod.service


def _may_go(pod: Pod) -> bool:
    if not pod.counts or pod.ambassador is not Ambassador.ABSENT or pod.owner is None:
        return False
    group = pod.owner.api_version.rpartition("/")[0]
    return (group, pod.owner.kind) in MAKERS


def _at_rest(pods: Iterable[Pod]) -> bool:
    """Whether no pod of the service leaves, and each that has an ambassador serves: else the last change is not over."""
    return not any(
        pod.leaving or (pod.ambassador is not Ambassador.ABSENT and not pod.ready) for pod in pods if not pod.over
    )
