"""The entry point of both processes: `choregos-operator webhook` and `choregos-operator controller`."""

import argparse
import asyncio
import os
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from typing import Any

from kubernetes.aio.config import ConfigException

from choregos_operator import log
from choregos_operator.lease import Lost
from choregos_operator.settings import Settings, SettingsError, read

Process = Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]


def run() -> None:
    """Run one process until a signal ends it."""
    parser = argparse.ArgumentParser(prog="choregos-operator", description="Run one of the operator's two processes.")
    parser.add_argument("process", choices=("webhook", "controller"))
    parser.add_argument("--version", action="version", version=version("choregos"))
    process = parser.parse_args().process
    try:
        settings = read()
    except SettingsError as error:
        sys.exit(f"error: {error}")
    log.configure(settings.log_level)
    try:
        asyncio.run(_live({"webhook": webhook, "controller": controller}[process], settings))
    except ConfigException as error:
        sys.exit(f"error: no way to the API server: {error}")
    except (Lost, OSError) as error:
        sys.exit(f"error: {error}")


async def webhook(settings: Settings, stop: asyncio.Event) -> None:
    """Validate and inject until `stop`."""
    from choregos_operator.webhook.life import live  # noqa: PLC0415  a process pays for its own half only

    await live(settings, stop)


async def controller(settings: Settings, stop: asyncio.Event) -> None:
    """Reconcile until `stop`, while this process holds the Lease."""
    from choregos_operator.controller.life import live  # noqa: PLC0415

    await live(settings, stop, identity=f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}")


async def _live(process: Process, settings: Settings) -> None:
    """The first signal ends the process in order, the second one at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def signalled(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        log.log.info("stopping", signal=number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled, number)
    try:
        await process(settings, stop)
    except BaseExceptionGroup as group:
        raise _first(group) from group
    log.log.info("stopped")


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """Return the first of the exceptions in a group, however deep."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
