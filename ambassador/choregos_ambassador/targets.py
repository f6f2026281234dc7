"""The service's ports, each with its own client."""

from collections import Counter
from collections.abc import Iterable

from choregos_ambassador.http_client import HttpClient
from choregos_contract.configuration import Reaction


class Targets:
    """Clients of the ports on one host, made when they are first asked for."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._clients: dict[int, HttpClient] = {}

    def client(self, port: int) -> HttpClient:
        """Return the client of a port."""
        if port not in self._clients:
            self._clients[port] = HttpClient(self.host, port)
        return self._clients[port]

    def expect(self, reactions: Iterable[Reaction]) -> None:
        """Make room for all requests that these reactions may have under way at once."""
        at_once: Counter[int] = Counter()
        for reaction in reactions:
            at_once[reaction.port] += reaction.delivery.concurrency
        for port, requests in at_once.items():
            self.client(port).expect(requests)

    def close(self) -> None:
        """Close all idle connections."""
        for client in self._clients.values():
            client.close()
