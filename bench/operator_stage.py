"""The operator as a release brings it: API server, nats-server, both processes, the webhook registered.

Everything runs on the loopback. Parts of the tests' support are used (`PYTHONPATH=tests`).
"""

import asyncio
import base64
import json
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from operator_api import Api, Object, Watched
from operator_documents import GROUP

from choregos_cli.ports import free_port
from choregos_operator.certificates.issue import Leaf, Terms, new_authority, new_leaf
from choregos_operator.settings import Settings
from choregos_operator.webhook.registration import webhook_configurations
from support import crds
from support.cluster import Cluster
from support.nats import NatsServer
from support.operator_process import OperatorProcess
from support.secret import Secret
from support.webhook_process import Webhook

RELEASE = "choregos-system"
WEBHOOK_PORT = 9443
CHOREOGRAPHIES = f"/apis/{GROUP}/choreographies"
USERS = ("controller", "webhook")

# A stream takes 1000 consumers by default from server 2.15 on, which is exactly 200 choreographies of five reactions.
_NATS = """http: "127.0.0.1:{monitoring}"
jetstream: {{ limits: {{ default_max_consumers: -1 }} }}"""


@dataclass
class Stage:
    """Everything that runs."""

    cluster: Cluster
    api: Api
    nats: "MonitoredNats"
    webhook: Webhook
    controller: OperatorProcess
    choreographies: Watched
    authority: str
    """Of the webhook's certificate (PEM)."""

    def asked_api(self, user: str) -> int:
        """Return how often a user has asked the API server so far; a watch counts once."""
        return len(self.cluster.requests(user))

    async def namespaces(self, names: Iterable[str]) -> None:
        """Make namespaces, and return when pods can be made in all of them."""
        for each in names:
            await self.api.create("/api/v1/namespaces", {"metadata": {"name": each}})
        for each in names:
            await self._until_usable(each)

    async def _until_usable(self, namespace: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        async with asyncio.timeout(30):
            while not (await self.api.get(path))["items"]:  # noqa: ASYNC110  an answer over HTTP
                await asyncio.sleep(0.02)


class MonitoredNats(NatsServer):
    """A nats-server that tells how many messages each client has sent."""

    def __init__(self) -> None:
        self._monitoring = free_port(set())
        super().__init__(_NATS.format(monitoring=self._monitoring))

    def asked(self) -> int:
        """Return how many messages the operator has sent so far: all of them are requests."""
        url = f"http://127.0.0.1:{self._monitoring}/connz?state=any&limit=10000"
        with urllib.request.urlopen(url) as answer:
            connections = json.load(answer)["connections"]
        return sum(each["in_msgs"] for each in connections if each.get("name") == "choregos-operator")


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Start it all, and end it all."""
    async with AsyncExitStack() as stack:
        cluster = stack.enter_context(await asyncio.to_thread(Cluster))
        if not cluster.owned:
            raise SystemExit("unset KUBECONFIG: the benchmark counts in the audit log of an API server of its own")
        crds.install(cluster)
        nats = stack.enter_context(MonitoredNats())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="choregos-bench-")))
        cluster.kubectl("create", "namespace", RELEASE)
        cluster.apply(*map(_administrator, USERS))
        settings = Settings(namespace=RELEASE)
        client, authority, webhook = _webhook(cluster, nats.url, settings, directory)
        await stack.enter_async_context(webhook)
        cluster.apply(*webhook_configurations(settings, client_config=client))
        controller = OperatorProcess(
            "controller",
            cluster.user_kubeconfig("controller"),
            RELEASE,
            CHOREGOS_NATS_URL=nats.url,
            CHOREGOS_OWN_CERTIFICATES="false",
        )
        await stack.enter_async_context(controller)
        api = Api(cluster.kubeconfig)
        stack.push_async_callback(api.close)
        watched = await stack.enter_async_context(Watched(api, CHOREOGRAPHIES))
        try:
            yield Stage(cluster, api, nats, webhook, controller, watched, authority)
        except BaseException:
            sys.stderr.writelines(json.dumps(line) + "\n" for line in controller.lines[-20:])
            raise


def _webhook(cluster: Cluster, nats_url: str, settings: Settings, directory: Path) -> tuple[Object, str, Webhook]:
    """Return its `clientConfig`, its authority and its process; a Service leads to it, as in a release."""
    terms, now = Terms.of(settings), datetime.now(UTC)
    authority = new_authority(terms, now)
    secret = Secret(directory / "secret", **_pem(new_leaf(authority, terms, now)))
    service = {"name": settings.webhook_service, "namespace": RELEASE}
    ports = {"ports": [{"port": WEBHOOK_PORT}]}
    cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": service, "spec": ports}, namespace=RELEASE)
    address = cluster.get("service", service["name"], "-n", RELEASE)["spec"]["clusterIP"]
    webhook = Webhook(
        cluster.user_kubeconfig("webhook"),
        str(secret),
        RELEASE,
        CHOREGOS_WEBHOOK_HOST=address,
        CHOREGOS_WEBHOOK_PORT=str(WEBHOOK_PORT),
        CHOREGOS_NATS_URL=nats_url,
    )
    bundle = authority.certificate.public_bytes(Encoding.PEM)
    client = {"service": service | {"port": WEBHOOK_PORT}, "caBundle": base64.b64encode(bundle).decode()}
    return client, bundle.decode(), webhook


def _administrator(user: str) -> dict[str, Any]:
    """Bind a user to all rights: what is measured here is no question of rights."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"bench-{user}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def _pem(leaf: Leaf) -> dict[str, str]:
    key = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {"tls.crt": leaf.certificate.public_bytes(Encoding.PEM).decode(), "tls.key": key.decode()}
