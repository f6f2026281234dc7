"""The mounted configuration: read when it appears, again whenever its content changes, and given up when it is gone.

A file that is gone for some seconds means that nobody declares the service any more: its reactions then rest, as the
durables do that nobody owns, and when the file is back they go on where they were.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from choregos_ambassador.log import log
from choregos_ambassador.metrics import Metrics
from choregos_contract.configuration import Configuration, ConfigurationError, load

LOOK_EVERY: Final = 0.5
"""Seconds between two looks. Looking works on every file system, and with the links of a ConfigMap volume."""
GONE_AFTER: Final = 5.0
"""Seconds without the file after which it is not just between two versions."""


class _File:
    """Looks at the file, and tells one that is gone from one that cannot be read just now."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._path = path
        self._metrics = metrics
        self._missed: float | None = None
        self._unreadable = False

    @property
    def gone(self) -> bool:
        """Whether it was missing at every look for longer than between two versions.

        The time begins with the first such look, so a process that was stopped meanwhile needs a second one.
        """
        return self._missed is not None and time.monotonic() - self._missed > GONE_AFTER

    def look(self, *, in_force: bool) -> bytes | None:
        """Return the content, if there is any to be had now."""
        try:
            document = self._path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            if self._missed is None:
                self._missed = time.monotonic()
            return None  # not there yet, between two versions, or gone
        except OSError as error:
            self._missed = None  # nobody took it away: it is we who cannot read it, out of descriptors for one
            self._tell(error, in_force)
            return None
        self._missed, self._unreadable = None, False
        return document

    def _tell(self, error: OSError, in_force: bool) -> None:
        if not self._unreadable:
            self._unreadable = True
            self._metrics.configuration_errors.inc()
            log.error("configuration unreadable", path=str(self._path), error=str(error), in_force=in_force)


async def changes(path: Path, metrics: Metrics) -> AsyncIterator[Configuration]:
    """Yield each new configuration; one that cannot be used is reported, and the last good one stays in force.

    When the file is gone, what is yielded is the last good one without reactions and events to publish.
    """
    file = _File(path, metrics)
    seen: bytes | None = None
    current: Configuration | None = None
    while True:
        document = file.look(in_force=current is not None)
        if file.gone and current is not None and seen is not None:
            log.warning("configuration gone", path=str(path), generation=current.generation)
            seen, current = None, replace(current, readiness=None, emits=(), reactions=())
            yield current
        if document is not None and document != seen:
            seen = document
            try:
                configuration = _successor(load(document), current)
            except ConfigurationError as error:
                metrics.configuration_errors.inc()
                log.error("configuration refused", path=str(path), error=str(error), in_force=current is not None)
            else:
                if configuration != current:
                    current = configuration
                    metrics.generation.set(configuration.generation)
                    yield configuration
        await asyncio.sleep(LOOK_EVERY)


def _successor(configuration: Configuration, current: Configuration | None) -> Configuration:
    if current is not None and (configuration.service, configuration.bus) != (current.service, current.bus):
        raise ConfigurationError(
            "it is for another service or bus than the one in force; restart the ambassador for it"
        )
    return configuration
