"""Choreographies and buses in few words, for tests that need one."""

from typing import Any

from choregos_contract.event_bus import EventBus
from choregos_contract.resources import Choreography


def choreography(
    services: dict[str, Any], *, name: str = "shop", namespace: str = "shipping", **spec: Any
) -> Choreography:
    """A choreography of these services; the events are whatever they name. `uid` goes to the metadata."""
    metadata = {"name": name, "namespace": namespace, "uid": spec.pop("uid", "")}
    events: dict[str, Any] = {}
    for service in services.values():
        events |= {event: {} for event in service.get("emits", ())}
        for reaction in service.get("reactions", ()):
            events |= {event: {} for event in (reaction["event"], *reaction.get("emits", ()))}
    return Choreography.model_validate(
        {
            "apiVersion": "choregos.dev/v1alpha1",
            "kind": "Choreography",
            "metadata": metadata,
            "spec": {"events": events, "services": services, **spec},
        }
    )


def event_bus(*, name: str = "default", namespace: str = "shipping", **spec: Any) -> EventBus:
    """A bus of that name; `stream` and the other fields of the spec as they stand in a document."""
    metadata = {"name": name, "namespace": namespace}
    return EventBus.model_validate(
        {"apiVersion": "choregos.dev/v1alpha1", "kind": "EventBus", "metadata": metadata, "spec": spec}
    )


def reaction(service: str, event: str, **fields: Any) -> Choreography:
    """A choreography of a single reaction."""
    return choreography({service: {"reactions": [{"event": event, **fields}]}})
