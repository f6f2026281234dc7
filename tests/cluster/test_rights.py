"""The rights of both processes, as they are installed, are enough for everything they do, and none of them can be missed."""

import json
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from support import crds
from support.audit import Request
from support.cluster import Cluster
from support.kubectl import KubectlError
from support.labelled_pods import pod
from support.nats import NatsServer
from support.operator_process import OperatorProcess
from support.release import Release, Right
from support.shop import SERVICE, WORKLOADS, Shop
from support.waiting import wait_for
from support.webhook_process import Webhook

pytestmark = [
    pytest.mark.usefixtures("own_cluster"),
    pytest.mark.asyncio(loop_scope="module"),
]

CHOREGOS = "choregos.dev"
DISCOVERY = re.compile(r"/version|/api(/v1)?|/apis(/[^/]+/v\w+)?")
"""What every account may read."""
FASTER: dict[str, Any] = {"sweep_seconds": 1.0, "evict_uninjected": True}
ELSEWHERE = {"leases", "secrets", "mutatingwebhookconfigurations", "validatingwebhookconfigurations"}
"""What is missed in `test_rights_at_the_start.py`."""


class Running:
    """A release whose processes run."""

    def __init__(self, release: Release, controller: OperatorProcess, webhook: Webhook) -> None:
        self.release = release
        self.controller = controller
        self.webhook = webhook

    async def end_controller(self) -> None:
        self.controller.signal(signal.SIGTERM)
        assert await self.controller.ended() == 0

    async def asked(self) -> None:
        """Wait until the API server asks the webhook, and trusts it."""
        await wait_for(self._refused, what="the webhook is asked")

    def _refused(self) -> bool:
        metadata = {"name": "x", "labels": {SERVICE: "payment"}, "annotations": {"choregos.dev/publish-port": "none"}}
        refused = json.dumps({**pod(), "metadata": metadata})
        try:
            self.release.cluster.kubectl("create", "--dry-run=server", "-f-", stdin=refused)
        except KubectlError as error:
            return 'annotations["choregos.dev/publish-port"]' in str(error)
        return False


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    crds.install(cluster)
    with NatsServer() as nats, cluster.namespace("rights") as namespace:
        release = Release(cluster, namespace, tmp_path_factory.mktemp("release"), nats_url=nats.url, **FASTER)
        try:
            release.register()
            async with release.controller() as controller:
                release.mount()
                async with release.webhook() as webhook:
                    found = Running(release, controller, webhook)
                    await found.asked()
                    yield found
        finally:
            release.remove()


@pytest.fixture
def shop(cluster: Cluster, namespace: str) -> Shop:
    return Shop(cluster, namespace)


# --- enough ---


async def test_every_flow_runs_under_these_rights_and_needs_them_all(running: Running, shop: Shop) -> None:
    """What was asked of the API server is what may be asked of it: nothing is denied, nothing is unused."""
    release, cluster = running.release, running.release.cluster
    await running.end_controller()
    release.forget_certificate()
    cluster.kubectl("delete", f"lease/{release.settings.lease}", "-n", release.namespace)
    users = {process: release.user(process) for process in ("controller", "webhook")}
    before = {process: len(cluster.requests(user)) for process, user in users.items()}
    running.webhook.kill()
    await running.webhook.ended()

    await running.controller.start()  # makes the Lease, the Secret, and writes both bundles
    release.mount()
    await running.webhook.start()
    await running.asked()
    await reconciled(shop)
    await running.end_controller()  # gives the Lease back
    release.damage_secret()
    await running.controller.start()  # takes the Lease, and mends the Secret
    await wait_for(lambda: "tls.crt" in release.secret, what="the Secret is mended")

    for process, user in users.items():
        asked = cluster.requests(user)[before[process] :]
        assert [each for each in asked if each.status in (401, 403)] == []
        assert used(asked) == release.rights(process), process
        paths = {each.resource for each in asked if each.resource.startswith("/")}
        assert [path for path in paths if not DISCOVERY.fullmatch(path)] == []


async def reconciled(shop: Shop) -> None:
    """Have the controller do all that it does in a namespace."""
    shop.bus()
    shop.orders()
    await wait_for(shop.ready, what="it is wired")
    await wait_for(lambda: shop.conditions("eventbuses"), what="the bus has its status")
    shop.pod()
    shop.edited_orders()
    await wait_for(lambda: shop.configured("/other") and shop.pod_told(), what="the pod is told")
    shop.unlabel_configmap()
    await wait_for(lambda: "choregos-payment" in shop.names("configmaps", "-l", SERVICE), what="it is labelled again")
    shop.orders_without_shipping()
    await wait_for(lambda: "choregos-shipping" not in shop.names("configmaps"), what="it is deleted")
    shop.uninjected_pod()
    await wait_for(lambda: ("Pod", "NoAmbassador") in shop.events() and shop.evicted(), what="it is evicted")
    for kind in WORKLOADS:
        shop.mislabelled(kind)
    told = {(kind, "LabelNotOnPods") for kind in WORKLOADS}
    await wait_for(lambda: told <= shop.events(), what="the workloads are told")


