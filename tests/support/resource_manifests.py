"""Manifests of the two kinds as users write them, and what a real API server says to them."""

import copy
import json
from typing import Any

from choregos_contract.document import resource_of
from choregos_contract.event_bus import EventBus
from choregos_contract.resources import Choreography
from support.cluster import Cluster

Manifest = dict[str, Any]

REACTION = "spec/services/payment/reactions/0"
"""The first reaction of `orders`, for `changed`."""


def orders(**spec: Any) -> Manifest:
    """A small choreography without a finding; fields of the spec can be replaced."""
    return {
        "apiVersion": "choregos.dev/v1alpha1",
        "kind": "Choreography",
        "metadata": {"name": "orders"},
        "spec": {
            "events": {"OrderPlaced": {"external": True}, "PaymentTaken": {"outcome": "completed"}},
            "services": {
                "payment": {
                    "reactions": [
                        {"event": "OrderPlaced", "emits": ["PaymentTaken"], "onSuccess": "PaymentTaken"},
                        {"event": "PaymentTaken"},
                    ]
                }
            },
        }
        | spec,
    }


def bus(name: str = "fast", **spec: Any) -> Manifest:
    """A bus of that name; everything else of it is defaulted."""
    return {"apiVersion": "choregos.dev/v1alpha1", "kind": "EventBus", "metadata": {"name": name}, "spec": spec}


def changed(manifest: Manifest, path: str, value: Any) -> Manifest:
    """A copy in which the value at a path such as `spec/services/payment/reactions/0/path` is another."""
    found = copy.deepcopy(manifest)
    *around, last = (int(part) if part.isdigit() else part for part in path.split("/"))
    place: Any = found
    for part in around:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    place[last] = value
    return found


def many(count: int) -> list[str]:
    """Names for that many events."""
    return [f"E{number}" for number in range(count)]


def documents(manifests: list[Manifest]) -> str:
    """One text of them all; a List would not do, because kubectl checks what is in it by itself."""
    return "\n---\n".join(map(json.dumps, manifests))


def stored_of(cluster: Cluster, manifests: list[Manifest], namespace: str) -> list[Manifest]:
    """What the API server would store of manifests, all of which it has to take, in a single run of kubectl."""
    named = [changed(manifest, "metadata/name", f"case-{number}") for number, manifest in enumerate(manifests)]
    options = ("--dry-run=server", "--output=json", "--filename=-", f"--namespace={namespace}")
    text = cluster.kubectl("create", *options, stdin=documents(named))
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        stored, end = decoder.raw_decode(text)
        found.append(stored)
        text = text[end:]
    return found


def spec_of(manifest: Manifest) -> Any:
    """What a manifest means to Choregos."""
    read = resource_of(manifest)
    assert isinstance(read, Choreography | EventBus), read
    return read.spec


def refusal(cluster: Cluster, manifest: Manifest, namespace: str, verb: str = "create") -> str:
    """What kubectl says when it cannot bring a manifest to the API server."""
    return cluster.kubectl_fails(verb, "--filename=-", f"--namespace={namespace}", stdin=json.dumps(manifest))
