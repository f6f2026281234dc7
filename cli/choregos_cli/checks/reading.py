"""Reads all that the checks are about, once. What this user may not read is Unknown, with the right that is missing."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final, TypeVar

from choregos_cli.checks.account_rights import user, wanted_rights
from choregos_cli.checks.definitions import established
from choregos_cli.checks.facts import Facts
from choregos_cli.checks.lines import Unknown
from choregos_cli.checks.reading_buses import read_buses, scopes
from choregos_cli.checks.trials import CHOREOGRAPHY, POD, tried
from choregos_cli.cluster import controller_settings
from choregos_cli.cluster.bus import Given
from choregos_cli.cluster.complaints import ForbiddenError
from choregos_cli.cluster.controller_settings import USUAL_NAMESPACE, Component
from choregos_cli.cluster.kinds import (
    CHOREOGRAPHIES,
    CONFIG_MAPS,
    CRDS,
    DEPLOYMENTS,
    EVENT_BUSES,
    LEASES,
    MUTATING,
    NAMESPACES,
    PODS,
    SECRETS,
    SERVICES,
    VALIDATING,
)
from choregos_cli.cluster.kubectl import Kubectl, Object, Right
from choregos_cli.cluster.pods import SERVICE_LABEL
from choregos_cli.cluster.server_address import server
from choregos_cli.errors import CommandError, MisuseError, RefusedError

T = TypeVar("T")

NOT_INSTALLED: Final = Unknown("Choregos' kinds are not installed", "see the check crds-installed")
NO_ACCOUNTS: Final = Unknown("there is no Deployment that names the accounts", "see the check operator-found")


async def read_facts(kubectl: Kubectl, namespace: str | None, given: Given) -> Facts:
    """Read everything about a namespace, or about all; raises CommandError if the API server does not answer."""
    api_version = await kubectl.version()
    if namespace:
        await _must_exist(kubectl, namespace)
    components, definitions = await asyncio.gather(
        _known(controller_settings.components(kubectl, given.release_namespace)), _known(_definitions(kubectl))
    )
    release = _Release(kubectl, () if isinstance(components, Unknown) else components, given)
    installed = isinstance(definitions, Unknown) or all(map(established, definitions.values()))
    resources = await _known(_resources(kubectl, namespace)) if installed else NOT_INSTALLED
    where = namespace or _somewhere(resources)
    async with asyncio.TaskGroup() as group:
        rights = group.create_task(_known(kubectl.may(_own_rights(namespace, release, resources, given))))
        lease = group.create_task(_known(release.lease()))
        accounts = group.create_task(_known(release.account_rights()))
        registrations = group.create_task(_known(release.registrations()))
        certificate = group.create_task(_known(release.certificate()))
        injected = group.create_task(tried(kubectl, POD, where))
        validated = group.create_task(tried(kubectl, CHOREOGRAPHY, where))
        pods = group.create_task(_known(kubectl.all(PODS, namespace=namespace, labels=SERVICE_LABEL)))
        generations = group.create_task(_known(_generations(kubectl, namespace)))
    return Facts(
        now=datetime.now(UTC),
        own_version=version("choregos"),
        api_version=api_version,
        rights=rights.result(),
        definitions=definitions,
        components=components,
        lease=lease.result(),
        account_rights=accounts.result() if release.components else NO_ACCOUNTS,
        registrations=registrations.result(),
        certificate=certificate.result(),
        injected=injected.result(),
        validated=validated.result() if installed else NOT_INSTALLED,
        resources=resources,
        pods=pods.result(),
        generations=generations.result(),
        buses=resources if isinstance(resources, Unknown) else await read_buses(kubectl, resources, given),
    )


class _Release:
    """What belongs to the operator's release, by the names that its Deployments hold."""

    def __init__(self, kubectl: Kubectl, components: tuple[Component, ...], given: Given) -> None:
        self._kubectl = kubectl
        self.components = components
        self._told = next((each for each in components if each.is_controller), None) or next(iter(components), None)
        self.namespace = self._told.namespace if self._told else given.release_namespace or USUAL_NAMESPACE

    @property
    def secret(self) -> str:
        """Name of the Secret with the webhook's certificate."""
        return self._name("WEBHOOK_SECRET", "choregos-webhook")

    @property
    def servers(self) -> tuple[str, ...]:
        """URLs of the NATS servers of every bus that names none."""
        return tuple(filter(None, map(str.strip, self._name("NATS_URL", "").split(","))))

    async def lease(self) -> Object | None:
        return await self._kubectl.one(LEASES, self._name("LEASE", "choregos-controller"), namespace=self.namespace)

    async def account_rights(self) -> Mapping[str, Mapping[Right, bool]]:
        found = {}
        for (namespace, account), rights in wanted_rights(self.components).items():
            name, groups = user(namespace, account)
            found[name] = await self._kubectl.may_other(name, groups, rights)
        return found

    async def registrations(self) -> Mapping[str, Object | None]:
        name = self._name("WEBHOOK_CONFIGURATION", "choregos")
        found = await asyncio.gather(*(self._kubectl.one(kind, name) for kind in (MUTATING, VALIDATING)))
        return {MUTATING.kind: found[0], VALIDATING.kind: found[1]}

    async def certificate(self) -> bytes | Unknown:
        name = self.secret
        secret = await self._kubectl.one(SECRETS, name, namespace=self.namespace)
        text = ((secret or {}).get("data") or {}).get("tls.crt")
        if not text:
            return Unknown(f"there is no certificate in the Secret {self.namespace}/{name}", "see `webhook-injects`")
        return base64.b64decode(text)

    def _name(self, setting: str, usual: str) -> str:
        return (self._told and self._told.setting(setting)) or usual


