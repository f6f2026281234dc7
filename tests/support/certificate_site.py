"""A release of the operator around the webhook's certificate: what is installed, a webhook that serves, pods that are made.

A kubelet is played: what is in the Secret is given to the webhook a little later, as files, without a restart.
"""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from prometheus_client import CollectorRegistry

from choregos_operator.certificates.issue import Terms
from choregos_operator.certificates.keeper import AT_ONCE, Keeper, utc_now
from choregos_operator.certificates.objects import KINDS, held_of
from choregos_operator.certificates.trust import bundle_of
from choregos_operator.settings import Settings
from support.admission_server import AdmissionServer, admission_server
from support.cluster import Cluster
from support.waiting import PATIENCE, wait_for

PORT = 8443
SYNC = 0.2
"""Seconds after which the server has what is in the Secret, at most."""
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "shop-", "labels": {"choregos.dev/service": "shop"}},
    "spec": {"containers": [{"name": "shop", "image": "shop"}]},
}


@dataclass
class Site:
    """One release of the operator in a namespace of its own, with the rights that the keeper is given and no other."""

    cluster: Cluster
    namespace: str
    directory: Path
    settings: Settings
    kubeconfig: Path
    address: str
    """Of the Service, on the loopback."""
    admitted: int = 0
    refused: list[str] = field(default_factory=list)
    served: set[bytes] = field(default_factory=set)

    # What is installed

    def install(self, *kinds: str) -> None:
        self.cluster.apply(*(self._configuration(kind) for kind in kinds or KINDS))

    def uninstall(self, *kinds: str) -> None:
        for kind in kinds or KINDS:
            self.cluster.kubectl("delete", kind, self.settings.webhook_configuration, "--ignore-not-found")

    def _configuration(self, kind: str) -> dict[str, Any]:
        """Return a configuration with two webhooks, for the pods of this namespace."""
        service = {"name": self.settings.webhook_service, "namespace": self.namespace, "port": PORT, "path": "/"}
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        webhook = {
            "clientConfig": {"service": service},
            "rules": [rule],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Fail",
            "timeoutSeconds": 5,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
        }
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration" if kind == KINDS[0] else "ValidatingWebhookConfiguration",
            "metadata": {"name": self.settings.webhook_configuration},
            "webhooks": [{"name": f"{name}.choregos.dev", **webhook} for name in ("one", "two")],
        }

    # What is there now

    def bundles(self) -> list[bytes]:
        name = self.settings.webhook_configuration
        found = [self.cluster.get(kind, name)["webhooks"] for kind in KINDS]
        return [base64.b64decode(each["clientConfig"].get("caBundle", "")) for webhooks in found for each in webhooks]

    def secret(self) -> dict[str, Any] | None:
        name = self.settings.webhook_secret
        found = self.cluster.get("secrets", "-n", self.namespace, f"--field-selector=metadata.name={name}")["items"]
        return found[0] if found else None

    def authority(self) -> bytes:
        """Return the authority that signs now, as a bundle."""
        held = held_of(self.secret(), utc_now())
        return bundle_of([held.current.certificate]) if held.current else b""

    def settled(self) -> bool:
        """Whether one authority signs, and every bundle holds it and no other."""
        authority, bundles = self.authority(), self.bundles()
        return bool(authority) and set(bundles) == {authority}

    # Who acts

    @asynccontextmanager
    async def client(self, kubeconfig: Path | None = None) -> AsyncIterator[ApiClient]:
        configuration = Configuration()
        await config.load_kube_config(
            config_file=str(kubeconfig or self.kubeconfig), client_configuration=configuration
        )
        configuration.retries = None
        async with ApiClient(configuration) as client:
            yield client

    @asynccontextmanager
    async def keeper(self, terms: Terms | None = None, behind: timedelta = timedelta(0)) -> AsyncIterator[Keeper]:
        """Connect a controller, whose clock may be behind."""
        async with self.client() as client:
            yield Keeper(client, self.settings, CollectorRegistry(), terms=terms, clock=lambda: utc_now() - behind)

    async def keep(self, terms: Terms | None = None, behind: timedelta = timedelta(0)) -> None:
        """Take all steps that are due."""
        async with self.keeper(terms, behind) as keeper:
            while await keeper.look() == AT_ONCE:
                pass

    @asynccontextmanager
    async def kept(self, terms: Terms | None = None, count: int = 1) -> AsyncIterator[None]:
        """Have controllers keep the certificate meanwhile."""
        stop = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            keepers = [await stack.enter_async_context(self.keeper(terms)) for _ in range(count)]
            tasks = [asyncio.create_task(each.run(stop)) for each in keepers]
            try:
                yield
            finally:
                stop.set()
                async with asyncio.timeout(PATIENCE):
                    await asyncio.gather(*tasks)

    @property
    def hasty(self) -> Terms:
        """Terms for a cluster in which everybody follows within a few seconds."""
        return replace(Terms.of(self.settings), propagation=timedelta(seconds=4), retirement=timedelta(seconds=8))

    @asynccontextmanager
    async def webhook(self) -> AsyncIterator[None]:
        """Serve admissions with what is in the Secret, from the moment that it is there; every request shakes hands."""
        async with background(self._serve()):
            yield

    @asynccontextmanager
    async def pods(self) -> AsyncIterator[None]:
        """Have pods made meanwhile, one after the other, in two lanes."""
        async with self.client(self.cluster.kubeconfig) as client, background(self._lane(client), self._lane(client)):
            yield

    async def some_pods(self, count: int = 6) -> None:
        """Wait until so many pods more have been admitted or refused."""
        before = self.admitted + len(self.refused)
        await wait_for(lambda: self.admitted + len(self.refused) >= before + count, what=f"{count} more pods")

    async def pod(self, client: ApiClient) -> str | None:
        """Make a pod, but for storing it; returns why it was refused."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        request = await client.param_serialize("POST", path, query_params=[("dryRun", "All")], body=POD)
        response = await client.call_api(*request, _request_timeout=PATIENCE)
        body = orjson.loads(await response.read())
        return None if response.status == 201 else str(body["message"])

    async def admission(self) -> str | None:
        """Make one pod, but for storing it; returns why it was refused."""
        async with self.client(self.cluster.kubeconfig) as client:
            return await self.pod(client)

    async def _lane(self, client: ApiClient) -> None:
        while True:
            refusal = await self.pod(client)
            if refusal is None:
                self.admitted += 1
            else:
                self.refused.append(refusal)

    async def _serve(self) -> None:
        server: AdmissionServer | None = None
        async with self.client(self.cluster.kubeconfig) as client:
            with contextlib.ExitStack() as serving:
                while True:
                    context = await self._sync(client)
                    if context and server:
                        server.context = context
                    elif context:
                        server = serving.enter_context(admission_server(self.address, PORT, context))
                    await asyncio.sleep(SYNC)

    async def _sync(self, client: ApiClient) -> ssl.SSLContext | None:
        """Do what the kubelet and the webhook do: files that are new are loaded; without them, the last ones stay."""
        path = f"/api/v1/namespaces/{self.namespace}/secrets/{self.settings.webhook_secret}"
        response = await client.call_api(*await client.param_serialize("GET", path), _request_timeout=PATIENCE)
        data = orjson.loads(await response.read()).get("data") or {}
        if not {"tls.crt", "tls.key"} <= data.keys() or base64.b64decode(data["tls.crt"]) in self.served:
            return None
        for name in ("tls.crt", "tls.key"):
            (self.directory / name).write_bytes(base64.b64decode(data[name]))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.directory / "tls.crt", self.directory / "tls.key")
        self.served.add(base64.b64decode(data["tls.crt"]))
        return context


@asynccontextmanager
async def background(*work: Any) -> AsyncIterator[None]:
    """Have something done meanwhile; whatever ends it early ends the test."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error


