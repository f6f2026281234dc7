"""Waiting for a condition, with a deadline: what tests do in place of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast, overload

PATIENCE = 60.0
_STEP = 0.05

T = TypeVar("T")


def eventually(condition: Callable[[], T], what: str = "the condition", patience: float = PATIENCE) -> T:
    """Wait until the condition is true, and return it; raises AssertionError with `what` after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(_STEP)
    return value


@overload
async def wait_for(
    condition: Callable[[], Awaitable[T]], what: str = "the condition", patience: float = PATIENCE
) -> T: ...
@overload
async def wait_for(condition: Callable[[], T], what: str = "the condition", patience: float = PATIENCE) -> T: ...
async def wait_for(
    condition: Callable[[], T | Awaitable[T]], what: str = "the condition", patience: float = PATIENCE
) -> T:
    """Do the same in an event loop, which goes on meanwhile; a condition that is no coroutine runs in a thread."""
    deadline = time.monotonic() + patience
    while not (value := await _value(condition)):
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        await asyncio.sleep(_STEP)
    return value


async def _value(condition: Callable[[], T | Awaitable[T]]) -> T:
    if inspect.iscoroutinefunction(condition):
        return cast("T", await condition())
    value = await asyncio.to_thread(condition)
    return await value if inspect.isawaitable(value) else value
