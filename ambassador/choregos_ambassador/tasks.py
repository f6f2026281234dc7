"""Tasks that nobody awaits, and that must not fail in silence."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from choregos_ambassador.log import log


def watched(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Start a task; whatever it raises is logged as a bug, since every foreseen trouble is handled in it."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(surface)
    return task


def surface(task: asyncio.Task[None]) -> None:
    """Log what an ended task has raised."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("bug", task=task.get_name(), error=repr(error), exc_info=error)
