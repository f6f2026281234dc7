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


async def changes(path: Path, metrics: Metrics) -> AsyncIterator[Configuration]:
    """Yield each new configuration; one that cannot be used is reported, and the last good one stays in force.

    When the file is gone, what is yielded is the last good one without reactions and events to publish.
    """
    seen: bytes | None = None
    current: Configuration | None = None
    there = time.monotonic()
    while True:
        document = _read(path)
        if document is not None:
            there = time.monotonic()
        elif current is not None and seen is not None and time.monotonic() - there > GONE_AFTER:
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


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None  # not there yet, or between two versions


def _successor(configuration: Configuration, current: Configuration | None) -> Configuration:
    if current is not None and (configuration.service, configuration.bus) != (current.service, current.bus):
        raise ConfigurationError(
            "it is for another service or bus than the one in force; restart the ambassador for it"
        )
    return configuration
