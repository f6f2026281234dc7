"""The ConfigMap of each service: what it must hold, and which ones are of no more use.

Pure: manifests come in as the API server holds them, and go out as they should be. A ConfigMap belongs to every
choreography that names its service; when the last of them is deleted, the API server's garbage collector removes it,
also while no operator runs.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from choregos_contract.configuration import Configuration, ConfigurationError, dump, load
from choregos_contract.resources import API_VERSION
from choregos_operator.annotations import CONFIGURATION_HASH, SERVICE_LABEL
from choregos_operator.configured import CONFIG_KEY, CONFIGURATION_WRITTEN, configmap_name, configuration_hash
from choregos_operator.kube import Body

LARGEST: Final = 2**20
"""Bytes that Kubernetes lets a ConfigMap hold."""

Manifest = dict[str, Any]


class TooLarge(ValueError):  # noqa: N818  named by what it means for the caller
    """The configuration of a service does not fit into a ConfigMap; the message says how to mend it."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A choreography that names the service."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Target:
    """What the ambassadors of one service should work with."""

    hash: str
    generation: int
    bus: str
    written: datetime
    """When the document last changed: a pod that is older may have mounted the one before."""
    bus_hash: str = ""
    """The servers and the prefix that they should be connected for; empty if nobody can tell."""


def configmap(
    configuration: Configuration, owners: Sequence[Owner], existing: Body | None, *, now: datetime, loaded: int = 0
) -> Manifest | None:
    """Return the ConfigMap that a service should have, or None if it is as it should be.

    The document's generation is one more than before if its content changes, and never below what an ambassador has
    `loaded`, as far as that is known, so that a document that was lost does not begin anew with a number already used.
    With a `resourceVersion` the manifest replaces what exists, without one it is to be created. Raises TooLarge.
    """
    wanted = configuration_hash(configuration)
    present = None if existing is None else document(existing)
    unchanged = present is not None and configuration_hash(present) == wanted
    generation = present.generation if present and unchanged else max(_generation(existing), loaded) + 1
    text = _text(configuration, generation)
    written = _written(existing) if unchanged else None
    manifest = _over(existing, configuration.service, owners)
    manifest["metadata"]["annotations"] |= {
        CONFIGURATION_HASH: wanted,
        CONFIGURATION_WRITTEN: _moment(written or now),
    }
    manifest["data"] = {**manifest.get("data", {}), CONFIG_KEY: text}
    return None if manifest == existing else manifest


def keeping(configuration: Configuration, existing: Body | None) -> Configuration:
    """Return a configuration together with what the present document has beyond it.

    For a service that an invalid choreography names as well: nobody can tell what that wants, so nothing is taken away.
    """
    present = None if existing is None else document(existing)
    if present is None:
        return configuration
    wanted = {reaction.event for reaction in configuration.reactions}
    return msgspec.structs.replace(
        configuration,
        readiness=configuration.readiness or present.readiness,
        emits=tuple(dict.fromkeys((*configuration.emits, *present.emits))),
        reactions=(*configuration.reactions, *(each for each in present.reactions if each.event not in wanted)),
    )


def target(existing: Body) -> Target | None:
    """Return what a ConfigMap tells the ambassadors, or None if it is damaged."""
    present = document(existing)
    if present is None:
        return None
    written = _written(existing) or datetime.fromtimestamp(0, UTC)
    return Target(configuration_hash(present), present.generation, present.bus.bus, written)


def was_edited(before: Body, after: Body) -> bool:
    """Whether other hands had changed the document: it was put right, though nothing else was wanted than before."""
    told = before["metadata"].get("annotations", {}).get(CONFIGURATION_HASH)
    return told == after["metadata"]["annotations"][CONFIGURATION_HASH] and _content(before) != _content(after)


