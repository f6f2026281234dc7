"""Which servers a bus is on, and with whose credentials the operator goes there.

Whoever may write an EventBus may name any server. The operator's own credentials therefore go to the operator's own servers
and nowhere else: a bus that names servers has credentials of its own, or none.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from choregos_contract.event_bus import EventBus, Tls
from choregos_operator.bus_identity import server_name
from choregos_operator.settings import Settings


@dataclass(frozen=True, slots=True)
class Route:
    """One way to NATS; buses with the same share a connection."""

    servers: tuple[str, ...]
    credentials: Path | None
    """Directory of the credentials' files; it need not exist."""
    tls: bool = False
    """Whether a server without TLS is refused."""
    handshake_first: bool = False
    server_name: str | None = None
    """Name to expect in the servers' certificate, where it is not the host's."""

    def __str__(self) -> str:
        """Name the servers, without a password that stands in their URLs."""
        return ", ".join(map(_without_password, self.servers))


def route(bus: EventBus | None, settings: Settings) -> Route:
    """Return the way to a bus; None stands for a bus without an object."""
    tls = bus.spec.tls if bus else Tls()
    if bus is None or not bus.spec.servers:
        return Route(settings.servers, settings.nats_credentials, tls.enabled, tls.handshake_first)
    own = settings.nats_credentials and settings.nats_credentials / f"{bus.metadata.namespace}.{bus.metadata.name}"
    return Route(bus.spec.servers, own, tls.enabled, tls.handshake_first, server_name(bus))


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
