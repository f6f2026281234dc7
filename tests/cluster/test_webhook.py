"""The webhook's process behind a real API server, registered as it is installed, under no more rights than it needs."""

import base64
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from choregos_operator.certificates.issue import Leaf, Terms, new_authority, new_leaf
from choregos_operator.settings import Settings
from choregos_operator.webhook.registration import webhook_configurations
from support import crds
from support.cluster import Cluster
from support.documents import ORDERS, WARNING
from support.kubectl import KubectlError
from support.labelled_pods import pod
from support.secret import Secret
from support.waiting import eventually, wait_for
from support.webhook_process import Webhook

pytestmark = [
    pytest.mark.usefixtures("own_cluster"),
    pytest.mark.asyncio(loop_scope="module"),
]

PORT = 9443
AMBASSADOR = "choregos-ambassador"
HASH = "choregos.dev/configuration-hash"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
GHOST = ORDERS.replace("    PaymentTaken: {}\n", "    PaymentTaken: {}\n    Ghost: {}\n")
"""Nobody emits `Ghost`: more than the schema can see."""
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "choregos-webhook"},
    "rules": [
        {"apiGroups": ["choregos.dev"], "resources": ["choreographies", "eventbuses"], "verbs": ["list", "watch"]}
    ],
}
BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "choregos-webhook"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "choregos-webhook"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "webhook"}],
}

Body = dict[str, Any]


class Installed:
    """The webhook as a release brings it: Service, Secret, rights, and both webhook configurations."""

    def __init__(self, cluster: Cluster, namespace: str, directory: Path) -> None:
        self.cluster = cluster
        self._settings = Settings(namespace=namespace, webhook_configuration=namespace)
        self._terms, now = Terms.of(self._settings), datetime.now(UTC)
        self._authority = new_authority(self._terms, now)
        self.secret = Secret(directory / "secret", **pem(new_leaf(self._authority, self._terms, now)))
        service = {"name": self._settings.webhook_service, "namespace": namespace}
        cluster.apply(ROLE, BINDING)
        bare = {"apiVersion": "v1", "kind": "Service", "metadata": service, "spec": {"ports": [{"port": PORT}]}}
        cluster.apply(bare, namespace=namespace)
        address = cluster.get("service", service["name"], "-n", namespace)["spec"]["clusterIP"]
        self.webhook = Webhook(
            cluster.user_kubeconfig("webhook"),
            str(self.secret),
            namespace,
            CHOREGOS_WEBHOOK_HOST=address,
            CHOREGOS_WEBHOOK_PORT=str(PORT),
        )
        bundle = self._authority.certificate.public_bytes(Encoding.PEM)
        self._client = {"service": service | {"port": PORT}, "caBundle": base64.b64encode(bundle).decode()}

    def register(self) -> None:
        """Have the API server ask the webhook, and return once it does."""
        self.cluster.apply(*webhook_configurations(self._settings, client_config=self._client))
        eventually(lambda: self._refuses() and self._injects(), "both webhooks are asked")

    def unregister(self) -> None:
        """Have the API server ask nobody, and return once it does not."""
        kinds = "mutatingwebhookconfiguration,validatingwebhookconfiguration"
        self.cluster.kubectl("delete", kinds, self._settings.namespace, "--ignore-not-found")
        eventually(lambda: not self._refuses() and not self._injects(), "no webhook is asked")

    def leaf(self, *, expired: bool = False) -> dict[str, str]:
        """Return the files of a new certificate."""
        began = datetime.now(UTC) - (timedelta(days=2) if expired else timedelta())
        terms = Terms(names=self._terms.names, leaf_lifetime=timedelta(days=1))
        return pem(new_leaf(self._authority, terms, began))

    def _refuses(self) -> bool:
        try:
            self.cluster.kubectl(
                "create", "--dry-run=server", "-f-", "-n", "default", stdin=json.dumps(document(GHOST))
            )
        except KubectlError:
            return True
        return False

    def _injects(self) -> bool:
        return ambassador(created(self.cluster, pod(), "default", "--dry-run=server")) is not None


def pem(leaf: Leaf) -> dict[str, str]:
    key = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {"tls.crt": leaf.certificate.public_bytes(Encoding.PEM).decode(), "tls.key": key.decode()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installed]:
    crds.install(cluster)
    with cluster.namespace("release") as namespace:
        release = Installed(cluster, namespace, tmp_path_factory.mktemp("webhook"))
        async with release.webhook:
            release.register()
            try:
                yield release
            finally:
                release.unregister()


