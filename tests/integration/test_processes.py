"""Child processes end when they are told to, and when nobody is left to tell them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from choregos_cli.processes import Process, Processes
from support.up_process import eventually

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(60)"


@pytest_asyncio.fixture
async def processes() -> AsyncIterator[Processes]:
    async with Processes() as running:
        yield running


class Child:
    """A child process and the lines that it wrote."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[str] = asyncio.Queue()

    async def start(self, processes: Processes, *command: str) -> Process:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        return await processes.start(
            command, environment=environment, directory=Path("/"), on_line=self.lines.put_nowait
        )

    async def line(self) -> str:
        async with asyncio.timeout(10):
            return await self.lines.get()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


async def test_output_comes_line_by_line_the_last_one_too(processes: Processes) -> None:
    child = Child()
    process = await child.start(processes, sys.executable, "-c", "import sys; print('one'); sys.stderr.write('two')")
    assert await process.wait() == 0
    assert [await child.line(), await child.line()] == ["one", "two"]
    assert list(process.tail) == ["one", "two"]


async def test_a_line_without_end_is_cut(processes: Processes) -> None:
    process = await Child().start(processes, sys.executable, "-c", "print('x' * 1_000_000)")
    assert await process.wait() == 0
    assert sum(map(len, process.tail)) == 1_000_000
    assert max(map(len, process.tail)) < 200_000


async def test_who_ignores_sigterm_is_killed_after_the_grace(processes: Processes) -> None:
    child = Child()
    process = await child.start(processes, sys.executable, "-c", STUBBORN)
    assert await child.line() == "ready"
    assert await process.stop(grace=0.1) == -signal.SIGKILL


async def test_what_a_child_leaves_in_its_group_ends_with_it(processes: Processes) -> None:
    child = Child()
    process = await child.start(processes, "/bin/sh", "-c", "sleep 60 & echo $!")
    grandchild = int(await child.line())
    assert await process.wait() == 0
    await asyncio.to_thread(eventually, lambda: gone(grandchild), "the grandchild is gone")


async def test_who_keeps_our_pipe_from_outside_the_group_does_not_keep_us(processes: Processes) -> None:
    child = Child()
    daemon = "import os, subprocess; print(subprocess.Popen(['sleep', '60'], start_new_session=True).pid)"
    process = await child.start(processes, sys.executable, "-c", daemon)
    pid = int(await child.line())
    try:
        async with asyncio.timeout(5):
            assert await process.wait() == 0
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_leaving_ends_everything_and_removes_the_directory() -> None:
    async with Processes() as processes:
        child = Child()
        process = await child.start(processes, sys.executable, "-c", STUBBORN)
        assert await child.line() == "ready"
        (processes.directory / "file").write_text("something")
    assert gone(process.pid)
    assert await process.wait() == -signal.SIGKILL
    assert not processes.directory.exists()


async def test_a_child_sees_its_signals_and_descriptors_as_from_a_shell(processes: Processes) -> None:
    child = Child()
    # sh writes into a pipe that nobody reads: with SIGPIPE ignored, as Python has it, it would complain instead.
    await child.start(
        processes, "/bin/sh", "-c", "{ sh -c 'kill -PIPE $$; echo ignored'; echo $?; ls /proc/self/fd | wc -l; }"
    )
    assert await child.line() == str(128 + signal.SIGPIPE)
    assert int(await child.line()) <= 4  # 0, 1, 2 and the one of ls itself
