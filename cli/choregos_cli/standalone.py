"""An ambassador in this process, for a service that no pod holds.

It listens at once, as in a pod. Its configuration is written only when the bus is wired for it, so that its publish API
takes no event whose reader is not there yet.
"""

import asyncio
import gc
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NoReturn

import msgspec
import uvloop
from nats.aio.client import Client

from choregos_ambassador import log as logging
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.nats_client import PermanentClient
from choregos_ambassador.server import Fatal, Server
from choregos_ambassador.settings import Settings
from choregos_cli.errors import UnreachableError

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at a configuration that may change."""
_CANCEL_AGAIN: Final = 0.2

Document = Callable[[], bytes]
"""Returns the configuration document as it is now, or nothing while it cannot be read."""
Prepare = Callable[[Client], Awaitable[Document]]
"""Sees to it that the bus is ready for the configuration, and only then returns where to read that."""


def run(settings: Settings, prepare: Prepare) -> None:
    """Run an ambassador until a signal ends it; `settings.config` is left out of account.

    Raises what `prepare` raises, and UnreachableError where it cannot listen, or NATS closes the connection for good.
    """
    logging.configure(settings.log_level)
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="choregos-ambassador-") as directory:
        path = Path(directory) / "configuration.json"
        try:
            uvloop.run(_run(msgspec.structs.replace(settings, config=str(path)), prepare))
        except Fatal as error:
            hint = "free the port or name another one, or start the ambassador again"
            raise UnreachableError(str(error), hint) from error


async def _run(settings: Settings, prepare: Prepare) -> None:
    serving = asyncio.create_task(Server(settings).run(), name="serve")
    preparing = asyncio.create_task(_prepare(settings, prepare), name="prepare")
    try:
        await asyncio.wait((serving, preparing), return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            preparing.result()
        await serving
    finally:
        serving.cancel()
        # Up to Python 3.11, `wait_for` may swallow a cancellation, and nats-py waits by it: once is not enough.
        while not preparing.done():
            preparing.cancel()
            await asyncio.wait((preparing,), timeout=_CANCEL_AGAIN)
        await asyncio.gather(serving, preparing, return_exceptions=True)


async def _prepare(settings: Settings, prepare: Prepare) -> NoReturn:
    async with _connected(settings) as client:
        document = await prepare(client)
    path, written = Path(settings.config), b""
    while True:
        if (wanted := document()) and wanted != written:
            successor = path.with_suffix(".new")
            successor.write_bytes(wanted)
            successor.rename(path)
            written = wanted
        await asyncio.sleep(LOOK_EVERY)


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Client]:
    """A connection of our own until the bus is wired, however long that takes; the ambassador says if NATS is away."""

    async def ignore(_: Exception) -> None:
        """Say nothing twice."""

    client = PermanentClient(Credentials.at(settings.nats_credentials))
    await client.connect(
        settings.servers,
        name="choregos ambassador",
        error_cb=ignore,
        tls_handshake_first=settings.nats_tls_handshake_first,
        tls_hostname=settings.nats_tls_server_name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
    )
    try:
        yield client
    finally:
        await client.close()
