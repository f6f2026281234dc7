"""The webhook as a real process, with the certificate that it is to serve."""

import json
import ssl
from pathlib import Path
from typing import Any

import aiohttp

from support.operator_process import OperatorProcess


class Webhook(OperatorProcess):
    """One replica; `certificates` is where its Secret is mounted."""

    def __init__(
        self, kubeconfig: Path, certificates: Path | str, namespace: str = "choregos-system", **variables: str
    ) -> None:
        super().__init__("webhook", kubeconfig, namespace, CHOREGOS_WEBHOOK_CERTIFICATES=str(certificates), **variables)

    @property
    def url(self) -> str:
        """Where it takes admissions."""
        return str(next(line["url"] for line in reversed(self.lines) if line["message"] == "listening"))

    @property
    def port(self) -> int:
        """The port of `url`."""
        return int(self.url.rpartition(":")[2])

    async def probe(self, path: str) -> tuple[int, str]:
        """Ask one of its probes; returns the status and what it says."""
        async with aiohttp.ClientSession() as session, session.get(self.probes_url + path) as answer:
            return answer.status, await answer.text()


def nowhere(directory: Path) -> Path:
    """Write the kubeconfig of a cluster whose API server is away."""
    file = directory / "nowhere.kubeconfig"
    server = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config: dict[str, Any] = {"clusters": [server], "contexts": [context], "users": [{"name": "u", "user": {}}]}
    file.write_text(json.dumps(config | {"apiVersion": "v1", "kind": "Config", "current-context": "c"}))
    return file


def trusting(*certificates: Path) -> ssl.SSLContext:
    """Return what a client connects with that trusts these authorities only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for certificate in certificates:
        context.load_verify_locations(certificate)
    return context
