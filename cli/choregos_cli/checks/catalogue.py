"""Every check by its code, with what is asked and how a failure is mended. A code never changes its meaning."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from choregos_cli.cluster.complaints import INSTALL

PAGE: Final = "docs/reference/checks.md"


class Section(StrEnum):
    """The checks of one part, in the order in which one stands on the other."""

    KUBERNETES = "kubernetes"
    DEFINITIONS = "choregos-crds"
    OPERATOR = "choregos-operator"
    WEBHOOK = "choregos-webhook"
    NATS = "nats"
    CHOREOGRAPHIES = "choreographies"
    PODS = "pods"
    FLOW = "flow"


class Level(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    code: str
    section: Section
    asks: str
    """What is asked, as a statement that holds if all is well."""
    hint: str
    """What to do where it does not hold."""
    worst: Level = Level.FAILED
    """What it comes to then."""

    @property
    def see(self) -> str:
        """Where it is explained."""
        return f"{PAGE}#{self.code}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the result."""

    check: Check
    level: Level
    says: str
    hint: str = ""


_K, _D, _O, _W = Section.KUBERNETES, Section.DEFINITIONS, Section.OPERATOR, Section.WEBHOOK
_N, _C, _P, _F = Section.NATS, Section.CHOREOGRAPHIES, Section.PODS, Section.FLOW
_WARNS: Final = Level.WARNING
_CHECKS: Final = (
    Check(
        "kubernetes-version",
        _K,
        "Kubernetes is 1.29 or later, so that ambassadors are native sidecars",
        "upgrade the cluster; older ones end a sidecar before its service",
    ),
    Check(
        "own-rights",
        _K,
        "you may read all that is checked",
        "ask for a role with these rights; what they would show is skipped",
        _WARNS,
    ),
    Check(
        "crds-installed",
        _D,
        "the kinds Choreography and EventBus are defined and established",
        "install them: `helm upgrade --install` with crds.enabled=true, or `kubectl apply --server-side -f crds/`",
    ),
    Check(
        "crds-version",
        _D,
        "they are served and stored as v1alpha1",
        "apply the definitions of the operator's release: `kubectl apply --server-side -f crds/`",
    ),
    Check(
        "operator-found",
        _O,
        "the controller and the webhook have a Deployment each",
        INSTALL,
    ),
    Check(
        "operator-available",
        _O,
        "both Deployments have all their pods available",
        "`kubectl describe` the Deployment and read its pods' logs",
    ),
    Check(
        "operator-versions",
        _O,
        "controller, webhook and this CLI are of one version",
        "upgrade the release with `helm upgrade`, or the CLI with `pip install choregos[cli]==VERSION`",
        _WARNS,
    ),
    Check(
        "operator-lease",
        _O,
        "a controller holds the Lease and renews it",
        "read the controller's log: without the Lease nothing is wired, and status is not kept",
    ),
    Check(
        "operator-rights",
        _O,
        "the accounts of both processes have the rights that they need",
        "apply the chart again, or the roles of docs/reference/rights.md",
    ),
    Check(
        "webhook-registered",
        _W,
        "both webhook configurations exist, each with its authority (caBundle)",
        "`helm upgrade` makes the configurations; the controller, or cert-manager, writes the caBundle into them",
    ),
    Check(
        "webhook-authority",
        _W,
        "the authorities in caBundle are certificates that have not expired",
        "see docs/operations/certificates.md; the controller renews them, as does cert-manager",
    ),
    Check(
        "webhook-certificate",
        _W,
        "the webhook's certificate is good for 29 days more",
        "see docs/operations/certificates.md; the controller renews it with 30 days left",
    ),
    Check(
        "webhook-trusted",
        _W,
        "the webhook's certificate is signed by an authority of caBundle",
        "see docs/operations/certificates.md; restart the controller, which writes both",
    ),
    Check(
        "webhook-injects",
        _W,
        "a labelled pod gets an ambassador (server dry run)",
        "read the webhook's log; labelled pods cannot start, or start without an ambassador, until it is mended",
    ),
    Check(
        "webhook-validates",
        _W,
        "a choreography with an error is refused (server dry run)",
        "read the webhook's log; until it is mended, errors are found by the controller only",
    ),
    Check(
        "nats-reachable",
        _N,
        "the NATS servers of each bus answer",
        "see docs/operations/troubleshooting.md",
    ),
    Check(
        "nats-jetstream",
        _N,
        "JetStream is on, for this account too",
        "start the servers with JetStream, and give the account limits for it",
    ),
    Check("nats-version", _N, "the servers are 2.10 or later", "upgrade NATS"),
    Check(
        "streams-present",
        _N,
        "each bus has its streams",
        "the controller makes them: look at its log and at the condition Wired",
    ),
    Check(
        "durables-present",
        _N,
        "each reaction has its durable",
        "the controller makes them: look at its log and at the condition Wired",
    ),
    Check(
        "wiring-as-wanted",
        _N,
        "streams and durables are configured as the resources say",
        "`choregos plan` shows the difference; who changed it by hand puts it back, or writes it into the EventBus",
        _WARNS,
    ),
    Check(
        "stream-room",
        _N,
        "no stream is filled to more than 80 % of its maxBytes",
        "raise maxBytes of the EventBus, or lower maxAge: a full stream refuses new events",
        _WARNS,
    ),
    Check(
        "stream-replicas",
        _N,
        "streams have their replicas, and more than one where NATS is a cluster",
        "mend the NATS servers that are away; set replicas: 3 in the EventBus of a cluster",
        _WARNS,
    ),
    Check(
        "choreographies-observed",
        _C,
        "the controller has looked at the present version of each resource",
        "check that the controller runs, and read its log",
    ),
    Check(
        "choreographies-ready",
        _C,
        "each choreography and bus is Ready",
        "`kubectl describe` it; docs/reference/conditions.md explains each reason",
    ),
    Check(
        "choreographies-whole",
        _C,
        "all other conditions are True as well",
        "`kubectl describe` it; docs/reference/conditions.md explains each reason",
        _WARNS,
    ),
    Check(
        "pods-injected",
        _P,
        "each labelled pod has an ambassador",
        "restart it: `kubectl rollout restart`; the webhook injects pods only as they are created",
    ),
    Check(
        "pods-ready",
        _P,
        "each ambassador runs",
        "`kubectl logs POD -c choregos-ambassador`, and `kubectl describe pod POD`",
    ),
    Check(
        "pods-version",
        _P,
        "ambassadors have the image that the operator injects",
        "restart the pods when it suits: `kubectl rollout restart`; both versions work beside one another",
        _WARNS,
    ),
    Check(
        "pods-answer",
        _P,
        "each running ambassador answers over NATS",
        "look at the pod's log: it may not reach NATS, or have other credentials",
        _WARNS,
    ),
    Check(
        "pods-current",
        _P,
        "each ambassador works with the present configuration",
        "wait a minute; then see docs/operations/troubleshooting.md",
        _WARNS,
    ),
    Check(
        "pods-breaker",
        _P,
        "no circuit breaker is open",
        "look at the service: it is not ready, too slow, or fails; its events wait meanwhile",
        _WARNS,
    ),
    Check(
        "dead-letters",
        _F,
        "there is no dead letter",
        "see docs/reference/dead-letters.md: read them, mend the cause, redrive them",
        _WARNS,
    ),
    Check(
        "lag",
        _F,
        "no reaction is more than 1000 events behind",
        "look at the service's pods and its breaker; scale it; --max-lag sets the bound",
        _WARNS,
    ),
    Check(
        "in-flight",
        _F,
        "no reaction has 80 % of its maxInFlight out for delivery",
        "its events wait out backoffs: mend the service, or raise maxInFlight; at 100 % new events wait behind them",
        _WARNS,
    ),
    Check(
        "event-age",
        _F,
        "no waiting event is older than half of the bus's maxAge",
        "mend its reaction, or raise maxAge of the EventBus, before the events expire unread",
    ),
    Check(
        "suspended",
        _F,
        "no reaction is suspended",
        "set suspend: false when it shall go on; its events are kept for maxAge only",
        _WARNS,
    ),
    Check(
        "orphans",
        _F,
        "no durable is left of a reaction that is gone",
        "apply its choreography again to go on where it stood; otherwise it is swept after orphanTtlDays",
        _WARNS,
    ),
)
CATALOGUE: Final = {check.code: check for check in _CHECKS}