def release(cluster: Cluster, namespace: str, directory: Path) -> "Site":
    """Make the Service and the rights of a release; it has no webhook configurations yet."""
    settings = Settings(namespace=namespace, webhook_configuration=f"choregos-{namespace}")
    kubeconfig = cluster.user_kubeconfig(f"controller-{namespace}")
    metadata = {"name": settings.webhook_service}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": PORT}]}}
    cluster.apply(service, *rights(settings, f"controller-{namespace}"), namespace=namespace)
    address = cluster.get("service", settings.webhook_service, "-n", namespace)["spec"]["clusterIP"]
    return Site(cluster, namespace, directory, settings, kubeconfig, address)


def rights(settings: Settings, user: str) -> list[dict[str, Any]]:
    """Return the keeper's rights: all that it may do, and all that it needs."""
    group, name = "rbac.authorization.k8s.io", f"keeper-{settings.namespace}"
    here = {"name": name, "namespace": settings.namespace}
    subjects = [{"kind": "User", "name": user, "apiGroup": group}]
    secrets = {"apiGroups": [""], "resources": ["secrets"]}
    in_namespace = [
        {**secrets, "verbs": ["get", "update"], "resourceNames": [settings.webhook_secret]},
        {**secrets, "verbs": ["create"]},
    ]
    in_cluster = [
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": list(KINDS),
            "verbs": ["get", "patch"],
            "resourceNames": [settings.webhook_configuration],
        }
    ]
    roles = [("Role", here, in_namespace), ("ClusterRole", {"name": name}, in_cluster)]
    made: list[dict[str, Any]] = []
    for kind, metadata, rules in roles:
        version = f"{group}/v1"
        reference = {"apiGroup": group, "kind": kind, "name": name}
        made += [
            {"apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules},
            {
                "apiVersion": version,
                "kind": f"{kind}Binding",
                "metadata": metadata,
                "roleRef": reference,
                "subjects": subjects,
            },
        ]
    return made
