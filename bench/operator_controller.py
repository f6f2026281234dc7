"""What the controller takes: from apply to wired, from an edit to ambassadors that know it, and in a minute of nothing."""

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from operator_api import Object, Watched, stands
from operator_documents import GROUP, Layout, choreography, name, pod, running, services
from operator_kubelet import Kubelet
from operator_load import spread
from operator_stage import Stage
from stage import cpu_seconds, rss_mib

Place = tuple[str, int]
"""Namespace and number of a choreography."""
ALONE = 5
"""Choreographies that are applied alone, one after the other, each in a namespace of its own."""


@dataclass(frozen=True)
class Controller:
    """What was measured of the controller; times are seconds."""

    one_wired: float
    """Median of a few, on a cluster without others."""
    all_wired: float
    """From the first apply to the last choreography wired."""
    one_more_wired: float
    """One more, beside all of them."""
    controller_cpu: float
    """Seconds of CPU time while all were wired."""
    edit_current: list[float]
    """From the first edit until the status of all edited choreographies says that all their ambassadors are current."""
    api_per_second: float
    """Requests to the API server in a steady time."""
    webhook_api_per_second: float
    nats_per_second: float
    steady_cpu: float
    """Share of a core in a steady time, in per cent."""
    rss_mib: float
    rss_peak_mib: float


async def measure(the: Stage, layout: Layout, *, sample: int, edits: int, steady: float) -> Controller:
    """Measure a layout."""
    alone = [(f"alone-{number}", 900 + number) for number in range(ALONE)]
    one = [await _wired(the, [each]) for each in alone]
    await _delete(the, alone)
    before = cpu_seconds(the.controller.pid)
    everything = await _wired(the, layout.all)
    cpu = cpu_seconds(the.controller.pid) - before
    one_more = await _wired(the, [(layout.places[0], layout.choreographies)])
    pods = await _pods(the, layout)
    edited = layout.all[: max(1, sample // len(services(0)))]
    async with Kubelet(the.api, the.nats.url) as kubelet:
        await kubelet.run([each for each in pods if _belongs(each, edited)])
        await _until(the, layout.all, "AmbassadorsCurrent")
        current = [await _edited(the, edited, number) for number in range(edits)]
        counted = await _steady(the, steady)
    return Controller(
        statistics.median(one),
        everything,
        one_more,
        cpu,
        current,
        *counted,
        rss_mib(the.controller.pid),
        _peak_mib(the.controller.pid),
    )


async def _wired(the: Stage, places: Sequence[Place]) -> float:
    """Apply choreographies, several at a time; returns the seconds until all of them are wired."""
    known = {each["metadata"]["name"] for each in (await the.api.get("/api/v1/namespaces"))["items"]}
    await the.namespaces(dict.fromkeys(place for place, _ in places if place not in known))
    path = f"/apis/{GROUP}/namespaces/{{}}/choreographies"
    began = time.perf_counter()
    await spread(lambda at: the.api.create(path.format(at[0]), choreography(*at)), places)
    return await _until(the, places, "Wired") - began


async def _delete(the: Stage, places: Sequence[Place]) -> None:
    for place, number in places:
        await the.api.delete(f"/apis/{GROUP}/namespaces/{place}/choreographies/{name(number)}")
    await the.choreographies.until(
        lambda seen: not any((place, name(number)) in seen.objects for place, number in places), "they are deleted"
    )


async def _pods(the: Stage, layout: Layout) -> list[Object]:
    """Make a pod of each service, of which the webhook is asked, and have all of them run."""
    wanted = [pod(place, f"{service}-0", service) for place, number in layout.all for service in services(number)]
    made = list[Object]()

    async def make(each: Object) -> None:
        path = f"/api/v1/namespaces/{each['metadata']['namespace']}/pods"
        made.append(await the.api.create(path, each))
        await the.api.patch(f"{path}/{each['metadata']['name']}/status", running())

    await spread(make, wanted)
    return made


async def _edited(the: Stage, places: Sequence[Place], number: int) -> float:
    """Edit choreographies so that every service of theirs is told; returns the seconds until all ambassadors know."""
    edit = {"spec": {"delivery": {"timeout": f"{11 + number}s"}}}
    began = time.perf_counter()
    for place, each in places:
        patched = await the.api.patch(f"/apis/{GROUP}/namespaces/{place}/choreographies/{name(each)}", edit)
        await the.choreographies.until(partial(_is_seen, patched), "the edit is seen")
    return await _until(the, places, "AmbassadorsCurrent") - began


async def _steady(the: Stage, seconds: float) -> tuple[float, float, float, float]:
    """Count what is asked while nothing happens; returns three rates, and the share of a core in per cent."""
    await asyncio.sleep(10.0)  # what the last edit left to do
    api, webhook, nats = the.asked_api("controller"), the.asked_api("webhook"), the.nats.asked()
    cpu, began = cpu_seconds(the.controller.pid), time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - began
    return (
        (the.asked_api("controller") - api) / elapsed,
        (the.asked_api("webhook") - webhook) / elapsed,
        (the.nats.asked() - nats) / elapsed,
        100 * (cpu_seconds(the.controller.pid) - cpu) / elapsed,
    )


async def _until(the: Stage, places: Sequence[Place], condition: str) -> float:
    """Return the moment at which a condition of choreographies is true; raises RuntimeError with those that lack it."""

    def lacking(seen: Watched) -> list[Object | None]:
        found = (seen.objects.get((place, name(number))) for place, number in places)
        return [each for each in found if not stands(each, condition)]

    try:
        return await the.choreographies.until(lambda seen: not lacking(seen), f"all are {condition}")
    except RuntimeError as error:
        for each in lacking(the.choreographies):
            error.add_note(json.dumps(each and each["metadata"] | {"status": each.get("status")}))
        raise


def _is_seen(patched: Object, seen: Watched) -> bool:
    metadata = patched["metadata"]
    known = seen.objects[metadata["namespace"], metadata["name"]]["metadata"]
    return bool(known["generation"] >= metadata["generation"])


def _belongs(made: Object, places: Sequence[Place]) -> bool:
    return any(made["metadata"]["name"].removesuffix("-0") in services(number) for _, number in places)


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
