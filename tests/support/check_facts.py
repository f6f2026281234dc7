"""Facts of a cluster in which all is well, for tests that make one of them otherwise."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from choregos_cli.checks.facts import BusFacts, Facts, Trial
from choregos_cli.cluster.complaints import KubernetesRefused
from choregos_cli.cluster.controller_settings import Component
from choregos_cli.cluster.kubectl import Right
from choregos_contract.names import BusNames
from choregos_contract.plan import Existing
from choregos_contract.running import RunningAmbassador
from choregos_contract.survey import BusSurvey, DurableState, Reaction, StreamState
from choregos_contract.wiring import ORPHANED, OURS, wanted
from choregos_operator.certificates.issue import Terms, new_authority, new_leaf
from choregos_operator.settings import Settings
from support.choreographies import choreography

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
IMAGE = "ghcr.io/choregos/ambassador:0.1.0"
NAMES = BusNames(namespace="shop")
PAYMENT = Reaction("payment", "Ordered")

_TERMS = Terms.of(Settings())
AUTHORITY = new_authority(_TERMS, NOW)


def pem(*, age: timedelta = timedelta(), authority: Any = AUTHORITY) -> bytes:
    """A webhook's certificate that was made so long ago; it is good for 90 days."""
    return new_leaf(authority, _TERMS, NOW - age).certificate.public_bytes(Encoding.PEM)


def component(process: str, *, image: str = "ghcr.io/choregos/operator:0.1.0", **status: Any) -> Component:
    """A Deployment of the operator."""
    env = [{"name": "CHOREGOS_AMBASSADOR_IMAGE", "value": IMAGE}]
    labels = {"app.kubernetes.io/component": process}
    return Component(
        {
            "metadata": {"name": f"choregos-{process}", "namespace": "choregos-system", "labels": labels},
            "spec": {
                "replicas": 2,
                "template": {"spec": {"containers": [{"name": process, "image": image, "env": env}]}},
            },
            "status": {"availableReplicas": 2} | status,
        }
    )


def lease(*, renewed: datetime = NOW, holder: str = "controller-1") -> dict[str, Any]:
    """The controller's Lease."""
    spec = {"holderIdentity": holder, "renewTime": renewed.isoformat(), "leaseDurationSeconds": 30}
    return {"metadata": {"name": "choregos-controller"}, "spec": spec}


def registration(bundle: bytes | None = None) -> dict[str, Any]:
    """A webhook configuration."""
    text = AUTHORITY.certificate.public_bytes(Encoding.PEM) if bundle is None else bundle
    client = {"caBundle": base64.b64encode(text).decode()}
    return {"metadata": {"name": "choregos"}, "webhooks": [{"name": "inject.choregos.dev", "clientConfig": client}]}


def definition(*versions: Mapping[str, Any], established: str = "True") -> dict[str, Any]:
    """The definition of a kind."""
    conditions = [{"type": "Established", "status": established}]
    named = versions or ({"name": "v1alpha1", "served": True, "storage": True},)
    return {"spec": {"versions": list(named)}, "status": {"conditions": conditions}}


def pod(
    *, injected: bool = True, image: str = IMAGE, state: Mapping[str, Any] | None = None, **metadata: Any
) -> dict[str, Any]:
    """A labelled pod that runs."""
    head = {"namespace": "shop", "name": "payment-1", "labels": {"choregos.dev/service": "payment"}}
    status = {"name": "choregos-ambassador", "ready": True, "state": state or {"running": {}}}
    return {
        "metadata": head | metadata,
        "spec": {"initContainers": [{"name": "choregos-ambassador", "image": image}] if injected else []},
        "status": {"phase": "Running", "initContainerStatuses": [status] if injected else []},
    }


def resource(*conditions: tuple[str, str, str, str], observed: int = 3) -> dict[str, Any]:
    """A choreography with these conditions: type, status, reason, message."""
    told = conditions or (("Ready", "True", "Ready", "events flow"),)
    named = [dict(zip(("type", "status", "reason", "message"), each, strict=True)) for each in told]
    return {
        "kind": "Choreography",
        "metadata": {"name": "orders", "namespace": "shop", "generation": 3},
        "status": {"observedGeneration": observed, "conditions": named},
    }


def durable(*, unread: int = 0, in_hand: int = 0, orphaned: str = "") -> DurableState:
    """The durable of PAYMENT."""
    metadata = {f"{OURS}service": "payment", f"{OURS}event": "Ordered"} | ({ORPHANED: orphaned} if orphaned else {})
    existing = Existing({"max_ack_pending": 100, "metadata": metadata}, "")
    return DurableState("choregos_payment_Ordered", existing, unread=unread, in_hand=in_hand)


def stream(name: str, *, size: int = 10, replicas: int = 1, current: tuple[str, ...] = ()) -> StreamState:
    """A stream that takes a hundred bytes."""
    leader = current[0] if current else ""
    return StreamState(Existing({"name": name, "num_replicas": replicas}, ""), 1, size, 100, current, leader)


def bus(*durables: DurableState, streams: tuple[StreamState, ...] | None = None, **changed: Any) -> BusFacts:
    """The bus of the shop."""
    external = {"Ordered": {"external": True}}
    shop = choreography({"payment": {"reactions": [{"event": "Ordered"}]}}, namespace="shop", events=external)
    wiring = wanted([shop], None, "shop")
    found = [stream(each.name) for each in wiring.streams] if streams is None else streams
    survey = BusSurvey(
        {each.existing.config["name"]: each for each in found},
        {each.name: each for each in durables or (durable(),)},
        frozenset(),
        changed.pop("dead_letters", {}),
    )
    answered = (RunningAmbassador(id="a", service="payment", pod="payment-1", generation=7, breaker="closed"),)
    usual = {"server_version": "2.15.1", "survey": survey, "ambassadors": answered, "where": "nats://nats:4222"}
    return BusFacts(**{"names": NAMES, "wanted": wiring, **usual, **changed})


def facts(**changed: Any) -> Facts:
    """All is well, but for what is changed."""
    refused = KubernetesRefused('admission webhook "validate.choregos.dev" denied the request: no', "")
    usual: dict[str, Any] = {
        "now": NOW,
        "own_version": "0.1.0",
        "api_version": "v1.34.4",
        "rights": {Right("list", "pods"): True},
        "definitions": {"choreographies.choregos.dev": definition(), "eventbuses.choregos.dev": definition()},
        "components": (component("controller"), component("webhook")),
        "lease": lease(),
        "account_rights": {"controller": {Right("list", "pods"): True}},
        "registrations": {"MutatingWebhookConfiguration": registration()},
        "certificate": pem(),
        "injected": Trial(pod()),
        "validated": Trial(refused),
        "resources": (resource(),),
        "pods": (pod(),),
        "generations": {("shop", "payment"): 7},
        "buses": (bus(),),
    }
    return Facts(**usual | changed)
