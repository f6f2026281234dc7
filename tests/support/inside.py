"""Being inside of a node's network: what a thread connects to from there on is what a pod would reach."""

import asyncio
import ctypes
import os
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

_CLONE_NEWNET = 0x40000000

T = TypeVar("T")


def threads(network: Path, count: int) -> ThreadPoolExecutor:
    """Return threads whose sockets are all of that network namespace."""
    return ThreadPoolExecutor(count, initializer=partial(_enter, network))


def run(network: Path, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a loop of its own, whose sockets are of that network namespace; addresses must be numbers."""
    with threads(network, 1) as thread:
        return thread.submit(lambda: asyncio.run(main())).result()


@contextmanager
def visiting(network: Path) -> Iterator[None]:
    """Have this thread, and the processes and threads that it starts meanwhile, be in that network namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(network)
        try:
            yield
        finally:
            _set(home)
    finally:
        os.close(home)


def _enter(network: Path) -> None:
    descriptor = os.open(network, os.O_RDONLY)
    try:
        _set(descriptor)
    finally:
        os.close(descriptor)


def _set(network: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(network, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace")
