"""Telling pods that their configuration has changed.

The kubelet looks at a pod's volumes at once when the pod's object changes, otherwise after up to 90 seconds. So when the
ConfigMap is written, an annotation of the pod follows, never before it.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from choregos_operator.annotations import CONFIGURATION_GENERATION, CONFIGURATION_HASH
from choregos_operator.controller.ambassadors import told
from choregos_operator.controller.api import Api, NotThere
from choregos_operator.controller.configmaps import Target
from choregos_operator.controller.pods import Ambassador, Pod

AT_ONCE: Final = 8
"""Pods that are touched at one time."""


@dataclass(frozen=True, slots=True)
class Nudge:
    """A pod, and what it is told of."""

    namespace: str
    name: str
    hash: str
    generation: int

    @property
    def annotations(self) -> dict[str, str]:
        """What is written on the pod."""
        return {CONFIGURATION_HASH: self.hash, CONFIGURATION_GENERATION: str(self.generation)}


def nudges(pods: Iterable[Pod], targets: Mapping[str, Target]) -> tuple[Nudge, ...]:
    """Return the pods to touch: those with an ambassador that were not told of the present document."""
    return tuple(
        Nudge(pod.namespace, pod.name, target.hash, target.generation)
        for pod in pods
        if pod.counts and pod.ambassador is not Ambassador.ABSENT and (target := targets.get(pod.service)) is not None
        if not told(pod, target)
    )


def farewells(undeclared: Iterable[Pod]) -> tuple[Nudge, ...]:
    """Return the pods of services that nobody declares any more, as far as they have yet to hear of it."""
    return tuple(
        Nudge(pod.namespace, pod.name, "", 0)
        for pod in undeclared
        if pod.counts and pod.ambassador is not Ambassador.ABSENT and pod.hash
    )


async def nudge(api: Api, wanted: Iterable[Nudge]) -> int:
    """Touch these pods; returns how many there still were. Raises the errors of `api` once all were tried."""
    room = asyncio.Semaphore(AT_ONCE)

    async def touch(each: Nudge) -> bool:
        async with room:
            try:
                await api.annotate_pod(each.namespace, each.name, each.annotations)
            except NotThere:
                return False
            return True

    outcomes = await asyncio.gather(*map(touch, wanted), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return sum(outcome is True for outcome in outcomes)
