"""The operator's two processes as real processes, for tests."""

import os
import sys
from pathlib import Path
from typing import ClassVar, Literal

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from support.logging_process import LoggingProcess


class OperatorProcess(LoggingProcess):
    """The webhook or the controller, as the user of a kubeconfig."""

    _READY: ClassVar = {"controller": "holding the lease", "webhook": "listening"}

    def __init__(
        self, process: Literal["controller", "webhook"], kubeconfig: Path, namespace: str, **variables: str
    ) -> None:
        self.ready = self._READY[process]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CHOREGOS_")},
            "KUBECONFIG": str(kubeconfig),
            "CHOREGOS_NAMESPACE": namespace,
            "CHOREGOS_PROBES_HOST": "127.0.0.1",
            "CHOREGOS_PROBES_PORT": "0",
            "CHOREGOS_WEBHOOK_HOST": "127.0.0.1",
            "CHOREGOS_WEBHOOK_PORT": "0",
            **variables,
        }
        super().__init__((sys.executable, "-m", "choregos_operator", process), environment)

    @property
    def probes_url(self) -> str:
        """Where its probes and metrics are."""
        return str(next(line["url"] for line in reversed(self.lines) if line["message"] == "probes"))

    async def metrics(self) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
        """Return the samples of its metrics, by name and labels."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.probes_url}/metrics") as answer:
            families = list(text_string_to_metric_families(await answer.text()))
        found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
        for sample in (each for family in families for each in family.samples):
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
        return found
