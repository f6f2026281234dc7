"""What each process may do on the API server (RBAC): no more than its calls take, and why each of them is made.

The webhook reads choreographies and buses, and nothing else. The controller writes where choreographies are, which is any
namespace; what belongs to the release it touches in the release's namespace only, and by name. A right to create cannot be
bound to a name, and none to a label: of pods, ConfigMaps and workloads both processes ask for the labelled ones only, but
the right is to all.

Nothing here is for kopf: API discovery, which it reads, is open to every account.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from choregos_contract.resources import API_VERSION
from choregos_operator.settings import Settings

RBAC: Final = "rbac.authorization.k8s.io"
CHOREGOS: Final = API_VERSION.partition("/")[0]
CORE: Final = ""
READ: Final = ("list", "watch")


@dataclass(frozen=True, slots=True)
class Rule:
    """Some verbs on some resources of one API group."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str
    """What would not work without it, or be seen."""
    names: tuple[str, ...] = ()
    """The objects that it is bound to; empty for all."""

    @property
    def manifest(self) -> dict[str, Any]:
        """The rule as a role holds it."""
        bound = {"resourceNames": list(self.names)} if self.names else {}
        return {"apiGroups": [self.group], "resources": list(self.resources), "verbs": list(self.verbs), **bound}


@dataclass(frozen=True, slots=True)
class Rights:
    """What one process may do."""

    process: str
    cluster: tuple[Rule, ...]
    """In all namespaces, and on what has none."""
    namespaced: tuple[Rule, ...] = ()
    """In the release's namespace."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All of them."""
        return (*self.cluster, *self.namespaced)


def webhook_rights(_settings: Settings) -> Rights:
    """Return what the webhook may do."""
    why = "It answers from what it knows of choreographies and buses: what a pod is told, and whose names collide."
    return Rights("webhook", (Rule(CHOREGOS, ("choreographies", "eventbuses"), READ, why),))


def controller_rights(settings: Settings) -> Rights:
    """Return what the controller may do."""
    cluster = [*_RECONCILING]
    namespaced = [
        Rule(
            "coordination.k8s.io",
            ("leases",),
            ("get", "update"),
            "One controller at a time works: the one that holds this Lease, renews it, and gives it back at its end.",
            (settings.lease,),
        ),
        Rule("coordination.k8s.io", ("leases",), ("create",), "The first controller makes the Lease."),
    ]
    if settings.evict_uninjected:
        cluster += _EVICTING
    if settings.own_certificates:
        cluster.append(
            Rule(
                "admissionregistration.k8s.io",
                ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
                ("get", "patch"),
                "The API server trusts the webhook by the authority that is written into both configurations.",
                (settings.webhook_configuration,),
            )
        )
        namespaced += [
            Rule(
                CORE,
                ("secrets",),
                ("get", "update"),
                "The webhook's certificate is kept in this Secret, and renewed.",
                (settings.webhook_secret,),
            ),
            Rule(
                CORE,
                ("secrets",),
                ("create",),
                "The Secret is made with the first certificate, and when it was deleted.",
            ),
        ]
    return Rights("controller", tuple(cluster), tuple(namespaced))


def manifests(settings: Settings, *, release: str = "choregos") -> list[dict[str, Any]]:
    """Return the accounts, roles and bindings of both processes; all are named after the release."""
    found = []
    for rights in (controller_rights(settings), webhook_rights(settings)):
        found += [*_of_process(rights, settings.namespace, f"{release}-{rights.process}")]
    return found


def _of_process(rights: Rights, namespace: str, name: str) -> Iterator[dict[str, Any]]:
    here = {"name": name, "namespace": namespace}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": here}
    yield from _bound("ClusterRole", {"name": name}, rights.cluster, here)
    if rights.namespaced:
        yield from _bound("Role", here, rights.namespaced, here)


def _bound(
    kind: str, metadata: dict[str, str], rules: Sequence[Rule], account: dict[str, str]
) -> Iterator[dict[str, Any]]:
    head = {"apiVersion": f"{RBAC}/v1", "metadata": metadata}
    yield {**head, "kind": kind, "rules": [rule.manifest for rule in rules]}
    yield {
        **head,
        "kind": f"{kind}Binding",
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": metadata["name"]},
        "subjects": [{"kind": "ServiceAccount", **account}],
    }


_RECONCILING: Final = (
    Rule(CHOREGOS, ("choreographies", "eventbuses"), READ, "They say what is wired."),
    Rule(
        CHOREGOS,
        ("choreographies/status", "eventbuses/status"),
        ("patch",),
        "Conditions and figures are in their status; what users wrote is never changed.",
    ),
    Rule(CORE, ("configmaps",), READ, "A configuration that somebody deleted or edited is put right."),
    Rule(
        CORE,
        ("configmaps",),
        ("create", "update", "delete"),
        "Each service's configuration is a ConfigMap in the namespace of its choreography.",
    ),
    Rule(
        CORE, ("configmaps",), ("get",), "One that lost its label is not among the watched ones, and is labelled again."
    ),
    Rule(CORE, ("pods",), READ, "Labelled pods are counted, and those without an ambassador are found."),
    Rule(
        CORE,
        ("pods",),
        ("patch",),
        "An annotation has the kubelet bring a pod its new configuration at once, instead of after a minute or two.",
    ),
    Rule(
        "apps",
        ("deployments", "statefulsets", "daemonsets"),
        READ,
        "One that carries the label on itself and not on its pods is told so.",
    ),
    Rule("events.k8s.io", ("events",), ("create",), "What happens is told where it is looked for: `kubectl describe`."),
)
_EVICTING: Final = (
    Rule(CORE, ("pods",), ("get",), "A pod without an ambassador is looked at again before it is evicted."),
    Rule(
        CORE, ("pods",), ("create",), "A dry run shows that the next pod would have an ambassador; none is ever made."
    ),
    Rule(CORE, ("pods/eviction",), ("create",), "The pod is evicted, as far as its PodDisruptionBudget lets it."),
)
