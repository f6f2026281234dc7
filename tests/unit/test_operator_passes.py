"""When the controller looks at a bus: soon, one pass at a time, again after a failure."""

import asyncio

import pytest

from choregos_operator.controller import passes
from choregos_operator.controller.passes import ComeAgain, Passes
from choregos_operator.mirror import Key

SCOPE = ("shop", "default")


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
        self._errors = list(errors)
        self._running: list[Key] = []
        self._news = asyncio.Condition()

    async def __call__(self, scope: Key) -> None:
        self._running.append(scope)
        self.most_at_once = max(self.most_at_once, self._running.count(scope))
        async with self._news:
            self.scopes.append(scope)
            self._news.notify_all()
        await self.go.wait()
        self._running.remove(scope)
        if self._errors:
            raise self._errors.pop(0)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: len(self.scopes) >= count)


async def test_many_marks_at_once_are_one_pass() -> None:
    look = Looks()
    queue = Passes(look)
    for _ in range(100):
        queue.mark(SCOPE)
    queue.mark(("shop", "other"))
    await look.until(2)
    await queue.close()
    assert sorted(look.scopes) == [SCOPE, ("shop", "other")]


async def test_a_change_during_a_pass_is_one_more_pass_after_it() -> None:
    look = Looks()
    look.go.clear()
    queue = Passes(look)
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
    queue = Passes(look)
    queue.mark(SCOPE)
    await look.until(3)
    queue.mark(("shop", "other"))
    await look.until(4)
    await queue.close()
    assert look.scopes == [SCOPE, SCOPE, SCOPE, ("shop", "other")]


async def test_closing_ends_a_pass_that_runs() -> None:
    look = Looks()
    look.go.clear()
    queue = Passes(look)
    queue.mark(SCOPE)
    await look.until(1)
    async with asyncio.timeout(1):
        await queue.close()
