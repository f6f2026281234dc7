"""A release of the operator in a cluster, under exactly the rights that it is installed with, and less where a test wants."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from choregos_operator.rights import controller_rights, manifests, webhook_rights
from choregos_operator.settings import Settings
from choregos_operator.webhook.registration import webhook_configurations
from support.cluster import Cluster
from support.operator_process import OperatorProcess
from support.secret import Secret
from support.waiting import eventually
from support.webhook_process import Webhook

PORT = 9443
Manifest = dict[str, Any]


class Right(NamedTuple):
    """One verb on one resource, subresource included."""

    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"

    @property
    def refusal(self) -> str:
        """How the API server says that it is missing."""
        return f'cannot {self.verb} resource "{self.resource}" in API group "{self.group}"'


class Release:
    """The accounts, roles and bindings of a release, its Service, and its processes, which the test starts."""

    def __init__(self, cluster: Cluster, namespace: str, directory: Path, **settings: Any) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.settings = Settings(namespace=namespace, webhook_configuration=namespace, **settings)
        self.certificates = Secret(directory / "certificates")
        self._directory = directory
        self._missing: frozenset[tuple[str, Right]] = frozenset()
        cluster.apply(*manifests(self.settings, release=namespace), namespace=namespace)
        service: Manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": self.settings.webhook_service}}
        cluster.apply({**service, "spec": {"ports": [{"port": PORT}]}}, namespace=namespace)
        self._address = cluster.get("service", self.settings.webhook_service, "-n", namespace)["spec"]["clusterIP"]

    # Rights

    def rights(self, process: str) -> set[Right]:
        """What a process may do."""
        found = {"controller": controller_rights, "webhook": webhook_rights}[process](self.settings)
        return {Right(verb, r.group, resource) for r in found.rules for resource in r.resources for verb in r.verbs}

    def user(self, process: str) -> str:
        """The name by which the API server knows a process."""
        return f"system:serviceaccount:{self.namespace}:{self.namespace}-{process}"

    def kubeconfig(self, process: str) -> Path:
        """Of a process's account, with a token as a pod would have one."""
        token = self.cluster.kubectl("create", "token", f"{self.namespace}-{process}", "-n", self.namespace).strip()
        config = json.loads(self.cluster.kubeconfig.read_text())
        config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
        file = self._directory / f"{process}.kubeconfig"
        file.touch(mode=0o600)
        file.write_text(json.dumps(config))
        return file

    def grant(self, *missing: Right, process: str = "controller") -> None:
        """Have every right in force but these of a process, and return when the API server decides by it."""
        now = frozenset((process, right) for right in missing)
        roles = [each for each in manifests(self.settings, release=self.namespace) if "rules" in each]
        for each in roles:
            if each["metadata"]["name"] == f"{self.namespace}-{process}":
                for right in missing:
                    each["rules"] = list(_without(each["rules"], right))
        self.cluster.apply(*roles, namespace=self.namespace)
        changed, self._missing = self._missing ^ now, now
        eventually(lambda: all(self._may(*each) is (each not in now) for each in changed), "the roles are in force")

    @contextmanager
    def without(self, *missing: Right, process: str = "controller") -> Iterator[None]:
        """Take rights away meanwhile."""
        self.grant(*missing, process=process)
        try:
            yield
        finally:
            self.grant()

    def _may(self, process: str, right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        named = {
            "leases": self.settings.lease,
            "secrets": self.settings.webhook_secret,
            "mutatingwebhookconfigurations": self.settings.webhook_configuration,
            "validatingwebhookconfigurations": self.settings.webhook_configuration,
        }
        target = f"{resource}.{right.group}".rstrip(".")
        if right.verb != "create" and resource in named:
            target += f"/{named[resource]}"
        return self.cluster.kubectl_as(self.cluster.kubeconfig).succeeds(
            "auth", "can-i", right.verb, target, f"--subresource={subresource}", f"--as={self.user(process)}",
            f"--namespace={self.namespace}", "--quiet",
        )  # fmt: skip

    # Processes

    def controller(self, **variables: str) -> OperatorProcess:
        """The controller, not started yet."""
        told = {
            "CHOREGOS_NATS_URL": self.settings.nats_url,
            "CHOREGOS_WEBHOOK_CONFIGURATION": self.settings.webhook_configuration,
            "CHOREGOS_EVICT_UNINJECTED": str(self.settings.evict_uninjected).lower(),
            "CHOREGOS_OWN_CERTIFICATES": str(self.settings.own_certificates).lower(),
            "CHOREGOS_SWEEP_SECONDS": str(self.settings.sweep_seconds),
        }
        return OperatorProcess("controller", self.kubeconfig("controller"), self.namespace, **told | variables)

    def webhook(self, **variables: str) -> Webhook:
        """The webhook where its Service is; the API server must be told of it."""
        told = {
            "CHOREGOS_WEBHOOK_HOST": self._address,
            "CHOREGOS_WEBHOOK_PORT": str(PORT),
            "CHOREGOS_SWEEP_SECONDS": str(self.settings.sweep_seconds),
        }
        return Webhook(self.kubeconfig("webhook"), str(self.certificates), self.namespace, **told | variables)

    def register(self) -> None:
        """Have the API server ask the webhook, as soon as it trusts it."""
        service = {"name": self.settings.webhook_service, "namespace": self.namespace, "port": PORT}
        self.cluster.apply(*webhook_configurations(self.settings, client_config={"service": service}))

    def unregister(self) -> None:
        """Have the API server ask nobody."""
        kinds = "mutatingwebhookconfiguration,validatingwebhookconfiguration"
        self.cluster.kubectl("delete", kinds, self.settings.webhook_configuration, "--ignore-not-found")

    def remove(self) -> None:
        """Take away what is of no namespace."""
        self.unregister()
        names = [f"{self.namespace}-{process}" for process in ("controller", "webhook")]
        self.cluster.kubectl("delete", "clusterrole,clusterrolebinding", *names, "--ignore-not-found")

    # The Secret

    @property
    def secret(self) -> dict[str, str]:
        """The data of the Secret, as text; empty without it."""
        name = f"--field-selector=metadata.name={self.settings.webhook_secret}"
        found = self.cluster.get("secrets", "-n", self.namespace, name)["items"]
        data = found[0].get("data", {}) if found else {}
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def mount(self) -> None:
        """Do what the kubelet does: bring the webhook its certificate, once there is one."""
        data = eventually(lambda: self.secret if "tls.crt" in self.secret else None, "the certificate is made")
        assert data
        self.certificates.hold({name: data[name] for name in ("tls.crt", "tls.key")})

    def forget_certificate(self) -> None:
        """Delete the Secret, and have the API server trust no authority: with a trusted one, its successor has to wait."""
        self.unregister()
        self.cluster.kubectl("delete", "secret", self.settings.webhook_secret, "-n", self.namespace)
        self.register()

    def damage_secret(self) -> None:
        """Take the certificate away, and leave the rest."""
        patch = '{"data":{"tls.crt":null,"tls.key":null}}'
        self.cluster.kubectl("patch", "secret", self.settings.webhook_secret, "-n", self.namespace, f"--patch={patch}")


def _without(rules: list[Manifest], right: Right) -> Iterator[Manifest]:
    """Yield the rules, but for one verb on one resource."""
    for rule in rules:
        concerned = right.group in rule["apiGroups"] and right.resource in rule["resources"]
        if not (concerned and right.verb in rule["verbs"]):
            yield rule
            continue
        others = [resource for resource in rule["resources"] if resource != right.resource]
        verbs = [verb for verb in rule["verbs"] if verb != right.verb]
        if others:
            yield {**rule, "resources": others}
        if verbs:
            yield {**rule, "resources": [right.resource], "verbs": verbs}
