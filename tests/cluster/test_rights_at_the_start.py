"""Each right to read, and each of those for the Lease and the certificate, is missed from the start of a process on."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise, repeat

import aiohttp
import pytest
import pytest_asyncio
from kubernetes.aio.client import ApiException
from prometheus_client import CollectorRegistry

from choregos_operator import watching
from choregos_operator.certificates.issue import Terms, new_authority, new_leaf
from choregos_operator.certificates.keeper import AT_ONCE, Keeper
from choregos_operator.certificates.secret import Held, data_of
from choregos_operator.controller.life import live
from choregos_operator.controller.observed import KINDS
from choregos_operator.kube import Kind, connect, message
from choregos_operator.lease import Lease
from choregos_operator.watching import CHOREOGRAPHIES, EVENT_BUSES
from support import crds
from support.admission_reviews import review
from support.cluster import Cluster
from support.labelled_pods import pod
from support.nats import NatsServer
from support.release import Release, Right
from support.shop import Shop
from support.waiting import PATIENCE, wait_for
from support.webhook_process import Webhook

pytestmark = [
    pytest.mark.usefixtures("own_cluster"),
    pytest.mark.asyncio(loop_scope="module"),
]

ADMISSION = "admissionregistration.k8s.io"
NEVER = 3600.0
"""Seconds: nothing is found by looking again."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def release(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Release]:
    """A release whose processes do not run, and that no API server asks."""
    crds.install(cluster)
    with NatsServer() as nats, cluster.namespace("rights") as namespace:
        found = Release(cluster, namespace, tmp_path_factory.mktemp("release"), nats_url=nats.url, sweep_seconds=NEVER)
        try:
            yield found
        finally:
            found.remove()


class Said:
    """What has been logged in this test's own process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
        self._capsys = capsys
        self._caplog = caplog
        self._printed = ""

    def __call__(self, missing: Right) -> bool:
        self._printed += self._capsys.readouterr().out
        return missing.refusal in self._printed + self._caplog.text


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Said:
    return Said(capsys, caplog)


@pytest.fixture
def shop(cluster: Cluster, namespace: str) -> Shop:
    return Shop(cluster, namespace)


# --- the Lease ---


LEASE = [Right(verb, "coordination.k8s.io", "leases") for verb in ("get", "create", "update")]


@pytest.mark.parametrize("missing", LEASE, ids=str)
async def test_without_a_right_on_the_lease_nobody_works_and_it_is_said_why(
    release: Release, missing: Right, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(release.kubeconfig("controller")))
    works = asyncio.Event()

    async def work() -> None:
        works.set()

    async with await connect() as client:
        held = Lease(client, namespace=release.namespace, name=release.settings.lease, identity="one", duration=1)
        if missing.verb == "update":
            await held.hold(work)
            works.clear()
        else:
            lease = f"lease/{release.settings.lease}"
            release.cluster.kubectl("delete", lease, "-n", release.namespace, "--ignore-not-found")
        with release.without(missing):
            holding = asyncio.create_task(held.hold(work))
            await wait_for(partial(said, missing), what="it is told")
            assert not works.is_set()
        await holding
    assert works.is_set()


CERTIFICATE = [
    *(Right(verb, "", "secrets") for verb in ("get", "create", "update")),
    *(
        Right(verb, ADMISSION, f"{kind}webhookconfigurations")
        for verb in ("get", "patch")
        for kind in ("mutating", "validating")
    ),
]


@pytest.mark.parametrize("missing", CERTIFICATE, ids=str)
async def test_without_a_right_for_the_certificate_it_is_not_kept_and_it_is_said_why(
    release: Release, missing: Right, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the process goes on, and tells it, is shown with the certificate's other faults."""
    monkeypatch.setenv("KUBECONFIG", str(release.kubeconfig("controller")))
    release.register()
    try:
        async with await connect() as client:
            keeper = Keeper(client, release.settings, CollectorRegistry())
            if missing.verb == "update":
                await keep(keeper)
                release.damage_secret()
            with release.without(missing):
                with pytest.raises(ApiException) as refused:
                    await keep(keeper)
                assert missing.refusal in message(refused.value)
            await keep(keeper)
        assert "tls.crt" in release.secret
    finally:
        release.forget_certificate()
        release.unregister()


async def keep(keeper: Keeper) -> None:
    """Take all steps that are due."""
    while await keeper.look() == AT_ONCE:
        pass


# --- what the controller reads ---


READS: dict[str, tuple[Callable[[Shop], None], Callable[[Shop], object]]] = {
    "choreographies": (Shop.orders, lambda shop: shop.conditions("choreographies")),
    "eventbuses": (Shop.bus, lambda shop: shop.conditions("eventbuses")),
    "configmaps": (Shop.stray_configmap, lambda shop: "choregos-ghost" not in shop.names("configmaps")),
    "pods": (Shop.pod, lambda shop: ("Pod", "NoAmbassador") in shop.events()),
    "deployments": (lambda shop: shop.mislabelled("Deployment"), lambda shop: is_told(shop, "Deployment")),
    "statefulsets": (lambda shop: shop.mislabelled("StatefulSet"), lambda shop: is_told(shop, "StatefulSet")),
    "daemonsets": (lambda shop: shop.mislabelled("DaemonSet"), lambda shop: is_told(shop, "DaemonSet")),
}
"""By resource: what happens, and what is seen of it if the controller saw it."""


