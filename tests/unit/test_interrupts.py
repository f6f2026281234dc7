"""A command that runs until it is told to end hears it the first time, and the second, and whatever a library does."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from choregos_cli.errors import ExitCode
from choregos_cli.interrupts import raise_swallowed_cancel, run_interruptible


def tell(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


async def forever() -> None:
    await asyncio.Event().wait()


async def ends_by_itself() -> int:
    return 7


async def told_once(log: list[str]) -> None:
    try:
        tell()
        await forever()
    finally:
        await asyncio.sleep(0.1)
        log.append("in good order")


async def told_twice(log: list[str]) -> None:
    try:
        tell()
        await forever()
    finally:
        tell(signal.SIGTERM)
        await forever()
        log.append("in good order")


async def told_twice_at_once(log: list[str]) -> None:
    try:
        tell(signal.SIGINT)
        tell(signal.SIGTERM)
        await forever()
    finally:
        await forever()
        log.append("in good order")


def test_the_exit_code_is_that_of_the_work() -> None:
    assert run_interruptible(ends_by_itself) == 7


def test_told_once_it_ends_in_good_order() -> None:
    log: list[str] = []
    assert run_interruptible(lambda: told_once(log)) == ExitCode.FINE
    assert run_interruptible(lambda: told_once(log), told_once=ExitCode.INTERRUPTED) == ExitCode.INTERRUPTED
    assert log == ["in good order"] * 2


@pytest.mark.parametrize("work", [told_twice, told_twice_at_once])
def test_told_twice_it_ends_at_once(work: Callable[[list[str]], Coroutine[Any, Any, None]]) -> None:
    log: list[str] = []
    assert run_interruptible(lambda: work(log)) == ExitCode.INTERRUPTED
    assert log == []


async def test_a_cancel_that_a_library_keeps_to_itself_is_raised_after_all() -> None:
    async def library() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            return

    async def work() -> None:
        await library()
        raise_swallowed_cancel()
        raise AssertionError("nobody was told")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_without_a_cancel_nothing_is_raised() -> None:
    raise_swallowed_cancel()
