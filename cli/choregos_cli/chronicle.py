"""What happened in a run so far, and what happens next, for any number of readers."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from choregos_cli.happenings import Happening

_REMEMBERED: Final = 10_000
_Kind = TypeVar("_Kind", bound=Happening)
_Queue = asyncio.Queue[Happening | None]


class Chronicle:
    """Everybody who reads it sees what is remembered, then everything that is told until it is closed."""

    def __init__(self) -> None:
        self._remembered: deque[Happening] = deque(maxlen=_REMEMBERED)
        self._readers: set[_Queue] = set()
        self._closed = False

    def tell(self, happening: Happening) -> None:
        """Add what happened."""
        self._remembered.append(happening)
        for reader in self._readers:
            reader.put_nowait(happening)

    def close(self) -> None:
        """Let every reader come to an end."""
        self._closed = True
        for reader in self._readers:
            reader.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Happening]:
        """Yield what happened and what happens, from the oldest that is remembered to the end of the run."""
        queue: _Queue = asyncio.Queue()
        for remembered in self._remembered:
            queue.put_nowait(remembered)
        if self._closed:
            queue.put_nowait(None)
        self._readers.add(queue)
        try:
            while (happening := await queue.get()) is not None:
                yield happening
        finally:
            self._readers.discard(queue)

    async def until(
        self, kind: type[_Kind], matches: Callable[[_Kind], bool] = lambda _: True, *, within: float = 10.0
    ) -> _Kind:
        """Return the first happening of a kind that matches, past or future; raise TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            async for happening in self:
                if isinstance(happening, kind) and matches(happening):
                    return happening
        raise TimeoutError(f"the run ended without {kind.__name__}")
