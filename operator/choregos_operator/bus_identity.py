"""Where an ambassador of a bus has to be connected, and the hash by which webhook and controller speak of it.

An ambassador reads its servers once, when it starts. If the bus moves afterwards, only the pod's annotation can tell that
it was injected for another place.
"""

import hashlib
from collections.abc import Iterable

from choregos_contract.resources import EventBus, StreamSpec


def servers(bus: EventBus | None, usual: Iterable[str]) -> tuple[str, ...]:
    """Return the servers of a bus, or the `usual` ones of a bus that names none.

    Where the bus asks for TLS, each is in the spelling that the ambassador takes for that.
    """
    urls = tuple(bus.spec.servers) if bus else ()
    urls = urls or tuple(usual)
    if bus is None or not bus.spec.tls.enabled:
        return urls
    return tuple(f"tls://{url.removeprefix('nats://')}" if url.startswith("nats://") else url for url in urls)


def bus_hash(bus: EventBus | None, urls: Iterable[str]) -> str:
    """Return 16 hexadecimal digits that are equal for an equal prefix and equal servers, in whichever order."""
    prefix = (bus.spec.stream if bus else StreamSpec()).prefix
    return hashlib.sha256("\n".join((prefix, *sorted(urls))).encode()).hexdigest()[:16]
