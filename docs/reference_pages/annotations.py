"""The page of labels and annotations of a pod."""

from dataclasses import fields

from choregos_operator.annotations import (
    BUS,
    BUS_HASH,
    CONFIGURATION_GENERATION,
    CONFIGURATION_HASH,
    INJECT,
    INJECTED,
    INJECTED_LABEL,
    KINDS,
    SERVICE_LABEL,
    Tuning,
    annotation,
)
from choregos_operator.injection import volumes
from choregos_operator.injection.cautions import DRAIN_MARGIN, USUAL_GRACE
from choregos_operator.injection.container import METRICS_PORT, PUBLISH_URL
from choregos_operator.injection.pod import CONTAINER
from reference_pages.markdown import code, page, table
from reference_pages.source import attribute_docs

_UNSET = {
    "bus": "the choreography's; without one, `default`",
    "image": "the operator's `CHOREGOS_AMBASSADOR_IMAGE`",
    "cpu_limit": "none",
    "memory_limit": "none",
}
_SERVICE = (
    "The service of a Choreography in the pod's namespace that the pod is a replica of. "
    f"A pod with this label never starts without its ambassador, unless `{INJECT}` says so."
)
_HASH = (
    "The configuration that the pod was last told of. The controller's change of it has the kubelet bring a new "
    "configuration at once, instead of after a minute or two."
)
_GENERATION = (
    "The generation of that configuration. It changes even if the hash does not, once the ConfigMap of a pod is there "
    "that was injected before."
)
_BUS_HASH = (
    "The servers and the prefix that the ambassador was injected for. If the bus has others now, the condition "
    "`AmbassadorsCurrent` says that the pod has to be restarted."
)


def annotations() -> str:
    """Return the page."""
    return page(
        "Labels and annotations of a pod",
        f"""
A pod joins its service by the label `{SERVICE_LABEL}`, and can tune its ambassador by annotations. Both belong into the pod
template (`spec.template.metadata` of a Deployment), not to the Deployment itself. They are read once, when the pod is
created: a change takes effect with new pods.""",
        "## What you write",
        table(
            ("label", "takes", "meaning"),
            [(code(SERVICE_LABEL), "the name of a service, a DNS label", _SERVICE)],
        ),
        _tuning(),
        """
A value that cannot be used refuses the pod, with the ones that can. A name under `choregos.dev/` that is not known is
warned of, and changes nothing. CPU and memory are written as everywhere in Kubernetes; where only a limit is given that is
below the default request, it is the request, too.

A namespace whose ResourceQuota counts `limits.cpu` or `limits.memory` takes only pods whose every container has them: give
the ambassador limits by these annotations, or all containers by a LimitRange.""",
        "## What the operator writes",
        _written(),
        "## What is injected",
        f"""
* `{CONTAINER}`, a native sidecar: the first init container, with `restartPolicy: Always`. It starts before all others and
  ends after them, and a Job completes in spite of it. Its port of probes and metrics is named `{METRICS_PORT}`.
* `{PUBLISH_URL}` in every other container that does not set it itself, before the container's own variables.
* two volumes, both optional: `{volumes.CONFIGURATION}` (the ConfigMap `choregos-<service>`) and `{volumes.CREDENTIALS}` (the
  Secret `choregos-bus-<bus>`), mounted in the ambassador only.
* the labels and annotations above.

The ambassador fits a namespace with `restricted` pod security, runs as any user that is not root, and has no token of the
pod's ServiceAccount: where that would be mounted, its configuration is mounted a second time.

A pod is refused if its label is no DNS label, if one of its containers declares a TCP port of the ambassador or its
Choreography sends events there, if it holds a container or volume of these names, or if it is a Windows pod. It is warned
of what may surprise: a `terminationGracePeriodSeconds` (by default {USUAL_GRACE}) below the longest `delivery.timeout` of its
service (better: {DRAIN_MARGIN} more than that), a service that no choreography has, a quality of service that is `Guaranteed`
no more, `hostNetwork`.""",
    )


def _tuning() -> str:
    docs = attribute_docs(Tuning)
    return table(
        ("annotation", "takes", "default", "meaning"),
        (
            (
                code(annotation(field.name)),
                KINDS[field.name].allowed,
                _default(field.name, field.default),
                docs[field.name],
            )
            for field in fields(Tuning)
        ),
    )


def _written() -> str:
    return table(
        ("label or annotation", "by", "meaning"),
        [
            (f'label `{INJECTED_LABEL}: "{INJECTED}"`', "webhook", "The pod has its ambassador."),
            (code(CONFIGURATION_HASH), "webhook, controller", _HASH),
            (code(CONFIGURATION_GENERATION), "controller", _GENERATION),
            (code(BUS), "webhook", "The bus that the ambassador connects to, where the pod did not name one."),
            (code(BUS_HASH), "webhook", _BUS_HASH),
        ],
    )


def _default(name: str, value: object) -> str:
    if value is None:
        return _UNSET[name]
    return code(str(value).lower() if isinstance(value, bool) else value)
