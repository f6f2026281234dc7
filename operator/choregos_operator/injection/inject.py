"""The injection: one pure function from a pod to the pod with its ambassador, or to why there can be none."""

from collections.abc import Collection, Mapping, MutableMapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from choregos_contract.configuration import Configuration
from choregos_contract.event_bus import EventBus
from choregos_contract.resources import DEFAULT_BUS
from choregos_operator import annotations
from choregos_operator.annotations import Reading, Tuning
from choregos_operator.bus_identity import bus_hash, place
from choregos_operator.configured import configuration_hash
from choregos_operator.injection import pod as manifest
from choregos_operator.injection.cautions import cautions, undeclared
from choregos_operator.injection.container import PUBLISH_URL, ambassador, publish_url, until_drained
from choregos_operator.injection.pod import CONTAINER, LISTS, Manifest
from choregos_operator.injection.refusals import label_refusal, refusals
from choregos_operator.injection.settings import InjectionSettings
from choregos_operator.injection.volumes import volumes

_MIRROR: Final = "kubernetes.io/config.mirror"


@dataclass(frozen=True, slots=True)
class Injected:
    """The pod may start."""

    pod: dict[str, Any]
    """The pod as it is to be; equal to what came if there was nothing to add."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The pod must not start; each sentence says why, and how to mend it."""

    sentences: tuple[str, ...]


def service_of(pod: Manifest) -> str | None:
    """Return the service that a pod is labelled for."""
    return manifest.labels(pod).get(annotations.SERVICE_LABEL)


def bus_of(pod: Manifest, configuration: Configuration | None, frozen_bus: str | None = None) -> str:
    """Return the name of the bus that the pod's ambassador connects to; `frozen_bus` as `inject` takes it."""
    usual = configuration.bus.bus if configuration else frozen_bus or DEFAULT_BUS
    return manifest.annotations(pod).get(annotations.BUS, usual)


def inject(
    pod: Manifest,
    *,
    settings: InjectionSettings,
    configuration: Configuration | None,
    bus: EventBus | None,
    frozen_bus: str | None = None,
    known_services: Collection[str] = (),
) -> Injected | Refused:
    """Return the pod with its ambassador; `pod` itself is never changed.

    `configuration` is that of the pod's service, None if no choreography has the service; `bus` is the object of the bus
    that `bus_of` names, if there is one; `frozen_bus` is the bus of the choreography that has the service but is invalid,
    where there is no other: its ConfigMaps and durables stay, and the pod goes on with these; `known_services` are the services of the pod's namespace, to guess what was meant.
    """
    if manifest.annotations(pod).get(annotations.INJECT) == "false":
        return Injected(deepcopy(dict(pod)))
    if _MIRROR in manifest.annotations(pod):
        sentence = "a static pod cannot have an ambassador, because it may not mount a ConfigMap; remove its label"
        return Injected(deepcopy(dict(pod)), (f"{sentence} {annotations.SERVICE_LABEL}",))
    service = service_of(pod)
    reading = annotations.read(manifest.annotations(pod))
    if found := _against(pod, service, reading, configuration):
        return Refused(found)
    assert service is not None
    bus_name = bus_of(pod, configuration, frozen_bus)
    warnings = (
        *(() if configuration or frozen_bus else (undeclared(service, known_services),)),
        *cautions(pod, reading.tuning, configuration, bus_name),
        *annotations.unknown_labels(manifest.labels(pod)),
        *reading.warnings,
    )
    container = ambassador(pod, reading.tuning, settings, place(bus, settings.servers))
    marks = {annotations.BUS: bus_name}
    if configuration:
        marks[annotations.CONFIGURATION_HASH] = configuration_hash(configuration)
    after = deepcopy(dict(pod))
    _add_container(after, container)
    marks[annotations.BUS_HASH] = bus_hash(bus, manifest.place_of_ambassador(after))
    _add_volumes(after, volumes(service, bus_name))
    _add_publish_url(after, reading.tuning)
    _add_hooks(after, reading.tuning)
    _mark(after, marks)
    return Injected(after, warnings)


def _against(
    pod: Manifest, service: str | None, reading: Reading, configuration: Configuration | None
) -> tuple[str, ...]:
    label = label_refusal(service)
    return (*((label,) if label else ()), *reading.refusals, *refusals(pod, reading.tuning, configuration))


def _add_container(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """Put the ambassador before every init container, so that these can publish; one that is there stays as it is.

    Others may have changed it since we put it there: limits of the namespace, a mesh's environment.
    """
    present = _list(pod["spec"], "initContainers")
    if not any(each.get("name") == CONTAINER for each in present):
        present.insert(0, container)


def _add_volumes(pod: dict[str, Any], wanted: list[dict[str, Any]]) -> None:
    present = _list(pod["spec"], "volumes")
    names = {each.get("name") for each in present}
    present.extend(each for each in wanted if each["name"] not in names)


def _add_publish_url(pod: dict[str, Any], tuning: Tuning) -> None:
    """Tell every other container where to publish, unless it says so itself; first, so that other variables can use it."""
    for field in LISTS:
        for container in pod["spec"].get(field) or ():
            if container.get("name") != CONTAINER:
                variables = _list(container, "env")
                if not any(each.get("name") == PUBLISH_URL for each in variables):
                    variables.insert(0, {"name": PUBLISH_URL, "value": publish_url(tuning)})


def _add_hooks(pod: dict[str, Any], tuning: Tuning) -> None:
    """Have every container end after the drain, unless it has a hook of its own. Init containers have SIGTERM late anyway."""
    for container in pod["spec"].get("containers") or ():
        lifecycle = container.get("lifecycle") or {}
        if not lifecycle.get("preStop"):
            container["lifecycle"] = {**lifecycle, "preStop": until_drained(tuning)}


def _mark(pod: dict[str, Any], marks: Mapping[str, str]) -> None:
    metadata = pod["metadata"]
    metadata["labels"][annotations.INJECTED_LABEL] = annotations.INJECTED
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks}


def _list(holder: MutableMapping[str, Any], field: str) -> list[Any]:
    """Return a list of a manifest to add to; made, if there is none."""
    if holder.get(field) is None:
        holder[field] = []
    found: list[Any] = holder[field]
    return found