def used(asked: Iterable[Request]) -> set[Right]:
    return {Right(each.verb, each.group, each.resource) for each in asked if not each.resource.startswith("/")}


# --- and none too many: what the controller does all day ---


@dataclass(frozen=True)
class Flow:
    """What takes a right: what happens, and what is seen of it."""

    right: Right
    act: Callable[[Shop], None]
    seen: Callable[[Shop], object]
    prepare: Callable[[Shop], None] = lambda shop: None
    prepared: Callable[[Shop], object] = lambda shop: True

    def __str__(self) -> str:
        return str(self.right)


def orders_and_pod(shop: Shop) -> None:
    shop.orders()
    shop.pod()


def told_of(kind: str, reason: str) -> Callable[[Shop], bool]:
    return lambda shop: (kind, reason) in shop.events()


def right(verb: str, resource: str, group: str = "") -> Right:
    return Right(verb, group, resource)


def evicting(verb: str, resource: str) -> Flow:
    return Flow(right(verb, resource), Shop.uninjected_pod, Shop.evicted)


FLOWS = [
    Flow(
        right("patch", "choreographies/status", CHOREGOS), Shop.orders, lambda shop: shop.conditions("choreographies")
    ),
    Flow(right("patch", "eventbuses/status", CHOREGOS), Shop.bus, lambda shop: shop.conditions("eventbuses")),
    Flow(right("create", "configmaps"), Shop.orders, Shop.configured),
    Flow(
        right("update", "configmaps"),
        Shop.edited_orders,
        lambda shop: shop.configured("/other"),
        Shop.orders,
        Shop.ready,
    ),
    Flow(
        right("delete", "configmaps"),
        Shop.stray_configmap,
        lambda shop: "choregos-ghost" not in shop.names("configmaps"),
    ),
    Flow(
        right("get", "configmaps"),
        Shop.unlabel_configmap,
        lambda shop: "choregos-payment" in shop.names("configmaps", "-l", SERVICE),
        Shop.orders,
        Shop.ready,
    ),
    Flow(
        right("patch", "pods"),
        Shop.edited_orders,
        lambda shop: shop.configured("/other") and shop.pod_told(),
        orders_and_pod,
        lambda shop: shop.configured() and shop.pod_told(),
    ),
    Flow(
        right("create", "events", "events.k8s.io"),
        lambda shop: shop.mislabelled("Deployment"),
        told_of("Deployment", "LabelNotOnPods"),
    ),
    evicting("get", "pods"),
    evicting("create", "pods"),
    evicting("create", "pods/eviction"),
]


@pytest.mark.parametrize("flow", FLOWS, ids=str)
async def test_a_right_that_the_controller_lacks_is_told_and_what_it_is_for_goes_on_once_it_is_there(
    running: Running, shop: Shop, flow: Flow
) -> None:
    flow.prepare(shop)
    await wait_for(lambda: flow.prepared(shop), what="what was before")
    controller, known = running.controller, len(running.controller.lines)
    with running.release.without(flow.right):
        flow.act(shop)

        def told() -> bool:
            said = json.dumps([controller.lines[known:], shop.conditions("choreographies")])
            return flow.right.refusal in said.replace('\\"', '"')

        await wait_for(told, what=f"it is told that it {flow.right.refusal}")
        assert not flow.seen(shop)
    await wait_for(lambda: flow.seen(shop), what="it goes on")
    assert not [line for line in controller.lines[known:] if line["message"] == "a pass broke"]


async def test_a_missing_right_keeps_nothing_else_from_being_done(running: Running, shop: Shop) -> None:
    missing = right("delete", "configmaps"), right("patch", "pods"), right("create", "events", "events.k8s.io")
    known = len(running.controller.lines)
    with running.release.without(*missing):
        shop.stray_configmap()
        shop.pod()
        shop.mislabelled("Deployment")
        shop.orders()
        await wait_for(
            lambda: shop.configured() and shop.conditions("choreographies"), what="it is wired, and reported"
        )
        lines = running.controller.lines
        await running.controller.until(lambda: all(each.refusal in str(lines[known:]) for each in missing))


async def test_every_right_to_write_is_missed_by_one_of_these_flows(running: Running) -> None:
    granted = running.release.rights("controller")
    writes = {right for right in granted if right.verb not in ("list", "watch") and right.resource not in ELSEWHERE}
    assert writes == {flow.right for flow in FLOWS}


# --- what it reads ---


async def test_a_right_to_list_that_goes_while_it_runs_is_told_and_waited_for(running: Running, shop: Shop) -> None:
    controller, known, missing = running.controller, len(running.controller.lines), right("list", "configmaps")
    with running.release.without(missing):
        await controller.until(lambda: any(missing.refusal in str(line) for line in controller.lines[known:]))
        shop.stray_configmap()
        assert "choregos-ghost" in shop.names("configmaps")
    await wait_for(lambda: "choregos-ghost" not in shop.names("configmaps"), what="it goes on")
