"""One controller at a time: the Lease on a real API server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient

from choregos_operator.kube import connect
from choregos_operator.lease import Lease, Lost
from support.cluster import Cluster
from support.waiting import wait_for

Spec = dict[str, object]
HASTY = 6
"""Seconds."""


@pytest.fixture
async def client(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiClient]:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    async with await connect() as connected:
        yield connected


class Candidate:
    def __init__(self, client: ApiClient, namespace: str, identity: str) -> None:
        self.works = False
        self._finish = asyncio.Event()
        lease = Lease(client, namespace=namespace, name="controller", identity=identity, duration=HASTY)
        held = lease.hold(self._work)
        self.task = asyncio.create_task(held)

    def finish(self) -> None:
        self._finish.set()

    async def _work(self) -> None:
        self.works = True
        try:
            await self._finish.wait()
        finally:
            self.works = False


async def spec(cluster: Cluster, namespace: str) -> Spec:
    """Read it in a thread: while kubectl runs, the Lease has to be renewed."""
    found: Spec = (await asyncio.to_thread(cluster.get, "lease", "controller", "-n", namespace))["spec"]
    return found


async def test_two_candidates_work_one_after_the_other(client: ApiClient, namespace: str, cluster: Cluster) -> None:
    one = Candidate(client, namespace, "one")
    await wait_for(lambda: one.works, what="the first candidate works")
    other = Candidate(client, namespace, "other")
    before = (await spec(cluster, namespace))["renewTime"]

    async def renewed() -> bool:
        return (await spec(cluster, namespace))["renewTime"] != before

    await wait_for(renewed, what="a renewal")
    assert one.works
    assert not other.works
    one.finish()
    await one.task
    # The other may have it by now.
    holder = (await spec(cluster, namespace)).get("holderIdentity")
    assert holder != "one", "who ends in order gives the Lease back"
    await wait_for(lambda: other.works, what="the second candidate works")
    assert (await spec(cluster, namespace))["leaseTransitions"] == 1
    other.finish()
    await other.task


async def test_of_many_that_begin_at_once_one_works(client: ApiClient, namespace: str) -> None:
    candidates = [Candidate(client, namespace, str(number)) for number in range(6)]
    await wait_for(lambda: any(each.works for each in candidates), what="one works")
    for left in range(6, 0, -1):
        await wait_for(lambda: sum(each.works for each in candidates) == 1, what="exactly one works")
        working = next(each for each in candidates if each.works)
        assert len(candidates) == left
        working.finish()
        await working.task
        candidates.remove(working)


async def test_a_candidate_that_died_is_followed_when_its_lease_expires(
    client: ApiClient, namespace: str, cluster: Cluster
) -> None:
    dead = {"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": "2020-01-01T00:00:00.000000Z"}
    head = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "controller"}}
    cluster.apply({**head, "spec": dead}, namespace=namespace)
    successor = Candidate(client, namespace, "successor")
    await wait_for(lambda: successor.works, what="the successor works")
    successor.finish()
    await successor.task


@pytest.mark.parametrize("written", [{}, {"spec": None}, {"spec": {}}], ids=["without", "null", "empty"])
async def test_a_lease_that_was_made_by_hand_is_taken(
    client: ApiClient, namespace: str, cluster: Cluster, written: dict[str, Any]
) -> None:
    head = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "controller"}}
    await asyncio.to_thread(cluster.apply, {**head, **written}, namespace=namespace)
    one = Candidate(client, namespace, "one")
    await wait_for(lambda: one.works or one.task.done(), what="the candidate works")
    one.finish()
    await one.task
    assert "leaseDurationSeconds" in await spec(cluster, namespace)


async def test_who_finds_another_holder_stops_its_work(client: ApiClient, namespace: str, cluster: Cluster) -> None:
    one = Candidate(client, namespace, "one")
    await wait_for(lambda: one.works, what="the candidate works")
    usurped = '{"spec":{"holderIdentity":"usurper","leaseDurationSeconds":3600}}'
    patch = ("patch", "lease", "controller", "-n", namespace, "--type=merge", "-p", usurped)
    await asyncio.to_thread(cluster.kubectl, *patch)
    with pytest.raises(Lost, match="the lease controller is held by usurper now, not by one"):
        await one.task
    assert not one.works
    assert (await spec(cluster, namespace))["holderIdentity"] == "usurper"


async def test_the_end_of_the_work_is_the_end_of_the_hold_also_when_it_fails(
    client: ApiClient, namespace: str, cluster: Cluster
) -> None:
    async def broken() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await Lease(client, namespace=namespace, name="controller", identity="one", duration=HASTY).hold(broken)
    assert "holderIdentity" not in await spec(cluster, namespace)