def surplus(existing: Iterable[Body], wanted: Container[str], frozen: Container[str] = frozenset()) -> tuple[str, ...]:
    """Return the names of the ConfigMaps to delete: those of services that no choreography of the namespace names.

    `wanted` are the services of all buses of the namespace, `frozen` those that an invalid choreography names, which
    keep what they have. One that somebody made immutable is deleted as well: it has to be made anew.
    """
    ours = ((body, _service(body)) for body in existing)
    return tuple(
        body["metadata"]["name"]
        for body, service in ours
        if service is not None and service not in frozen and (service not in wanted or body.get("immutable"))
    )


def is_ours(existing: Body) -> bool:
    """Whether this operator made a ConfigMap, also if other hands took its label away."""
    metadata = existing["metadata"]
    return SERVICE_LABEL in metadata.get("labels", {}) or CONFIGURATION_HASH in metadata.get("annotations", {})


def services_named(body: Body) -> frozenset[str]:
    """Return the services that a choreography names, also if it cannot be read otherwise."""
    spec = body.get("spec")
    services = spec.get("services") if isinstance(spec, Mapping) else None
    return frozenset(map(str, services)) if isinstance(services, Mapping) else frozenset()


def owner_of(body: Body) -> Owner:
    """Return a choreography as the owner of its services' ConfigMaps."""
    return Owner(body["metadata"]["name"], body["metadata"]["uid"])


def _over(existing: Body | None, service: str, owners: Sequence[Owner]) -> Manifest:
    """Return the manifest without our annotations and data; what others wrote beside ours stays."""
    base: Manifest = {} if existing is None or existing.get("immutable") else dict(existing)
    metadata = dict(base.get("metadata", {})) or {"name": configmap_name(service)}
    metadata["labels"] = {**metadata.get("labels", {}), SERVICE_LABEL: service}
    metadata["annotations"] = dict(metadata.get("annotations", {}))
    foreign = [each for each in metadata.get("ownerReferences", []) if not _is_choreography(each)]
    metadata["ownerReferences"] = [*foreign, *map(_reference, sorted(owners, key=lambda owner: owner.name))]
    return {**base, "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def _reference(owner: Owner) -> dict[str, str]:
    """No `controller`: there may be several. No `blockOwnerDeletion`: nothing of ours hangs a delete."""
    return {"apiVersion": API_VERSION, "kind": "Choreography", "name": owner.name, "uid": owner.uid}


def _is_choreography(reference: Mapping[str, Any]) -> bool:
    group = API_VERSION.partition("/")[0]
    return bool(reference["kind"] == "Choreography" and reference["apiVersion"].partition("/")[0] == group)


def _service(body: Body) -> str | None:
    """Return the service whose ConfigMap this is; None if it only carries the label."""
    service = body["metadata"].get("labels", {}).get(SERVICE_LABEL)
    return service if service is not None and body["metadata"]["name"] == configmap_name(service) else None


def _text(configuration: Configuration, generation: int) -> str:
    document = dump(msgspec.structs.replace(configuration, generation=generation))
    if len(document) > LARGEST:
        raise TooLarge(
            f"the configuration of {configuration.service} is {len(document)} bytes, a ConfigMap holds {LARGEST}: it has"
            f" {len(configuration.reactions)} reactions; split the service, or shorten the lists in its choreographies"
        )
    return document.decode()


def document(existing: Body) -> Configuration | None:
    """Return the configuration that a ConfigMap holds; None if it is damaged, or of a newer release."""
    try:
        return load(_content(existing).encode())
    except ConfigurationError:
        return None


class _Head(msgspec.Struct):
    generation: int = 0


def _generation(existing: Body | None) -> int:
    """Return the generation of a document, as far as it can be read."""
    if existing is None:
        return 0
    try:
        return max(0, msgspec.json.decode(_content(existing), type=_Head).generation)
    except (msgspec.DecodeError, RecursionError):
        return 0


def _content(existing: Body) -> str:
    return str((existing.get("data") or {}).get(CONFIG_KEY, ""))


def _written(existing: Body | None) -> datetime | None:
    text = (existing or {}).get("metadata", {}).get("annotations", {}).get(CONFIGURATION_WRITTEN, "")
    try:
        written = datetime.fromisoformat(text)
    except ValueError:
        return None
    return written if written.tzinfo else written.replace(tzinfo=UTC)


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
