"""Where a service listens, given as a URL: a host and a port, since the path is each reaction's own."""

from typing import NamedTuple
from urllib.parse import urlsplit

from choregos_cli.errors import MisuseError


class Target(NamedTuple):
    """Host and port of a service."""

    host: str
    port: int


def target(text: str, option: str) -> Target:
    """Read the value of an option; raises MisuseError for what an ambassador could not deliver to."""
    hint = f"give {option} one such as http://127.0.0.1:8080; the path is the reaction's"
    try:
        url = urlsplit(text)
        port = 80 if url.port is None else url.port
    except ValueError:
        raise MisuseError(f"{text!r} is no address of a service", hint) from None
    if url.scheme == "https":
        raise MisuseError(f"{text!r} is no address that an ambassador delivers to: it speaks plain HTTP", hint)
    rest = url.path.rstrip("/") or url.query or url.fragment or url.username
    if url.scheme != "http" or not url.hostname or not port or rest:
        raise MisuseError(f"{text!r} is no address of a service", hint)
    return Target(url.hostname, port)
