"""The logs of containers that are about to end, collected until they have."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from support import binaries
from support.cluster import Cluster
from support.guarded import Guarded
from support.waiting import eventually

ENDING: Final = 60.0
"""Seconds that the end of a log may come after that of its pod."""

Line = dict[str, Any]


class FollowedLogs:
    """What `kubectl logs --follow` has written of one container of each pod; its lines are JSON."""

    def __init__(self, cluster: Cluster, guarded: Guarded, namespace: str, pods: Iterable[str], container: str) -> None:
        self._guarded = guarded
        for pod in pods:
            guarded.start(
                pod, binaries.find("kubectl"), f"--kubeconfig={cluster.kubeconfig}",
                "logs", "--follow", pod, f"--namespace={namespace}", f"--container={container}",
            )  # fmt: skip

    def whole(self, pod: str) -> list[Line]:
        """Wait until the container of a pod has ended, and return all of its lines."""
        process = self._guarded.processes[pod]
        eventually(lambda: process.poll() is not None, f"the log of {pod} ends", ENDING)
        return self.lines(pod)

    def lines(self, pod: str) -> list[Line]:
        """Return the whole lines so far."""
        text = (self._guarded.directory / f"{pod}.log").read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line.startswith("{")]


@contextmanager
def followed(cluster: Cluster, namespace: str, pods: Iterable[str], container: str) -> Iterator[FollowedLogs]:
    """Follow the logs of these pods, from their beginnings, of which something has come at the start."""
    guarded = Guarded("choregos-logs-")
    try:
        logs = FollowedLogs(cluster, guarded, namespace, pods, container)
        eventually(lambda: all(logs.lines(pod) for pod in guarded.processes), "every log has begun")
        yield logs
    finally:
        guarded.close()
