"""The ambassador as a real process, for tests."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from choregos_contract.configuration import Configuration, dump, load
from support.logging_process import LoggingProcess


class Ambassador(LoggingProcess):
    """One ambassador process, with the configuration that is mounted beside it."""

    def __init__(self, nats_url: str, configuration: Configuration | None, **environment: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="choregos-ambassador-")
        self._path = Path(self._directory.name) / "configuration.json"
        steering = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CHOREGOS_")},
            "CHOREGOS_CONFIG": str(self._path),
            "CHOREGOS_NATS_URL": nats_url,
            "CHOREGOS_PUBLISH_PORT": "0",
            "CHOREGOS_PROBES_PORT": "0",
            "CHOREGOS_PROBES_HOST": "127.0.0.1",
            "CHOREGOS_LOG_EVENTS": "1",
            **environment,
        }
        super().__init__((sys.executable, "-m", "choregos_ambassador"), steering)
        if configuration is not None:
            self.configure(configuration)

    def configure(self, configuration: Configuration) -> None:
        """Replace the mounted configuration, as a ConfigMap's update does."""
        self.configure_raw(dump(configuration))

    @property
    def configuration(self) -> Configuration:
        """The configuration that is mounted now."""
        return load(self._path.read_bytes())

    def configure_raw(self, document: bytes) -> None:
        successor = self._path.with_suffix(".new")
        successor.write_bytes(document)
        successor.rename(self._path)

    def configure_gone(self) -> None:
        """Take the configuration away, as the deletion of a ConfigMap does."""
        self._path.unlink()

    @property
    def publish_url(self) -> str:
        return str(self._listening["publish_url"])

    @property
    def probes_url(self) -> str:
        return str(self._listening["probes_url"])

    @property
    def _listening(self) -> dict[str, Any]:
        return next(line for line in reversed(self.lines) if line["message"] == "listening")

    def hops(self, verdict: str | None = None) -> list[dict[str, Any]]:
        """The ends of hops so far, or those with one verdict."""
        return [each for each in self.lines if each["message"] == "hop" and verdict in (None, each["verdict"])]

    async def __aexit__(self, *outcome: object) -> None:
        await super().__aexit__(*outcome)
        self._directory.cleanup()
