"""Somebody who has pods with an ambassador made all the time, and remembers which the API server refused.

A dry run on the server: every webhook is asked, and nothing is stored.
"""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from support.cluster import Cluster
from support.kubectl import KubectlError
from support.probe_pods import container, pod
from support.waiting import eventually


@dataclass
class Admissions:
    """What was asked for, and what came of it."""

    injected: int = 0
    """Pods that came back with an ambassador."""
    refusals: list[str] = field(default_factory=list)
    """What the API server said of the others."""
    _ended: threading.Event = field(default_factory=threading.Event)

    def more(self, count: int, patience: float = 60.0) -> None:
        """Wait until so many more pods were admitted."""
        wanted = self.injected + count
        eventually(lambda: self.injected >= wanted or self.refusals, f"{wanted} pods are admitted", patience)

    def ask(self, cluster: Cluster, namespace: str, labelled: dict[str, Any]) -> None:
        """Have pods made until told to end."""
        arguments = ("create", "--dry-run=server", "--output=json", f"--namespace={namespace}", "--filename=-")
        while not self._ended.is_set():
            try:
                made = json.loads(cluster.kubectl(*arguments, stdin=json.dumps(labelled)))
            except KubectlError as error:
                self.refusals.append(str(error))
            else:
                sidecars = [each["name"] for each in made["spec"].get("initContainers", ())]
                if sidecars == ["choregos-ambassador"]:
                    self.injected += 1
                else:
                    self.refusals.append(f"admitted with {sidecars}")

    def end(self) -> None:
        """Ask for no further pod."""
        self._ended.set()


@contextmanager
def admissions(cluster: Cluster, namespace: str, service: str) -> Iterator[Admissions]:
    """Have pods of a service made meanwhile, one after the other."""
    labelled = pod("tried", container("app", "pause"))
    labelled["metadata"] = {"generateName": "tried-", "labels": {"choregos.dev/service": service}}
    asking = Admissions()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(asking.ask, cluster, namespace, labelled)
        try:
            yield asking
        finally:
            asking.end()
    running.result()
