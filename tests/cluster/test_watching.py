"""The mirror stays in step with a real API server, whatever the watch misses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from choregos_operator.kube import Kind, connect
from choregos_operator.mirror import Mirror
from choregos_operator.watching import watch
from support.cluster import Cluster
from support.kubectl import KubectlError
from support.refusing_proxy import refusing_proxy
from support.waiting import wait_for

CONFIG_MAPS = Kind("", "v1", "configmaps", "ConfigMap", "test=watching")


class Watch:
    def __init__(self) -> None:
        self.news: list[tuple[Any, bool]] = []
        self.mirror = Mirror(lambda _kind, body, there: self.news.append((body["metadata"], there)))
        self.synced, self.stop = asyncio.Event(), asyncio.Event()

    def names(self, namespace: str) -> list[str]:
        return sorted(body["metadata"]["name"] for body in self.mirror.of(CONFIG_MAPS, namespace))


@asynccontextmanager
async def watching(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, again: float = 3600) -> AsyncIterator[Watch]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    running = Watch()
    async with await connect() as client:
        task = asyncio.create_task(
            watch(
                client,
                [CONFIG_MAPS],
                running.mirror,
                synced=running.synced,
                again=again,
                stop=running.stop,
                clears=True,
            )
        )
        try:
            yield running
        finally:
            running.stop.set()
            async with asyncio.timeout(60):
                await task


def config_map(name: str, value: str = "") -> dict[str, Any]:
    metadata = {"name": name, "labels": {"test": "watching"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}


async def test_what_was_there_before_is_known_once_it_is_synced(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.apply(config_map("a"), {**config_map("b"), "metadata": {"name": "b"}}, namespace=namespace)
    async with watching(cluster.kubeconfig, monkeypatch) as running:
        await running.synced.wait()
        assert running.names(namespace) == ["a"], "selected by label, at the server"


async def test_changes_are_told_once_each(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(cluster.kubeconfig, monkeypatch, again=0.2) as running:
        await running.synced.wait()
        await asyncio.to_thread(cluster.apply, config_map("a"), namespace=namespace)
        await wait_for(lambda: running.names(namespace) == ["a"], what="created")
        await asyncio.to_thread(cluster.apply, config_map("a", "new"), namespace=namespace)
        await wait_for(
            lambda: next(running.mirror.of(CONFIG_MAPS, namespace))["data"]["value"] == "new", what="updated"
        )
        await asyncio.to_thread(cluster.kubectl, "delete", "cm", "a", "-n", namespace)
        await wait_for(lambda: running.names(namespace) == [], what="deleted")
        told = [there for metadata, there in running.news if metadata["namespace"] == namespace]
        assert told == [True, True, False]


@pytest.mark.usefixtures("own_cluster")
async def test_it_goes_on_after_the_api_server_was_away(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(cluster.kubeconfig, monkeypatch) as running:
        await running.synced.wait()
        await asyncio.to_thread(cluster.apply, config_map("a"), namespace=namespace)
        await asyncio.to_thread(cluster.restart_api_server)
        await asyncio.to_thread(cluster.kubectl, "delete", "cm", "a", "-n", namespace)
        await asyncio.to_thread(cluster.apply, config_map("b"), namespace=namespace)
        await wait_for(lambda: running.names(namespace) == ["b"], what="both changes")


async def test_a_deletion_that_the_watch_never_told_is_found_by_listing(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.apply(config_map("a"), namespace=namespace)
    async with watching(cluster.kubeconfig, monkeypatch, again=0.5) as running:
        await running.synced.wait()
        ghost = {**next(running.mirror.of(CONFIG_MAPS, namespace))}
        ghost["metadata"] = {**ghost["metadata"], "name": "ghost"}
        running.mirror.put(CONFIG_MAPS, ghost)
        await wait_for(lambda: running.names(namespace) == ["a"], what="the ghost is gone")


@pytest.mark.usefixtures("own_cluster")
async def test_it_waits_for_an_api_server_that_is_not_there_yet(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.apply(config_map("a"), namespace=namespace)
    cluster.stop_api_server()
    try:
        async with watching(cluster.kubeconfig, monkeypatch) as running:
            assert not running.synced.is_set()
            await asyncio.to_thread(cluster.start_api_server)
            await wait_for(lambda: running.names(namespace) == ["a"], what="synced")
    finally:
        await asyncio.to_thread(eventually_up, cluster)


def eventually_up(cluster: Cluster) -> None:
    """Leave the other tests an API server, also when this one failed before it started it."""
    try:
        cluster.kubectl("get", "--raw", "/readyz")
    except KubectlError:
        cluster.start_api_server()


async def test_a_refusal_of_everybody_ends_no_watch_for_good(
    cluster: Cluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kopf would wait for ever for other credentials."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    through = tmp_path / "proxied.kubeconfig"
    async with (
        await connect() as client,
        refusing_proxy(client, through) as proxy,
        watching(through, monkeypatch) as running,
    ):
        await running.synced.wait()
        await asyncio.to_thread(cluster.apply, config_map("a"), namespace=namespace)
        await wait_for(lambda: running.names(namespace) == ["a"], what="created")
        proxy.refuse()
        await wait_for(lambda: not running.synced.is_set(), what="it says that it knows nothing any more")
        proxy.relent()
        await asyncio.to_thread(cluster.apply, config_map("b"), namespace=namespace)
        await wait_for(lambda: running.names(namespace) == ["a", "b"], what="the watch goes on")
        await asyncio.to_thread(cluster.apply, config_map("c"), namespace=namespace)
        await wait_for(lambda: running.names(namespace) == ["a", "b", "c"], what="and goes on")