async def _must_exist(kubectl: Kubectl, namespace: str) -> None:
    """Raise RefusedError for a namespace that there is not: in it, nothing would be wrong. Who may not see it is trusted."""
    with suppress(ForbiddenError):
        if await kubectl.one(NAMESPACES, namespace) is None:
            hint = "check the name, with --namespace or in the context; --all-namespaces looks everywhere"
            raise RefusedError(f"there is no namespace {namespace!r} in this cluster", hint)


async def _known(asked: Awaitable[T]) -> T | Unknown:
    try:
        return await asked
    except CommandError as error:
        return Unknown.of(error)


async def _definitions(kubectl: Kubectl) -> Mapping[str, Object | None]:
    names = [str(kind) for kind in (CHOREOGRAPHIES, EVENT_BUSES)]
    return dict(zip(names, await asyncio.gather(*(kubectl.one(CRDS, name) for name in names)), strict=True))


async def _resources(kubectl: Kubectl, namespace: str | None) -> tuple[Object, ...]:
    found = await asyncio.gather(
        kubectl.all(CHOREOGRAPHIES, namespace=namespace), kubectl.all(EVENT_BUSES, namespace=namespace)
    )
    return (*found[0], *found[1])


async def _generations(kubectl: Kubectl, namespace: str | None) -> Mapping[tuple[str, str], int]:
    """Return the generation of each service's configuration; of one that cannot be read, none."""
    found = {}
    for each in await kubectl.all(CONFIG_MAPS, namespace=namespace, labels=SERVICE_LABEL):
        metadata, text = each["metadata"], (each.get("data") or {}).get("configuration.json", "")
        try:
            found[metadata["namespace"], metadata["labels"][SERVICE_LABEL]] = int(json.loads(text)["generation"])
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _somewhere(resources: Sequence[Object] | Unknown) -> str:
    """Return a namespace to try objects in: one that has choreographies, if there is one."""
    if isinstance(resources, Unknown) or not resources:
        return "default"
    return str(resources[0]["metadata"]["namespace"])


def _own_rights(
    namespace: str | None, release: _Release, resources: Sequence[Object] | Unknown, given: Given
) -> tuple[Right, ...]:
    """Return the rights without which something is skipped; on Secrets no more than these, where they have names."""
    return (
        *(Right.of("list", kind, namespace) for kind in (CHOREOGRAPHIES, EVENT_BUSES, PODS, CONFIG_MAPS)),
        *(Right.of("create", kind, namespace) for kind in (PODS, CHOREOGRAPHIES)),
        *(Right.of("get", kind) for kind in (CRDS, MUTATING, VALIDATING)),
        Right.of("list", DEPLOYMENTS, release.namespace),
        Right.of("get", LEASES, release.namespace),
        Right.of("get", SECRETS, release.namespace, release.secret),
        *(() if given.credentials else _credentials_rights(namespace, resources)),
        *(() if given.nats else _forwarding_rights(namespace, release, resources)),
        Right("create", "subjectaccessreviews", "authorization.k8s.io"),
    )


def _credentials_rights(namespace: str | None, resources: Sequence[Object] | Unknown) -> tuple[Right, ...]:
    if namespace is None:
        return (Right.of("get", SECRETS),)
    buses = () if isinstance(resources, Unknown) else sorted(bus for _, bus in scopes(resources))
    return tuple(Right.of("get", SECRETS, namespace, f"choregos-bus-{bus}") for bus in buses)


def _forwarding_rights(
    namespace: str | None, release: _Release, resources: Sequence[Object] | Unknown
) -> tuple[Right, ...]:
    """Return the rights to reach the servers that are Services of the cluster, where these are."""
    ours = [(url, namespace or release.namespace) for url in release.servers]
    theirs = [
        (url, each["metadata"]["namespace"])
        for each in (() if isinstance(resources, Unknown) else resources)
        for url in (each.get("spec") or {}).get("servers") or ()
    ]
    places = sorted({found for url, where in (*ours, *theirs) if (found := _place(url, where))})
    return tuple(
        right
        for place in places
        for right in (Right("create", "pods/portforward", "", place), Right.of("get", SERVICES, place))
    )


def _place(url: str, namespace: str) -> str:
    """Return the namespace of the Service that a URL leads to, seen from another; empty if it leads to none."""
    try:
        service = server(url).service(namespace)
    except MisuseError:
        return ""
    return service[0] if service else ""
