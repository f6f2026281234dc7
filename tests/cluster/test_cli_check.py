"""`choregos check` on a real API server, with the operator's real processes and a real nats-server.

First all is well; then one fault at a time, which makes the check that is for it speak, and no other.
"""

import asyncio
import base64
import json
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace
from nats.aio.client import Client

from choregos_cli.checks.catalogue import CATALOGUE
from choregos_contract.configuration import Configuration, load
from choregos_contract.configure import with_port
from choregos_contract.names import BusNames
from choregos_operator.certificates import secret as secrets
from choregos_operator.certificates.issue import Terms, new_leaf
from support import binaries, crds
from support.ambassador import Ambassador
from support.bus import TestBus, connected
from support.cluster import Cluster
from support.console_script import choregos
from support.installation import Installation
from support.nats import NatsServer
from support.operator_process import OperatorProcess
from support.release import Release, Right
from support.service import Service
from support.shop import SERVICE, Shop
from support.waiting import eventually, wait_for
from support.webhook_process import Webhook

pytestmark = [
    pytest.mark.usefixtures("own_cluster"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


class Scene:
    """A release, a shop in which a pod with a real ambassador runs, and the command."""

    def __init__(self, cluster: Cluster, release: Release, namespace: str, server: NatsServer, nats: Client) -> None:
        self.cluster = cluster
        self.release = release
        self.installation = Installation(cluster, release)
        self.shop = Shop(cluster, namespace)
        self.server = server
        self.bus = TestBus(nats, BusNames(namespace=namespace))
        self.service = Service()
        self.controller: OperatorProcess
        self.webhook: Webhook
        self.ambassador: Ambassador

    def check(self, *options: str, kubeconfig: Path | None = None) -> dict[str, Any]:
        """Run the command; return its JSON, and see to it that the exit code agrees."""
        ended = choregos(
            *("check", "-n", self.shop.namespace, "--output=json", "--nats", self.server.url, *options),
            env=kubectl_of(self.cluster, kubeconfig or self.cluster.kubeconfig),
        )
        assert ended.stdout, ended.stderr
        found: dict[str, Any] = json.loads(ended.stdout)
        assert ended.returncode == (1 if found["failed"] else 0)
        return found

    def speaks(self, *options: str) -> dict[str, str]:
        """Return the checks that neither are fine nor were skipped, with what they say."""
        return {each["code"]: each["says"] for each in lines(self.check(*options), "failed", "warning")}

    def until(self, *codes: str, options: Sequence[str] = ()) -> dict[str, str]:
        """Wait until exactly these checks speak, and return what they say."""
        seen: dict[str, str] = {}

        def as_wanted() -> bool:
            nonlocal seen
            seen = self.speaks(*options)
            return set(seen) == set(codes)

        try:
            eventually(as_wanted)
        except AssertionError:
            raise AssertionError(f"{codes} should speak, and these do: {seen}") from None
        return seen


def kubectl_of(cluster: Cluster, kubeconfig: Path) -> dict[str, str]:
    """The environment in which the user's kubectl is the cluster's."""
    return {
        "KUBECTL": str(binaries.find("kubectl")),
        "KUBECONFIG": str(kubeconfig),
        "KUBECACHEDIR": f"{kubeconfig}.cache",
    }


def lines(found: dict[str, Any], *levels: str) -> list[dict[str, str]]:
    return [line for section in found["sections"] for line in section["checks"] if line["level"] in levels]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    crds.install(cluster)
    with NatsServer() as server, cluster.namespace("release") as here, cluster.namespace("shop") as shop:
        release = Release(cluster, here, tmp_path_factory.mktemp("release"), nats_url=server.url, sweep_seconds=2.0)
        try:
            async with connected(server.url) as nats:
                scene = Scene(cluster, release, shop, server, nats)
                async with _running(scene):
                    yield scene
        finally:
            release.remove()


@asynccontextmanager
async def _running(scene: Scene) -> AsyncIterator[None]:
    release = scene.release
    release.register()
    async with release.controller() as scene.controller:
        release.mount()
        async with release.webhook(CHOREGOS_NATS_URL=scene.server.url) as scene.webhook:
            await asyncio.to_thread(scene.installation.install)
            await wait_for(lambda: _asked(scene), what="the webhook is asked")
            scene.shop.orders()
            await wait_for(scene.shop.ready, what="it is wired")
            scene.shop.pod()
            scene.installation.ambassador(scene.shop.namespace, "payment", RUNNING)
            async with scene.service:
                scene.ambassador = Ambassador(scene.server.url, _configuration(scene), CHOREGOS_POD="payment")
                async with scene.ambassador:
                    yield


def _asked(scene: Scene) -> bool:
    return "webhook-injects" not in scene.speaks()


def _configuration(scene: Scene) -> Configuration:
    """Return the configuration of the pod, with the port that its service has here."""
    found = scene.cluster.get("configmap", "choregos-payment", "-n", scene.shop.namespace)
    return with_port(load(found["data"]["configuration.json"].encode()), scene.service.port)


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def well(scene: Scene) -> None:
    """Every test begins where all is well, and so shows that the one before has mended what it did."""
    await asyncio.to_thread(scene.until)


# --- all is well ---


async def test_where_all_is_well_every_check_is_fine(scene: Scene) -> None:
    found = await asyncio.to_thread(scene.check)

    assert (found["failed"], found["warnings"], found["skipped"]) == (0, 0, 0), lines(found, "skipped")
    assert {each["code"] for each in lines(found, "ok")} == set(CATALOGUE)


async def test_people_get_a_line_for_each_check_and_a_sum(scene: Scene) -> None:
    ended = await asyncio.to_thread(
        choregos,
        *("check", "-n", scene.shop.namespace, "--nats", scene.server.url),
        env=kubectl_of(scene.cluster, scene.cluster.kubeconfig) | {"PYTHONIOENCODING": "utf-8"},
    )

    assert ended.returncode == 0
    assert "√ each reaction has its durable" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "fine: 0 failed, 0 warnings, 0 skipped"


async def test_it_stores_nothing(scene: Scene) -> None:
    before = set(scene.shop.names("pods,choreographies"))

    await asyncio.to_thread(scene.check)

    assert set(scene.shop.names("pods,choreographies")) == before


# --- the cluster and the operator ---


async def test_a_controller_that_is_gone_shows_by_its_lease(scene: Scene) -> None:
    scene.controller.signal(signal.SIGTERM)
    await scene.controller.ended()
    try:
        told = await asyncio.to_thread(scene.until, "operator-lease")
        assert "nobody holds the Lease" in told["operator-lease"]
    finally:
        await scene.controller.start()


async def test_a_deployment_without_a_ready_pod_is_told(scene: Scene) -> None:
    scene.installation.unavailable("webhook")

    told = await asyncio.to_thread(scene.until, "operator-available")

    assert "has none of its 1 pods available" in told["operator-available"]
    scene.installation.ready(scene.installation.pod("webhook"), True)


async def test_processes_of_two_versions_are_told(scene: Scene) -> None:
    scene.installation.image("webhook", "0.0.9")

    told = await asyncio.to_thread(scene.until, "operator-versions")

    assert "different versions" in told["operator-versions"]
    scene.cluster.kubectl("rollout", "undo", "deployment/choregos-webhook", "-n", scene.release.namespace)


async def test_a_right_that_an_account_lacks_is_named(scene: Scene) -> None:
    with scene.release.without(Right("patch", "", "pods")):
        told = await asyncio.to_thread(scene.until, "operator-rights")

    assert told["operator-rights"] == f"{scene.release.user('controller')} may not patch pods everywhere"


# --- the webhook ---


async def test_a_webhook_that_is_away_is_told_with_the_reason(scene: Scene) -> None:
    scene.webhook.kill()
    await scene.webhook.ended()
    try:
        told = await asyncio.to_thread(scene.until, "webhook-injects", "webhook-validates")
        assert "failed calling webhook" in told["webhook-injects"]
        assert "did not answer" in told["webhook-validates"]
    finally:
        await scene.webhook.start()


async def test_an_expired_certificate_is_told(scene: Scene) -> None:
    """The controller would renew it at once, so it is away meanwhile."""
    scene.controller.signal(signal.SIGTERM)
    await scene.controller.ended()
    release, long_ago = scene.release, datetime.now(UTC) - timedelta(days=120)
    data = {name: text.encode() for name, text in release.secret.items()}
    held = secrets.read(data, {}, datetime.now(UTC))
    assert held.current
    expired = new_leaf(held.current, Terms.of(release.settings), long_ago).certificate.public_bytes(Encoding.PEM)
    try:
        _write_certificate(scene, expired)
        told = await asyncio.to_thread(scene.until, "operator-lease", "webhook-certificate")
        assert "expired at" in told["webhook-certificate"]
    finally:
        _write_certificate(scene, data["tls.crt"])
        await scene.controller.start()


def _write_certificate(scene: Scene, pem: bytes) -> None:
    patch = json.dumps({"data": {"tls.crt": base64.b64encode(pem).decode()}})
    name = scene.release.settings.webhook_secret
    scene.cluster.kubectl("patch", "secret", name, "-n", scene.release.namespace, f"--patch={patch}")


async def test_a_configuration_that_is_gone_is_told(scene: Scene) -> None:
    scene.cluster.kubectl("delete", "validatingwebhookconfiguration", scene.release.settings.webhook_configuration)

    told = await asyncio.to_thread(scene.until, "webhook-registered", "webhook-validates")

    assert told["webhook-registered"] == "there is no ValidatingWebhookConfiguration of Choregos"
    assert told["webhook-validates"] == "a choreography with an error is accepted"
    scene.release.register()


# --- NATS ---


async def test_nats_that_is_away_is_told_and_what_is_on_it_is_skipped(scene: Scene) -> None:
    scene.server.stop()
    try:
        found = await asyncio.to_thread(scene.check)
        assert "nats-reachable" in {each["code"] for each in lines(found, "failed")}
        assert {"dead-letters", "streams-present"} <= {each["code"] for each in lines(found, "skipped")}
    finally:
        scene.server.start()


async def test_a_stream_that_was_changed_by_hand_is_told(scene: Scene) -> None:
    stream = scene.bus.names.event_stream
    config = (await scene.bus.api(f"STREAM.INFO.{stream}"))["config"]
    await scene.bus.api(f"STREAM.UPDATE.{stream}", config | {"max_age": config["max_age"] * 2})
    try:
        told = await asyncio.to_thread(scene.until, "wiring-as-wanted")
        assert "differs in max_age" in told["wiring-as-wanted"]
    finally:
        await scene.bus.api(f"STREAM.UPDATE.{stream}", config)


# --- pods ---


async def test_a_labelled_pod_without_an_ambassador_is_told(scene: Scene) -> None:
    scene.shop.uninjected_pod()

    told = await asyncio.to_thread(scene.until, "pods-injected", "choreographies-ready")

    assert "has no ambassador: no event reaches it" in told["pods-injected"]
    scene.cluster.kubectl("delete", "deployment/web", "-n", scene.shop.namespace)
    scene.cluster.kubectl("delete", "pods", "-l", f"app=web,{SERVICE}", "--force", "-n", scene.shop.namespace)


async def test_an_ambassador_that_crashes_is_told_in_the_kubelets_words(scene: Scene) -> None:
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    scene.installation.ambassador(scene.shop.namespace, "payment", waiting)

    told = await asyncio.to_thread(scene.until, "pods-ready", "choreographies-ready")

    assert told["pods-ready"].endswith("does not run: CrashLoopBackOff")
    scene.installation.ambassador(scene.shop.namespace, "payment", RUNNING)


async def test_an_ambassador_of_another_image_is_told(scene: Scene) -> None:
    target = ("set", "image", "pod/payment", "-n", scene.shop.namespace)
    scene.cluster.kubectl(*target, "choregos-ambassador=ghcr.io/choregos/ambassador:0.0.9")

    told = await asyncio.to_thread(scene.until, "pods-version")

    assert "has ghcr.io/choregos/ambassador:0.0.9" in told["pods-version"]
    scene.cluster.kubectl(*target, f"choregos-ambassador={scene.release.settings.ambassador_image}")


async def test_an_ambassador_that_runs_and_does_not_answer_is_told(scene: Scene) -> None:
    scene.ambassador.signal(signal.SIGTERM)
    await scene.ambassador.ended()
    try:
        assert "does not answer" in (await asyncio.to_thread(scene.until, "pods-answer"))["pods-answer"]
    finally:
        await scene.ambassador.start()


async def test_an_older_configuration_is_told(scene: Scene) -> None:
    configuration = _configuration(scene)
    present = configuration.generation
    scene.ambassador.configure(replace(configuration, generation=present - 1))

    told = await asyncio.to_thread(scene.until, "pods-current", "choreographies-ready")

    assert f"has generation {present - 1} of its configuration, {present} is the present one" in told["pods-current"]
    scene.ambassador.configure(configuration)


async def test_an_open_breaker_is_told_with_its_reason(scene: Scene) -> None:
    await scene.service.stop()
    try:
        told = await asyncio.to_thread(scene.until, "pods-breaker")
        assert "(payment) is open" in told["pods-breaker"]
    finally:
        await scene.service.start()


# --- flow ---


async def test_a_dead_letter_is_told(scene: Scene) -> None:
    subject = scene.bus.names.dead_letter_subject("payment", "OrderPlaced", 1)
    await scene.bus.publish_raw(subject, b"{}", None)

    told = await asyncio.to_thread(scene.until, "dead-letters")

    assert told["dead-letters"].endswith("payment/OrderPlaced has 1 dead letter")
    await scene.bus.api(f"STREAM.PURGE.{scene.bus.names.dead_letter_stream}")


async def test_a_reaction_that_lags_is_told(scene: Scene) -> None:
    """Nobody takes the events of `shipping`."""
    await scene.bus.publish("PaymentTaken")

    told = await asyncio.to_thread(scene.until, "lag", options=["--max-lag=0"])

    assert told["lag"].endswith("shipping/PaymentTaken is 1 event behind")
    await scene.bus.api(f"STREAM.PURGE.{scene.bus.names.event_stream}")


async def test_a_suspended_reaction_is_told(scene: Scene) -> None:
    scene.shop.orders("path: /parcels", "path: /parcels\n          suspend: true")

    told = await asyncio.to_thread(scene.until, "suspended")

    assert told["suspended"].endswith("shipping/PaymentTaken is suspended")
    scene.shop.orders()


async def test_a_durable_whose_reaction_is_gone_is_told(scene: Scene) -> None:
    scene.shop.orders_without_shipping()

    told = await asyncio.to_thread(scene.until, "orphans")

    assert "nobody reacts any more as shipping/PaymentTaken" in told["orphans"]
    scene.shop.orders()


async def test_a_namespace_that_is_not_there_is_refused_and_not_fine(scene: Scene) -> None:
    ended = await asyncio.to_thread(
        choregos, *("check", "-n", "shpo"), env=kubectl_of(scene.cluster, scene.cluster.kubeconfig)
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "there is no namespace 'shpo' in this cluster" in ended.stderr


# --- who may not see it ---


async def test_what_may_not_be_read_is_skipped_and_named_and_never_fine(scene: Scene) -> None:
    nobody = scene.cluster.user_kubeconfig("nobody")

    found = await asyncio.to_thread(scene.check, kubeconfig=nobody)

    fine = {each["code"] for each in lines(found, "ok")}
    assert fine == {"kubernetes-version"}
    (rights, *_) = (each for each in lines(found, "warning") if each["code"] == "own-rights")
    assert rights["says"] == f"you may not list choreographies.choregos.dev in the namespace {scene.shop.namespace}"
    skipped = {each["code"]: each["says"] for each in lines(found, "skipped")}
    assert set(skipped) == set(CATALOGUE) - {"kubernetes-version", "own-rights"}
    assert "the user nobody may not list pods" in skipped["pods-injected"]


# --- no Choregos at all; last, for it takes resources away ---


async def test_a_definition_that_is_gone_is_told_and_what_needs_it_is_skipped(scene: Scene) -> None:
    scene.cluster.kubectl("delete", "crd", "eventbuses.choregos.dev")
    try:
        found = await asyncio.to_thread(scene.check)
        assert [each["says"] for each in lines(found, "failed")] == [
            "the definition eventbuses.choregos.dev is missing"
        ]
        assert {"choreographies-ready", "nats-reachable", "lag"} <= {each["code"] for each in lines(found, "skipped")}
    finally:
        crds.install(scene.cluster)
