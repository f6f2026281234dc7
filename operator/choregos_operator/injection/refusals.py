"""Why a pod is refused: what could not work, told before it starts instead of by a crash loop after."""

import re
from collections.abc import Iterator
from typing import Final

from choregos_contract.configuration import Configuration
from choregos_contract.resources import LABEL
from choregos_operator.annotations import INJECT, SERVICE_LABEL, Tuning, annotation
from choregos_operator.injection import volumes
from choregos_operator.injection.pod import CONTAINER, Manifest, containers, injected, items, spec

_VOLUMES: Final = (volumes.CONFIGURATION, volumes.CREDENTIALS)


def label_refusal(service: str | None) -> str | None:
    """Say what is wrong with the label that names the pod's service; None if nothing is."""
    if service is None:
        return f"the pod has no label {SERVICE_LABEL}; write the name of its service there, as in the Choreography"
    if re.fullmatch(LABEL, service, re.ASCII):
        return None
    plain = re.sub(r"[._]", "-", service.lower())
    mend = f'did you mean "{plain}"?' if re.fullmatch(LABEL, plain, re.ASCII) else "write it as in the Choreography"
    return f'metadata.labels["{SERVICE_LABEL}"] is "{service}", but a service\'s name is a DNS label; {mend}'


def refusals(pod: Manifest, tuning: Tuning, configuration: Configuration | None) -> tuple[str, ...]:
    """Return a sentence for each thing that stands against this pod with this ambassador."""
    return (*_platform(pod), *_taken_names(pod), *_declared_ports(pod, tuning), *_service_ports(tuning, configuration))


def _platform(pod: Manifest) -> Iterator[str]:
    if (spec(pod).get("os") or {}).get("name") == "windows":
        yield f'spec.os.name is windows, and the ambassador runs on Linux only; set the annotation {INJECT} to "false"'


def _taken_names(pod: Manifest) -> Iterator[str]:
    """Yield our names on things that the owner made; what is ours already lies where we would put it."""
    if any(each.get("name") == CONTAINER for each in items(spec(pod), "containers")):
        yield f'a container of the pod is named "{CONTAINER}", as only the injected sidecar may be; rename it'
    if injected(pod):
        return
    if any(each.get("name") == CONTAINER for each in items(spec(pod), "initContainers")):
        yield f'an init container of the pod is named "{CONTAINER}", as the injected one will be; rename it'
    for volume in items(spec(pod), "volumes"):
        if volume.get("name") in _VOLUMES:
            yield f'a volume of the pod is named "{volume["name"]}", as an injected one will be; rename it'


def _declared_ports(pod: Manifest, tuning: Tuning) -> Iterator[str]:
    ours = _ports(tuning)
    for container in containers(pod):
        for port in items(container, "ports"):
            number = port.get("containerPort")
            if number in ours and port.get("protocol", "TCP") == "TCP":
                use, name = ours[number]
                yield (
                    f'the container "{container.get("name")}" declares port {number}, which the ambassador\'s {use}; '
                    f"give it another, or the ambassador with the annotation {name}"
                )


def _service_ports(tuning: Tuning, configuration: Configuration | None) -> Iterator[str]:
    if configuration is None:
        return
    used = {reaction.port for reaction in configuration.reactions}
    if configuration.readiness:
        used.add(configuration.readiness.port)
    for number, (use, name) in _ports(tuning).items():
        if number in used:
            yield (
                f"the Choreography has {configuration.service} listen on port {number}, which the ambassador's {use}; "
                f"change it there, or give the ambassador another with the annotation {name}"
            )


def _ports(tuning: Tuning) -> dict[int, tuple[str, str]]:
    return {
        tuning.publish_port: ("publish API takes", annotation("publish_port")),
        tuning.probes_port: ("probes take", annotation("probes_port")),
    }
