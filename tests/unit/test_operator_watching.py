"""What everybody who waits for `synced` is told when the API server refuses; the rest is shown on a real one."""

import asyncio
from typing import Any

import pytest
from kubernetes.aio.client import ApiException

from choregos_operator import watching
from choregos_operator.kube import Kind, Listing
from choregos_operator.mirror import Mirror
from support.waiting import wait_for

KIND = Kind("", "v1", "configmaps", "ConfigMap")


class Rights:
    """An API server's answers, and a watch that hears nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.granted, self.refused = True, 0
        monkeypatch.setattr(watching, "list_all", self.list_all)
        monkeypatch.setattr(watching, "_Watching", Deaf)
        monkeypatch.setattr(watching, "COME_AGAIN", 0.01)

    async def list_all(self, _client: Any, _kind: Kind) -> Listing:
        if self.granted:
            return Listing(1, ())
        self.refused += 1
        raise ApiException(status=403)


class Deaf:
    def __init__(self, *_: Any) -> None:
        self.ended = asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("clears", [True, False])
async def test_who_must_not_act_on_what_was_is_told_while_neither_watch_nor_listing_is_granted(
    clears: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rights, synced, stop = Rights(monkeypatch), asyncio.Event(), asyncio.Event()
    mirror, client = Mirror(lambda *_: None), Any
    running = asyncio.create_task(
        watching.watch(client, [KIND], mirror, synced=synced, again=0.01, stop=stop, clears=clears)  # type: ignore[arg-type]
    )
    async with asyncio.timeout(30):
        await synced.wait()
        rights.granted = False
        await wait_for(lambda: rights.refused > 3, what="it waits for the right to list")
        assert synced.is_set() is not clears
        rights.granted = True
        await synced.wait()
        stop.set()
        await running
