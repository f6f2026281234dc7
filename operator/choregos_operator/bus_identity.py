"""Whether there is a bus of a name, where its ambassadors have to be connected, and the hash by which webhook and controller speak of it.

An ambassador reads its servers, and how to greet them, once, when it starts. If the bus moves afterwards, only the pod's annotation can tell that
it was injected for another place.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from choregos_contract.event_bus import EventBus, StreamSpec
from choregos_contract.resources import DEFAULT_BUS


@dataclass(frozen=True, slots=True)
class Place:
    """Where an ambassador connects, as its environment tells it."""

    servers: tuple[str, ...]
    handshake_first: bool = False
    server_name: str | None = None
    """Name to expect in the servers' certificate, where it is not the host's."""


def no_such_bus(name: str, namespace: str) -> str:
    """Return the sentence about a bus without an object, with the mend; empty of the one that needs none."""
    if name == DEFAULT_BUS:
        return ""
    return f'there is no EventBus "{name}" in {namespace}; apply it, or write `bus: {DEFAULT_BUS}`'


def place(bus: EventBus | None, usual: Iterable[str]) -> Place:
    """Return where the ambassadors of a bus connect; a bus that names no servers is on the `usual` ones.

    Where the bus asks for TLS, each is in the spelling that the ambassador takes for that.
    """
    if bus is None:
        return Place(tuple(usual))
    urls = tuple(bus.spec.servers) or tuple(usual)
    if bus.spec.tls.enabled:
        urls = tuple(f"tls://{url.removeprefix('nats://')}" if url.startswith("nats://") else url for url in urls)
    return Place(urls, bus.spec.tls.handshake_first, server_name(bus))


def server_name(bus: EventBus) -> str | None:
    """Return the name to expect in the certificate; that of the operator's own servers is no bus's to choose."""
    return bus.spec.tls.server_name if bus.spec.servers else None


def bus_hash(bus: EventBus | None, where: Place) -> str:
    """Return 16 hexadecimal digits that are equal for an equal prefix and an equal place, its servers in any order.

    What is left at its default says nothing, so that a release which knows more of a place moves nobody.
    """
    said = [(bus.spec.stream if bus else StreamSpec()).prefix, *sorted(where.servers)]
    if where.handshake_first:
        said.append("handshakeFirst")
    if where.server_name:
        said.append(f"serverName={where.server_name}")
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]
