"""One nats-server of a cluster, in a network of its own with two links: one for clients, one for its peers."""

import http.client
import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

from support.nats import binary
from support.networks import Networks
from support.waiting import eventually

HUB = "hub"
"""The network in which clients are: the bridges of both links are there, and the loopback of everything else."""
CLIENTS, PEERS = "clients", "peers"
_PORT, _ROUTES, _MONITORING = 4222, 6222, 8222
_ASK_WITHIN = 1.0


class NatsNode:
    """Starts when told to; its store stays until the networks are closed."""

    def __init__(self, number: int, of: int, networks: Networks) -> None:
        self.name = f"nats-{number}"
        self.host = _address(CLIENTS, number)
        self._networks = networks
        self._process: subprocess.Popen[bytes] | None = None
        self._cut: set[str] = set()
        networks.add(self.name)
        for link in (CLIENTS, PEERS):
            networks.join(self.name, HUB, link, f"{_address(link, number)}/24")
        self._write_configuration(number, of)

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{_PORT}"

    @property
    def pid(self) -> int:
        assert self._process, f"{self.name} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def log(self) -> str:
        return self._networks.guarded.log(self.name)

    @property
    def reachable(self) -> bool:
        """Whether clients can reach it, and it its peers."""
        return self.running and not self._cut

    def start(self) -> None:
        """Start, and return once clients can connect; that the cluster is ready is another matter."""
        assert self._process is None, f"{self.name} is running already"
        self._process = self._networks.start(self.name, self.name, binary(), "-c", self._configuration)
        if CLIENTS not in self._cut:
            eventually(self._accepts, f"{self.name} accepts:\n{self.log}", patience=30)

    def stop(self) -> None:
        """End it as an administrator would; it hands its leaderships on first."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait(30)
        self.kill()

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        if self._process is not None:
            self._process = None
            self._networks.guarded.kill(self.name)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def cut(self, *links: str) -> None:
        """Let no packet through on these links, nor any word of that: connections stay, and nothing arrives."""
        for link in set(links) - self._cut:
            self._networks.ip(HUB, f"link set {link}-{self.name} nomaster")
        self._cut |= set(links)

    def heal(self) -> None:
        """Undo `cut`."""
        for link in self._cut:
            self._networks.ip(HUB, f"link set {link}-{self.name} master {link}")
        self._cut.clear()

    def ask(self, path: str) -> dict[str, Any] | None:
        """Ask its monitoring port; None where it does not answer, or is not well."""
        if not self.running or CLIENTS in self._cut:
            return None
        connection = http.client.HTTPConnection(self.host, _MONITORING, timeout=_ASK_WITHIN)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return dict(json.loads(answer.read())) if answer.status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    @property
    def _configuration(self) -> Path:
        return self._networks.guarded.directory / f"{self.name}.conf"

    def _write_configuration(self, number: int, of: int) -> None:
        routes = ", ".join(f'"nats://{_address(PEERS, each)}:{_ROUTES}"' for each in range(1, of + 1) if each != number)
        self._configuration.write_text(
            f"""
server_name: {self.name}
listen: "{self.host}:{_PORT}"
http: "{self.host}:{_MONITORING}"
jetstream {{ store_dir: "{self._networks.guarded.directory / self.name}" }}
cluster {{ name: choregos, listen: "{_address(PEERS, number)}:{_ROUTES}", routes: [{routes}] }}
"""
        )

    def _accepts(self) -> bool:
        assert self._process
        assert self._process.poll() is None, f"{self.name} ended:\n{self.log}"
        with socket.socket() as probe:
            probe.settimeout(_ASK_WITHIN)
            return probe.connect_ex((self.host, _PORT)) == 0


def _address(link: str, number: int) -> str:
    return f"10.99.{(CLIENTS, PEERS).index(link)}.{number}"
