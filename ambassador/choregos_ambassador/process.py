"""The ambassador as a process: its settings, its log, its event loop."""

import gc
import os
import sys

import uvloop

from choregos_ambassador import log
from choregos_ambassador.server import Fatal, Server
from choregos_ambassador.settings import Settings, SettingsError, read


def run() -> None:
    """Run one ambassador until a signal ends it."""
    try:
        settings = read(os.environ)
    except SettingsError as error:
        sys.exit(f"error: {error}")
    log.configure(settings.log_level)
    gc.freeze()
    try:
        uvloop.run(_serve(settings))
    except Fatal as error:
        sys.exit(f"error: {error}")


async def _serve(settings: Settings) -> None:
    await Server(settings).run()