def is_told(shop: Shop, kind: str) -> bool:
    return (kind, "LabelNotOnPods") in shop.events()


def reads(verb: str, kinds: Sequence[Kind] = KINDS) -> list[Right]:
    return [Right(verb, kind.group, kind.plural) for kind in kinds]


async def test_the_controller_waits_for_each_right_to_list_and_sees_nothing_without_the_right_to_watch_it(
    release: Release, shop: Shop, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists, watches = reads("list"), reads("watch")
    release.grant(lists[0], *watches)
    try:
        async with controlling(release, monkeypatch):
            for missing, following in pairwise([*lists, *watches[:1]]):
                await wait_for(partial(said, missing), what=f"it is told that it {missing.refusal}")
                release.grant(*{following, *watches})
            await wait_for(lambda: all(map(said, watches)), what="all is listed, nothing is watched, and that is told")
            await each_is_seen_once_it_may_be_watched(release, shop, watches)
    finally:
        release.grant()


@asynccontextmanager
async def controlling(release: Release, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Have a controller run in this process, which comes again sooner."""
    monkeypatch.setenv("KUBECONFIG", str(release.kubeconfig("controller")))
    monkeypatch.setattr(watching, "COME_AGAIN", 0.1)
    monkeypatch.setattr(watching._Patience, "__iter__", lambda _: repeat(0.2))
    own = {"own_certificates": False, "probes_host": "127.0.0.1", "probes_port": 0}
    stop = asyncio.Event()
    running = asyncio.create_task(live(release.settings.model_copy(update=own), stop, identity="one"))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE):
            await running


async def each_is_seen_once_it_may_be_watched(release: Release, shop: Shop, watches: Sequence[Right]) -> None:
    for each in watches:
        READS[each.resource][0](shop)
    for number, each in enumerate(watches):
        unseen = [other.resource for other in watches[number:] if READS[other.resource][1](shop)]
        assert unseen == [], "these may not be watched"
        release.grant(*watches[number + 1 :])
        await wait_for(partial(READS[each.resource][1], shop), what=f"{each.resource} are seen")


# --- what the webhook reads ---


async def test_the_webhook_waits_for_each_right_to_list_and_sees_nothing_without_the_right_to_watch_it(
    release: Release, shop: Shop
) -> None:
    kinds = (CHOREOGRAPHIES, EVENT_BUSES)
    lists, watches = reads("list", kinds), reads("watch", kinds)
    release.certificates.hold(certificate(release))
    release.grant(lists[0], *watches, process="webhook")
    try:
        async with release.webhook() as webhook:
            for missing, following in pairwise([*lists, *watches[:1]]):
                await waits_for(webhook, missing)
                assert (await webhook.probe("/readyz"))[0] == 503
                release.grant(*{following, *watches}, process="webhook")
            await waits_to_watch(webhook, watches)
            assert (await webhook.probe("/readyz"))[0] == 200

            shop.orders()
            shop.bus("default", servers=["nats://of-the-bus:4222"])
            told = {"choreographies": "configuration-hash", "eventbuses": "of-the-bus:4222"}
            for number, each in enumerate(watches):
                patch = await injected(webhook, shop.namespace)
                assert not [other for other in watches[number:] if told[other.resource] in patch]
                release.grant(*watches[number + 1 :], process="webhook")
                await injects(webhook, shop.namespace, told[each.resource])
    finally:
        release.grant()


async def waits_for(webhook: Webhook, missing: Right) -> None:
    """Wait until it says what it waits for."""
    waiting = "waiting for the API server"
    await webhook.until(
        lambda: any(missing.refusal in line.get("reason", "") for line in webhook.lines if line["message"] == waiting)
    )


async def waits_to_watch(webhook: Webhook, missing: Sequence[Right]) -> None:
    """Wait until it has listed everything, and says what it may not watch."""
    await webhook.until(lambda: all(any(each.refusal in line["message"] for line in webhook.lines) for each in missing))


def certificate(release: Release) -> dict[str, str]:
    terms, now = Terms.of(release.settings), datetime.now(UTC)
    files = data_of(Held(leaf=new_leaf(new_authority(terms, now), terms, now)))
    return {name: content.decode() for name, content in files.items()}


async def injects(webhook: Webhook, namespace: str, sign: str) -> None:
    async def so() -> bool:
        return sign in await injected(webhook, namespace)

    told: bool = await wait_for(so, what=f"{sign} is injected")
    assert told


async def injected(webhook: Webhook, namespace: str) -> str:
    """Return the patch that a labelled pod gets."""
    asked = review(pod(), namespace=namespace)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{webhook.url}/inject", data=asked, ssl=False) as answer,
    ):
        body = await answer.json(content_type=None)
    return base64.b64decode(body["response"]["patch"]).decode()


# --- all of them ---


async def test_every_right_to_read_is_missed_by_one_of_these_tests(release: Release) -> None:
    elsewhere = {"choreographies/status", "eventbuses/status", "configmaps", "pods", "events"}
    left = {
        right
        for right in release.rights("controller")
        if right.verb in ("list", "watch") or right.resource not in elsewhere
    }
    assert left == {*LEASE, *CERTIFICATE, *reads("list"), *reads("watch")}
    assert READS.keys() == {kind.plural for kind in KINDS}
