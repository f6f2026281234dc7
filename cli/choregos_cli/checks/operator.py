"""The two processes of the operator."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from choregos_cli.checks.catalogue import Level, Line
from choregos_cli.checks.facts import Facts
from choregos_cli.checks.lines import Fault, judged, named
from choregos_cli.cluster.controller_settings import COMPONENT, Component
from choregos_cli.cluster.kubectl import Object, Right

BOTH: Final = ("controller", "webhook")
_LEASE_SECONDS: Final = 30
_SKEW: Final = timedelta(seconds=5)


def operator(facts: Facts) -> Iterator[Line]:
    """Check the section."""
    yield from judged("operator-found", facts.components, _found)
    yield from judged("operator-available", facts.components, _available)
    yield from judged("operator-versions", facts.components, partial(_versions, own=facts.own_version))
    yield from judged("operator-lease", facts.lease, partial(_lease, now=facts.now))
    yield from judged("operator-rights", facts.account_rights, _rights)


def component_of(each: Component) -> str:
    """Return which process a Deployment runs."""
    return str(each.deployment["metadata"]["labels"][COMPONENT])


def _found(components: tuple[Component, ...]) -> Iterable[Fault]:
    for process in BOTH:
        found = [f"{each.namespace}/{each.name}" for each in components if component_of(each) == process]
        if not found:
            yield Fault(f"there is no Deployment of the {process}")
        elif len(found) > 1:
            says = f"there are {len(found)} Deployments of the {process}: {named(found)}"
            yield Fault(says, "name the release with --release-namespace; one release serves a cluster", Level.WARNING)


def _available(components: tuple[Component, ...]) -> Iterable[Fault]:
    for each in components:
        wanted = each.deployment["spec"].get("replicas", 1)
        available = (each.deployment.get("status") or {}).get("availableReplicas", 0)
        if not wanted:
            yield Fault(f"{each.namespace}/{each.name} is scaled to no pod", "scale it up")
        elif not available:
            yield Fault(f"{each.namespace}/{each.name} has none of its {wanted} pods available")
        elif available < wanted:
            yield Fault(f"{each.namespace}/{each.name} has {available} of {wanted} pods available", "", Level.WARNING)


def _versions(components: tuple[Component, ...], *, own: str) -> Iterable[Fault]:
    versions = {each.version for each in components}
    for each in components:
        if not each.version:
            yield Fault(f"the image of {each.namespace}/{each.name} names no version: {each.container['image']}")
        elif each.version != own:
            yield Fault(f"{each.namespace}/{each.name} is {each.version}, this CLI is {own}")
    if len(versions) > 1:
        yield Fault(f"the two processes are of different versions: {named(sorted(versions))}", "", Level.FAILED)


def _lease(lease: Object | None, *, now: datetime) -> Iterable[Fault]:
    if lease is None:
        yield Fault("there is no Lease: no controller has ever worked here")
        return
    spec = lease.get("spec") or {}
    holder, name = spec.get("holderIdentity"), lease["metadata"]["name"]
    if not holder or not spec.get("renewTime"):
        yield Fault(f"nobody holds the Lease {name}")
        return
    renewed = datetime.fromisoformat(spec["renewTime"])
    late = now - renewed - timedelta(seconds=spec.get("leaseDurationSeconds", _LEASE_SECONDS)) - _SKEW
    if late > timedelta():
        seconds = (now - renewed).total_seconds()
        yield Fault(f"the Lease {name} was last renewed {seconds:.0f} s ago, by {holder}")


def _rights(accounts: Mapping[str, Mapping[Right, bool]]) -> Iterable[Fault]:
    for account, rights in accounts.items():
        for right, given in rights.items():
            if not given:
                yield Fault(f"{account} may not {right}")