@asynccontextmanager
async def down(installed: Installed) -> AsyncIterator[None]:
    """End the webhook's process, and start it again afterwards."""
    installed.webhook.kill()
    await installed.webhook.ended()
    try:
        yield
    finally:
        await installed.webhook.start()


def document(text: str, **metadata: str) -> Body:
    """A choreography whose namespace is the command's."""
    body: Body = yaml.safe_load(text)
    body["metadata"] = {"name": body["metadata"]["name"], **metadata}
    return body


def created(cluster: Cluster, body: Body, namespace: str, *options: str) -> Body:
    """Have kubectl create an object, and return it as it is stored."""
    text = cluster.kubectl("create", "-f-", "-n", namespace, "-o", "json", *options, stdin=json.dumps(body))
    found: Body = json.loads(text)
    return found


def refusal(cluster: Cluster, body: Body, namespace: str, *options: str, verb: str = "apply") -> str:
    return cluster.kubectl_fails(verb, "-f-", "-n", namespace, *options, stdin=json.dumps(body))


def warnings(cluster: Cluster, body: Body, namespace: str, verb: str = "apply") -> str:
    """Apply an object that gives cause for warnings, and return how kubectl prints them."""
    text = refusal(cluster, body, namespace, "--warnings-as-errors", verb=verb)
    assert text.startswith("Warning: "), text
    return text


def ambassador(body: Body) -> Body | None:
    found = body["spec"].get("initContainers") or [{}]
    return found[0] if found[0].get("name") == AMBASSADOR else None


def unlabelled() -> Body:
    return {**pod(), "metadata": {"generateName": "plain-", "labels": {"app": "shop"}}}


async def known(installed: Installed, namespace: str, service: str = "payment") -> None:
    """Wait until the webhook has heard of a choreography with this service."""
    labelled = pod()
    labelled["metadata"]["labels"]["choregos.dev/service"] = service

    def configured() -> bool:
        stored = created(installed.cluster, labelled, namespace, "--dry-run=server")
        return HASH in stored["metadata"]["annotations"]

    await wait_for(configured, f"the webhook knows {service}")


async def test_it_is_ready_with_a_certificate_and_all_choreographies_under_two_rights(installed: Installed) -> None:
    assert await installed.webhook.probe("/readyz") == (200, "ok\n")


async def test_a_wrong_graph_is_refused_and_kubectl_names_the_place_the_event_and_the_mend(
    installed: Installed, namespace: str
) -> None:
    text = refusal(installed.cluster, document(GHOST), namespace)
    assert text == (
        'The Choreography "orders" is invalid: spec.events.Ghost: nothing here emits "Ghost"; '
        "add it to the emits of a service or reaction, or declare it {external: true} [never-emitted]\n"
    )
    assert refusal(installed.cluster, document(GHOST), namespace, "--dry-run=server") == text


async def test_several_errors_are_printed_as_a_list(installed: Installed, namespace: str) -> None:
    two = document(GHOST.replace("Ghost: {}", "Ghost: {}\n    Phantom: {}"))
    text = refusal(installed.cluster, two, namespace)
    assert '\n* spec.events.Ghost: nothing here emits "Ghost"' in text
    assert '\n* spec.events.Phantom: nothing here emits "Phantom"' in text


async def test_a_schema_violation_is_refused_by_the_schema_and_names_the_field(
    installed: Installed, namespace: str
) -> None:
    text = refusal(installed.cluster, document(ORDERS.replace("port: 8080", "port: 99999")), namespace)
    assert "spec.services.payment.port" in text


async def test_kubectl_prints_what_is_doubtful(installed: Installed, namespace: str) -> None:
    text = warnings(installed.cluster, document(WARNING), namespace)
    assert "spec.events.Ping" in text
    assert "[unheard-event]" in text
    assert installed.cluster.get("choreography", "orders", "-n", namespace)


async def test_kubectl_prints_what_an_edit_of_a_reaction_does(installed: Installed, namespace: str) -> None:
    installed.cluster.apply(document(ORDERS), namespace=namespace)
    text = warnings(installed.cluster, document(ORDERS.replace("    payment:", "    billing:")), namespace)
    assert 'spec.services.payment: the reaction to "OrderPlaced" is gone' in text
    assert "7d" in text


