"""When the controller looks at a bus: soon, one pass at a time, again after a failure."""

import asyncio
from collections.abc import Awaitable
from typing import Literal

import pytest

from choregos_operator.controller import passes
from choregos_operator.controller.passes import ComeAgain, Passes
from choregos_operator.mirror import Key
from support.waiting import wait_for

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
        self.silent: frozenset[str] = frozenset()
        """The namespaces whose looks never end."""
        self._running: list[Key] = []
        self._news = asyncio.Condition()

    async def __call__(self, scope: Key) -> float | None:
        self._running.append(scope)
        self.most_at_once = max(self.most_at_once, self._running.count(scope))
        async with self._news:
            self.scopes.append(scope)
            self._news.notify_all()
        await (asyncio.Event() if scope[0] in self.silent else self.go).wait()
        self._running.remove(scope)
        if self._errors:
            raise self._errors.pop(0)
        return self.again.pop(0) if self.again else None

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30), self._news:
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
    async with asyncio.timeout(30):
        await queue.close()


class Asked(asyncio.Event):
    """Tells when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_for = asyncio.Event()

    async def wait(self) -> Literal[True]:
        self.waited_for.set()
        return await super().wait()


async def test_nothing_is_looked_at_while_not_everything_is_known() -> None:
    look, ready = Looks(), Asked()
    queue = Passes(look, ready=ready)
    for count in range(2):
        ready.clear()
        ready.waited_for.clear()
        queue.mark(SCOPE)
        await soon(ready.waited_for.wait())
        assert len(look.scopes) == count
        ready.set()
        await look.until(count + 1)
        await idle(queue)


async def soon(what: Awaitable[object]) -> None:
    async with asyncio.timeout(30):
        await what


async def idle(queue: Passes) -> None:
    """Wait until nothing more will happen by itself."""
    await wait_for(lambda: not queue.busy, what="nothing more happens")


async def test_a_pass_that_asks_for_it_is_followed_by_another() -> None:
    look = Looks()
    look.again = [0.02, None]
    queue = Passes(look, ready=READY)
    queue.mark(SCOPE)
    await look.until(2)
    await queue.close()
    assert look.again == []


async def test_however_often_a_pass_asks_for_another_it_is_one() -> None:
    look = Looks()
    look.again = [0.1] * 5
    queue = Passes(look, ready=READY)
    for count in range(5):
        queue.mark(SCOPE)
        await look.until(count + 1)
    await idle(queue)
    assert len(look.scopes) == 6


async def test_nothing_is_kept_of_a_bus_that_waits_for_nothing() -> None:
    look = Looks(ComeAgain("NATS is away"))
    queue = Passes(look, ready=READY)
    for number in range(20):
        queue.mark((f"preview-{number}", "default"))
    assert len(queue.busy) == 20
    await idle(queue)
    queue.mark(SCOPE)
    assert queue.busy == {SCOPE}
    await idle(queue)
    assert look.scopes[-1] == SCOPE


HOSTILE = [("hostile", f"bus-{number}") for number in range(40)]


async def test_servers_that_say_nothing_hold_nobody_else_up() -> None:
    look = Looks()
    look.silent = frozenset({"hostile"})
    queue = Passes(look, ready=READY, apart=lambda scope: scope[1] != "default")
    for scope in HOSTILE:
        queue.mark(scope)
    await look.until(1)
    queue.mark(SCOPE)
    queue.mark(("shop", "with-servers-of-its-own"))
    await look.until(3)
    await queue.close()
    assert look.scopes == [HOSTILE[0], SCOPE, ("shop", "with-servers-of-its-own")]


async def test_buses_that_fail_stand_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "LONGEST_LOOK", 0.05)
    look = Looks()
    look.silent = frozenset({"hostile"})
    queue = Passes(look, ready=READY)
    for scope in HOSTILE[:4]:
        queue.mark(scope)
    await look.until(4)
    monkeypatch.setattr(passes, "LONGEST_LOOK", 3600)
    await look.until(5)
    for each in ("default", "other"):
        queue.mark(("shop", each))
    async with asyncio.timeout(30):
        while len([scope for scope in look.scopes if scope not in HOSTILE]) < 2:
            await look.until(len(look.scopes) + 1)
    await queue.close()
    assert look.scopes[4] in HOSTILE, "what took too long is tried again"


async def test_a_pass_that_is_cut_off_is_counted_and_one_that_is_ended_with_us_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passes, "LONGEST_LOOK", 0.05)
    counted: list[int] = []
    look = Looks()
    look.silent = frozenset({"hostile"})
    queue = Passes(look, ready=READY, cut_off=lambda: counted.append(len(look.scopes)))
    queue.mark(SCOPE)
    queue.mark(HOSTILE[0])
    await look.until(2)
    monkeypatch.setattr(passes, "LONGEST_LOOK", 3600)
    await look.until(3)
    await queue.close()
    assert counted == [2]


async def test_a_change_ends_a_long_backoff_and_is_no_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "FIRST_BACKOFF", 0.1)
    monkeypatch.setattr(passes, "LONGEST_BACKOFF", 3600)
    look = Looks(*[ComeAgain("refused")] * 3)
    queue = Passes(look, ready=READY)
    queue.mark(SCOPE)
    queue._scopes[SCOPE].failures = 10
    began = asyncio.get_running_loop().time()
    for count in range(4):
        queue.mark(SCOPE)
        await look.until(count + 1)
    await idle(queue)
    assert asyncio.get_running_loop().time() - began >= 3 * 0.1
