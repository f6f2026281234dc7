"""When the controller looks at a bus: soon, one pass at a time, again after a failure."""

import asyncio

import pytest

from choregos_operator.controller import passes
from choregos_operator.controller.passes import ComeAgain, Passes
from choregos_operator.mirror import Key

SCOPE = ("shop", "default")
READY = asyncio.Event()
READY.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "GATHER", 0.01)
    monkeypatch.setattr(passes, "FIRST_BACKOFF", 0.01)


class Looks:
    def __init__(self, *errors: Exception) -> None:
        self.scopes: list[Key] = []
        self.most_at_once = 0
        self.go = asyncio.Event()
        self.go.set()
        self.again: list[float | None] = []
        self._errors = list(errors)
        self._running: list[Key] = []
        self._news = asyncio.Condition()

    async def __call__(self, scope: Key) -> float | None:
        self._running.append(scope)
        self.most_at_once = max(self.most_at_once, self._running.count(scope))
        async with self._news:
            self.scopes.append(scope)
            self._news.notify_all()
        await self.go.wait()
        self._running.remove(scope)
        if self._errors:
            raise self._errors.pop(0)
        return self.again.pop(0) if self.again else None

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: len(self.scopes) >= count)


async def test_many_marks_at_once_are_one_pass() -> None:
    look = Looks()
    queue = Passes(look, ready=READY)
    for _ in range(100):
        queue.mark(SCOPE)
    queue.mark(("shop", "other"))
    await look.until(2)
    await queue.close()
    assert sorted(look.scopes) == [SCOPE, ("shop", "other")]


async def test_a_change_during_a_pass_is_one_more_pass_after_it() -> None:
    look = Looks()
    queue = Passes(look, ready=READY)
    look.go.clear()
    queue.mark(SCOPE)
    await look.until(1)
    for _ in range(10):
        queue.mark(SCOPE)
    look.go.set()
    await look.until(2)
    await queue.close()
    assert look.scopes == [SCOPE, SCOPE]
    assert look.most_at_once == 1


@pytest.mark.parametrize("error", [ComeAgain("NATS is away"), ValueError("a defect")])
async def test_a_failed_pass_is_repeated_and_disturbs_no_other_bus(error: Exception) -> None:
    look = Looks(error, error)
    queue = Passes(look, ready=READY)
    queue.mark(SCOPE)
    await look.until(3)
    queue.mark(("shop", "other"))
    await look.until(4)
    await queue.close()
    assert look.scopes == [SCOPE, SCOPE, SCOPE, ("shop", "other")]


async def test_closing_ends_a_pass_that_runs() -> None:
    look = Looks()
    queue = Passes(look, ready=READY)
    look.go.clear()
    queue.mark(SCOPE)
    await look.until(1)
    async with asyncio.timeout(1):
        await queue.close()


async def test_nothing_is_looked_at_before_everything_is_known() -> None:
    look, ready = Looks(), asyncio.Event()
    queue = Passes(look, ready=ready)
    queue.mark(SCOPE)
    await asyncio.sleep(0.05)
    assert look.scopes == []
    ready.set()
    await look.until(1)
    await queue.close()


async def test_a_pass_that_asks_for_it_is_followed_by_another() -> None:
    look = Looks()
    look.again = [0.02, None]
    queue = Passes(look, ready=READY)
    queue.mark(SCOPE)
    await look.until(2)
    await queue.close()
    assert look.again == []