async def test_kubectl_prints_what_an_edit_of_a_bus_does(installed: Installed, namespace: str) -> None:
    bus: Body = {"apiVersion": "choregos.dev/v1alpha1", "kind": "EventBus", "metadata": {"name": "default"}, "spec": {}}
    installed.cluster.apply(bus, namespace=namespace)
    assert "spec.stream.maxAge: events older than 1h are removed at once" in warnings(
        installed.cluster, {**bus, "spec": {"stream": {"maxAge": "1h"}}}, namespace
    )


async def test_two_choreographies_that_claim_one_reaction_are_told_when_the_younger_is_applied(
    installed: Installed, namespace: str
) -> None:
    installed.cluster.apply(document(ORDERS), namespace=namespace)
    await known(installed, namespace)
    text = warnings(installed.cluster, document(ORDERS, name="sale"), namespace)
    assert 'orders claims the reaction of "payment" to "OrderPlaced" already' in text


async def test_a_name_that_the_api_server_makes_up_is_fine(installed: Installed, namespace: str) -> None:
    body = document(ORDERS)
    body["metadata"] = {"generateName": "orders-"}
    assert created(installed.cluster, body, namespace)["metadata"]["name"].startswith("orders-")


async def test_what_was_stored_before_the_webhook_can_be_touched_mended_in_steps_and_deleted(
    installed: Installed, namespace: str
) -> None:
    cluster = installed.cluster
    installed.unregister()
    cluster.apply(document(GHOST), namespace=namespace)
    installed.register()
    cluster.kubectl("label", "choreography/orders", "team=shop", "-n", namespace)
    edited = GHOST.replace("timeout: 5s", "timeout: 7s")
    assert "not mended: spec.events.Ghost" in warnings(cluster, document(edited), namespace)
    worse = document(edited.replace("Ghost: {}", "Ghost: {}\n    Phantom: {}"))
    assert "Phantom" in (text := refusal(cluster, worse, namespace))
    assert "Ghost" not in text.partition("is invalid")[2]
    cluster.apply(document(ORDERS), namespace=namespace)
    assert "is invalid" in refusal(cluster, document(GHOST), namespace)
    cluster.kubectl("delete", "choreography/orders", "-n", namespace)


async def test_a_labelled_pod_gets_a_native_sidecar_and_keeps_its_own(installed: Installed, namespace: str) -> None:
    installed.cluster.apply(document(ORDERS), namespace=namespace)
    await known(installed, namespace)
    stored = created(installed.cluster, pod(), namespace)
    sidecar = ambassador(stored)
    assert sidecar
    assert sidecar["restartPolicy"] == "Always"
    assert stored["metadata"]["labels"]["choregos.dev/injected"] == "true"
    (app,) = stored["spec"]["containers"]
    assert [each["name"] for each in app["env"]] == ["CHOREGOS_PUBLISH_URL"]
    tokens = {each["name"] for each in stored["spec"]["volumes"] if "projected" in each}
    assert tokens & {each["name"] for each in app["volumeMounts"] if each["mountPath"] == TOKEN}
    assert not tokens & {each["name"] for each in sidecar["volumeMounts"]}


async def test_a_dry_run_shows_the_pod_as_it_would_be_and_stores_nothing(installed: Installed, namespace: str) -> None:
    assert ambassador(created(installed.cluster, pod(), namespace, "--dry-run=server"))
    assert installed.cluster.get("pods", "-n", namespace)["items"] == []


async def test_a_pod_of_a_service_that_nobody_declares_starts_with_a_warning(
    installed: Installed, namespace: str
) -> None:
    text = warnings(installed.cluster, pod(), namespace, verb="create")
    assert 'no choreography of this namespace has the service "payment"' in text
    (stored,) = installed.cluster.get("pods", "-n", namespace)["items"]
    assert ambassador(stored)


async def test_a_value_that_cannot_be_used_refuses_the_pod_and_names_what_can(
    installed: Installed, namespace: str
) -> None:
    body = pod(annotations={"choregos.dev/log-level": "loud"})
    text = refusal(installed.cluster, body, namespace, verb="create")
    assert 'metadata.annotations["choregos.dev/log-level"] is "loud"; write debug, info, warning or error' in text


