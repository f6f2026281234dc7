"""The ConfigMaps part of a pass, when the objects change under its hands."""

import asyncio
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from choregos_operator.bus.connections import Connections
from choregos_operator.bus.state import BusState
from choregos_operator.controller.announcements import Announcer
from choregos_operator.controller.api import Api, NoNamespace, NotThere
from choregos_operator.controller.configuring import Configuring
from choregos_operator.controller.metrics import Metrics
from choregos_operator.controller.passes import ComeAgain
from choregos_operator.controller.reconcile import Reconciler
from choregos_operator.controller.wiring import Outcome
from choregos_operator.kube import Body
from choregos_operator.settings import Settings
from support.watched import NOW, Watched

WIRED = Outcome(state=BusState(), fresh=True)


class Deleted:
    """An API server that lost the ConfigMap a moment ago, with its namespace or without."""

    def __init__(self, anew: Exception | None = None) -> None:
        self.created: list[Body] = []
        self._anew = anew

    async def write_configmap(self, _: str, manifest: Body) -> Body:
        if "resourceVersion" in manifest["metadata"]:
            raise NotThere("configmaps choregos-payment not found")
        if self._anew:
            raise self._anew
        self.created.append(manifest)
        return {**manifest, "metadata": {**manifest["metadata"], "namespace": "shop", "resourceVersion": "100"}}


@pytest.fixture
def cluster() -> Watched:
    """A service whose ConfigMap is to change."""
    found = Watched()
    found.choreography()
    found.configure(edits={"generation": 4})
    found.choreography(event="B")
    return found


async def test_a_configmap_that_is_deleted_under_a_write_is_made_anew_with_the_next_generation(
    cluster: Watched,
) -> None:
    api = Deleted()
    configured = await Configuring(cast("Api", api), cluster.observed).configure(cluster.look(), WIRED, NOW)
    assert len(api.created) == 1
    assert not {"uid", "resourceVersion"} & api.created[0]["metadata"].keys()
    assert configured.targets["payment"].generation == 5


@pytest.mark.parametrize(
    ("anew", "comes_again"),
    [(NoNamespace("shop is being terminated"), False), (NotThere("gone again"), True)],
    ids=["with its namespace", "alone"],
)
async def test_only_the_end_of_the_namespace_ends_a_pass_for_good(
    cluster: Watched, monkeypatch: pytest.MonkeyPatch, anew: Exception, comes_again: bool
) -> None:
    api = cast("Api", Deleted(anew))
    settings, metrics = Settings(), Metrics(CollectorRegistry())
    announcer = Announcer(api, "test")
    looks = Reconciler(settings, api, cluster.observed, announcer, metrics, connections=Connections(settings))

    async def wired(*_: Any) -> Outcome:
        await asyncio.sleep(0)
        return WIRED

    monkeypatch.setattr(looks._wirer, "wire", wired)
    if comes_again:
        with pytest.raises(ComeAgain, match="gone again"):
            await looks.look(("shop", "default"))
    else:
        assert await looks.look(("shop", "default")) is None
