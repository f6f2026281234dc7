"""The service's ports, each with its own client."""

from choregos_ambassador.http_client import HttpClient


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

    def close(self) -> None:
        """Close all idle connections."""
        for client in self._clients.values():
            client.close()