async def test_pods_of_deployments_and_jobs_are_injected(installed: Installed, namespace: str) -> None:
    template = {"metadata": {"labels": pod()["metadata"]["labels"]}, "spec": pod()["spec"]}
    selector = {"matchLabels": {"app": "shop"}}
    installed.cluster.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "shop"},
            "spec": {"replicas": 2, "selector": selector, "template": template},
        },
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "shop"},
            "spec": {"template": {**template, "spec": {**template["spec"], "restartPolicy": "Never"}}},
        },
        namespace=namespace,
    )

    def pods() -> list[Body]:
        found: list[Body] = installed.cluster.get("pods", "-n", namespace)["items"]
        return found if len(found) == 3 else []

    stored = await wait_for(pods, "three pods")
    assert all(ambassador(each) for each in stored)
    assert sorted(each["metadata"]["ownerReferences"][0]["kind"] for each in stored) == [
        "Job",
        "ReplicaSet",
        "ReplicaSet",
    ]


async def test_a_refused_pod_of_a_deployment_is_told_in_its_events(installed: Installed, namespace: str) -> None:
    metadata = {**pod()["metadata"], "annotations": {"choregos.dev/publish-port": "http"}}
    template = {"metadata": {name: metadata[name] for name in ("labels", "annotations")}, "spec": pod()["spec"]}
    spec = {"selector": {"matchLabels": {"app": "shop"}}, "template": template}
    installed.cluster.apply(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}, "spec": spec}, namespace=namespace
    )

    def told() -> list[str]:
        events = installed.cluster.get("events", "-n", namespace)["items"]
        return [event["message"] for event in events if event["reason"] == "FailedCreate"]

    assert 'metadata.annotations["choregos.dev/publish-port"] is "http"' in (await wait_for(told, "an event"))[0]


async def test_while_it_is_away_labelled_pods_are_refused_and_no_other_suffers(
    installed: Installed, namespace: str
) -> None:
    async with down(installed):
        text = refusal(installed.cluster, pod(), namespace, verb="create")
        assert 'failed calling webhook "inject.choregos.dev"' in text
        assert 'failed calling webhook "validate.choregos.dev"' in refusal(
            installed.cluster, document(ORDERS), namespace
        )
        assert ambassador(created(installed.cluster, unlabelled(), namespace)) is None
        installed.cluster.kubectl("delete", "pods", "--all", "-n", namespace, "--wait=false")
    assert ambassador(created(installed.cluster, pod(), namespace))
    assert ambassador(created(installed.cluster, unlabelled(), namespace)) is None


async def test_an_object_is_deleted_and_its_status_written_while_it_is_away(
    installed: Installed, namespace: str
) -> None:
    installed.cluster.apply(document(ORDERS), namespace=namespace)
    async with down(installed):
        status = json.dumps({"status": {"services": 3}})
        installed.cluster.kubectl(
            "patch", "choreography/orders", "-n", namespace, "--subresource=status", "--type=merge", "-p", status
        )
        installed.cluster.kubectl("delete", "choreography/orders", "-n", namespace, "--timeout=60s")


async def test_an_expired_certificate_is_named_in_the_refusal_and_a_new_one_mends_it_without_a_restart(
    installed: Installed, namespace: str
) -> None:
    async with down(installed):
        installed.secret.hold(installed.leaf(expired=True))
    assert "certificate has expired" in refusal(installed.cluster, pod(), namespace, verb="create")
    assert ambassador(created(installed.cluster, unlabelled(), namespace)) is None
    installed.secret.hold(installed.leaf())

    def admitted() -> bool:
        try:
            return ambassador(created(installed.cluster, pod(), namespace)) is not None
        except KubectlError:
            return False

    await wait_for(admitted, "a labelled pod is admitted again")


async def test_it_goes_on_after_the_api_server_was_away(installed: Installed, namespace: str) -> None:
    installed.cluster.restart_api_server()
    installed.cluster.apply(document(ORDERS), namespace=namespace)
    await known(installed, namespace)
    assert await installed.webhook.probe("/readyz") == (200, "ok\n")


async def test_a_signal_ends_it_and_nothing_is_refused_until_it_is_gone(installed: Installed, namespace: str) -> None:
    installed.webhook.signal(signal.SIGTERM)
    await installed.webhook.logged("stopping")
    assert ambassador(created(installed.cluster, pod(), namespace))
    assert await installed.webhook.ended() == 0
    await installed.webhook.start()
