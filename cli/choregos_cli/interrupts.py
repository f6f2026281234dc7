"""The life of a command that runs until it is told to end.

The first SIGINT or SIGTERM cancels its work, which then ends in good order; the second cancels that as well.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

from choregos_cli.errors import ExitCode

_APART: Final = 0.05


def raise_swallowed_cancel() -> None:
    """Raise CancelledError if the current task was cancelled, which a library it has awaited may have kept to itself.

    `asyncio.wait_for` does that before Python 3.12 when what it waits for comes at the same moment, and nats-py is built
    on it. For use after such a call, but not in cleaning up, where the task has been cancelled long ago.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def run_interruptible(work: Callable[[], Coroutine[Any, Any, int | None]], *, told_once: int = ExitCode.FINE) -> int:
    """Run `work` to its end and return its exit code; `told_once` if it was told to end, 130 if it was told so twice."""
    try:
        return asyncio.run(_run(work, told_once))
    except KeyboardInterrupt:  # before the loop takes the signal, or after
        return ExitCode.INTERRUPTED


async def _run(work: Callable[[], Coroutine[Any, Any, int | None]], told_once: int) -> int:
    told = 0
    task = asyncio.create_task(work())

    def tell() -> None:
        nonlocal told
        told += 1
        if told == 1:
            task.cancel()
        else:  # a moment later: two cancels at once would count as one
            loop.call_later(_APART, task.cancel)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, tell)
    try:
        code = await task
    except asyncio.CancelledError:
        return ExitCode.INTERRUPTED if told > 1 else told_once
    return code or ExitCode.FINE
