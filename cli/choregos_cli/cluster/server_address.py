"""Where a NATS server's URL leads from outside of the cluster. Pure.

What may be a Service's name is looked for among the Services; a URL with an address, or a name that no Service can have,
leads where it says.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from choregos_cli.errors import MisuseError

PORT: Final = 4222
_HINT: Final = "give one such as nats://nats.nats:4222"


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a bus."""

    url: str
    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Return the URL without user and password."""
        return f"{self.scheme}://{self.host}:{self.port}"

    def through(self, port: int) -> str:
        """Return the URL of the same server behind a port of the loopback, with user and password if it has them."""
        known, at, _ = urlsplit(self.url).netloc.rpartition("@")
        return f"{self.scheme}://{known}{at}127.0.0.1:{port}"

    def service(self, namespace: str) -> tuple[str, str] | None:
        """Return namespace and name of the Service that the host may stand for, seen from a pod of `namespace`."""
        if _is_address(self.host) or self.host == "localhost":
            return None
        parts = self.host.rstrip(".").split(".")
        if len(parts) == 1:
            return namespace, parts[0]
        if len(parts) == 2:
            return parts[1], parts[0]
        return (parts[1], parts[0]) if parts[2] == "svc" else _of_pod(parts)


def server(url: str) -> Server:
    """Read one URL; raises MisuseError."""
    whole = url if "://" in url else f"nats://{url}"
    try:
        parts = urlsplit(whole)
        port = parts.port or PORT
    except ValueError:
        raise _no_address(url) from None
    if parts.scheme not in ("nats", "tls", "ws", "wss") or not parts.hostname:
        raise _no_address(url)
    return Server(whole, parts.scheme, parts.hostname, port)


def _no_address(url: str) -> MisuseError:
    """Return the error, which logs may keep: without what stands before an @."""
    scheme, separator, rest = url.rpartition("://")
    shown = f"{scheme}{separator}...@{rest.rpartition('@')[2]}" if "@" in rest else url
    return MisuseError(f"{shown!r} is no address of a NATS server", _HINT)


def _of_pod(parts: list[str]) -> tuple[str, str] | None:
    """One pod of a StatefulSet, `nats-0.nats.ns.svc`: its Service leads to the same cluster."""
    return (parts[2], parts[1]) if len(parts) > 3 and parts[3] == "svc" else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
