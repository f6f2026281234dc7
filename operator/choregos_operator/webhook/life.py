"""The life of the webhook: it answers from what it knows, while it keeps in step with the API server."""

import asyncio

from choregos_operator.kube import connect
from choregos_operator.mirror import Mirror
from choregos_operator.settings import Settings
from choregos_operator.store import Store
from choregos_operator.watching import CHOREOGRAPHIES, EVENT_BUSES, watch
from choregos_operator.webhook.server import serve


async def live(settings: Settings, stop: asyncio.Event) -> None:
    """Serve admissions until `stop`; raises what ends the server or the watch, OSError among them."""
    store, synced = Store(), asyncio.Event()
    mirror = Mirror(store.changed)
    kinds = (CHOREOGRAPHIES, EVENT_BUSES)
    async with await connect() as client, asyncio.TaskGroup() as group:
        group.create_task(serve(settings, store, synced, stop), name="admission server")
        group.create_task(
            watch(client, kinds, mirror, synced=synced, again=settings.sweep_seconds, stop=stop), name="keep in step"
        )
