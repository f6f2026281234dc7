"""The answer to a pod that is about to be created: its ambassador, or why it can have none."""

from dataclasses import dataclass

from choregos_contract.configuration import Configuration
from choregos_contract.configure import configurations
from choregos_operator.annotations import SERVICE_LABEL
from choregos_operator.controller.configmaps import services_named
from choregos_operator.injection import (
    InjectionSettings,
    Refused,
    bus_of,
    inject,
    json_patch,
    service_of,
)
from choregos_operator.store import Store, Stored
from choregos_operator.webhook.admission import Answer, Cause, Refusal, Request


@dataclass(frozen=True, slots=True)
class _Known:
    """What the choreographies of a namespace say of one service."""

    configuration: Configuration | None
    """As it is told to the service's ambassadors, but for its generation; None if nobody declares the service."""
    unwired: tuple[str, ...]
    """The names of choreographies that declare it and have errors."""
    frozen_bus: str | None = None
    """The bus of the oldest of these, where no other declares it: there its durables and its ConfigMap stay."""


def labelled(request: Request) -> bool:
    """Tell whether a pod that asks for an ambassador is created; nothing else is ever touched or refused."""
    labels = request.metadata.get("labels")
    created = request.kind.kind == "Pod" and request.operation == "CREATE" and not request.sub_resource
    return created and isinstance(labels, dict) and SERVICE_LABEL in labels


def answer(request: Request, store: Store, settings: InjectionSettings) -> Answer:
    """Return the patch that gives a labelled pod its ambassador, or why there can be none."""
    pod = request.object or {}
    service = service_of(pod) or ""
    stored = store.of_namespace(request.namespace)
    known = _known(stored, service, request.namespace, store)
    outcome = inject(
        pod,
        settings=settings,
        configuration=known.configuration,
        bus=store.bus(request.namespace, bus_of(pod, known.configuration, known.frozen_bus)),
        frozen_bus=known.frozen_bus,
        known_services=() if known.configuration else _services(stored),
    )
    if isinstance(outcome, Refused):
        sentences = ", ".join(outcome.sentences)
        message = f'the pod "{request.label}" cannot have its ambassador: {sentences}'
        return Answer(Refusal(message, tuple(Cause(each) for each in outcome.sentences)))
    unwired = (
        f'the Choreography "{name}" has the service "{service}" and is not wired because of its errors; '
        f"see its condition Valid"
        for name in known.unwired
    )
    return Answer(patch=tuple(json_patch(pod, outcome.pod)), warnings=(*outcome.warnings, *unwired))


def _known(stored: tuple[Stored, ...], service: str, namespace: str, store: Store) -> _Known:
    """Look at the choreographies that name the service only: the others cannot change what it is told."""
    naming = [each for each in stored if service in services_named(each.body)]
    frozen = [each for each in naming if not each.valid]
    unwired = tuple(each.body["metadata"]["name"] for each in frozen)
    wired = [each.choreography for each in naming if each.valid and each.choreography]
    if not wired:
        return _Known(None, unwired, frozen[0].bus if frozen else None)
    # A service is on one bus only: on that of the oldest choreography that has it.
    home = wired[0].spec.bus
    peers = [choreography for choreography in wired if choreography.spec.bus == home]
    return _Known(configurations(peers, store.bus(namespace, home), generation=0)[service], unwired)


def _services(stored: tuple[Stored, ...]) -> frozenset[str]:
    return frozenset(name for each in stored if each.choreography for name in each.choreography.spec.services)
