"""A pod's manifest, read: absent and null fields are empty ones, and containers are told apart by what they are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from choregos_operator.annotations import INJECTED, INJECTED_LABEL
from choregos_operator.bus_identity import Place

CONTAINER: Final = "choregos-ambassador"
"""Name of the ambassador's container."""
NATS_URL: Final = "CHOREGOS_NATS_URL"
"""Variable of the ambassador that names its servers."""
HANDSHAKE_FIRST: Final = "CHOREGOS_NATS_TLS_HANDSHAKE_FIRST"
SERVER_NAME: Final = "CHOREGOS_NATS_TLS_SERVER_NAME"
LISTS: Final = ("initContainers", "containers")
"""The fields of a pod's spec that hold containers, in the order in which these start."""

Manifest = Mapping[str, Any]


def labels(pod: Manifest) -> Mapping[str, str]:
    """Return a pod's labels."""
    return _mapping(_mapping(pod, "metadata"), "labels")


def annotations(pod: Manifest) -> Mapping[str, str]:
    """Return a pod's annotations."""
    return _mapping(_mapping(pod, "metadata"), "annotations")


def spec(pod: Manifest) -> Manifest:
    """Return a pod's spec."""
    return _mapping(pod, "spec")


def items(manifest: Manifest, field: str) -> Sequence[Any]:
    """Return a list of a manifest."""
    return manifest.get(field) or ()


def containers(pod: Manifest) -> Iterator[Manifest]:
    """Yield every container of a pod but the ambassador's own."""
    for field in LISTS:
        yield from (each for each in items(spec(pod), field) if each.get("name") != CONTAINER)


def place_of_ambassador(pod: Manifest) -> Place:
    """Return where a pod's ambassador connects, which a pod that is a copy has brought along."""
    ambassadors = (each for each in items(spec(pod), "initContainers") if each.get("name") == CONTAINER)
    variables = {each.get("name"): each.get("value") or "" for one in ambassadors for each in items(one, "env")}
    urls = tuple(url.strip() for url in variables.get(NATS_URL, "").split(",") if url.strip())
    return Place(urls, variables.get(HANDSHAKE_FIRST) == "true", variables.get(SERVER_NAME) or None)


def injected(pod: Manifest) -> bool:
    """Whether the pod says that the webhook has been here: then what bears our names is ours."""
    return labels(pod).get(INJECTED_LABEL) == INJECTED


def _mapping(manifest: Manifest, field: str) -> Mapping[str, Any]:
    return manifest.get(field) or {}
