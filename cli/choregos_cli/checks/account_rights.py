"""What the accounts of the operator's processes have to be allowed, as docs/reference/rights.md lists it.

A test compares this with the roles that a release brings.
"""

from collections.abc import Iterator, Mapping, Sequence

from choregos_cli.cluster.controller_settings import Component
from choregos_cli.cluster.kinds import OUR_GROUP
from choregos_cli.cluster.kubectl import Right

_ADMISSION = "admissionregistration.k8s.io"
_KINDS = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")


def wanted_rights(components: Sequence[Component]) -> Mapping[tuple[str, str], tuple[Right, ...]]:
    """Return the rights of each process, by namespace and name of its account."""
    return {
        (each.namespace, _account(each)): tuple(_of_controller(each) if each.is_controller else _resources())
        for each in components
    }


def user(namespace: str, account: str) -> tuple[str, tuple[str, ...]]:
    """Return the name and the groups by which the API server knows an account."""
    everybody = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return f"system:serviceaccount:{namespace}:{account}", everybody


def _account(component: Component) -> str:
    return str(component.deployment["spec"]["template"]["spec"].get("serviceAccountName", "default"))


def _resources() -> Iterator[Right]:
    for verb in ("list", "watch"):
        yield Right(verb, "choreographies", OUR_GROUP)
        yield Right(verb, "eventbuses", OUR_GROUP)


def _of_controller(component: Component) -> Iterator[Right]:
    yield from _resources()
    for kind in ("choreographies", "eventbuses"):
        yield Right("patch", f"{kind}/status", OUR_GROUP)
    for verb in ("list", "watch", "create", "update", "delete", "get"):
        yield Right(verb, "configmaps")
    for verb in ("list", "watch", "patch"):
        yield Right(verb, "pods")
    for workload in ("deployments", "statefulsets", "daemonsets"):
        yield Right("list", workload, "apps")
        yield Right("watch", workload, "apps")
    yield Right("create", "events", "events.k8s.io")
    yield from _of_release(component)
    if component.setting("EVICT_UNINJECTED") == "true":
        yield Right("get", "pods")
        yield Right("create", "pods")
        yield Right("create", "pods/eviction")


def _of_release(component: Component) -> Iterator[Right]:
    here, lease = component.namespace, component.setting("LEASE") or "choregos-controller"
    for verb in ("get", "update"):
        yield Right(verb, "leases", "coordination.k8s.io", here, lease)
    yield Right("create", "leases", "coordination.k8s.io", here)
    if component.setting("OWN_CERTIFICATES") == "false":
        return
    configuration = component.setting("WEBHOOK_CONFIGURATION") or "choregos"
    for kind in _KINDS:
        for verb in ("get", "patch"):
            yield Right(verb, kind, _ADMISSION, "", configuration)
    secret = component.setting("WEBHOOK_SECRET") or "choregos-webhook"
    for verb in ("get", "update"):
        yield Right(verb, "secrets", "", here, secret)
    yield Right("create", "secrets", "", here)
