"""`python -m chaos`: play a round, print what was found as one line of JSON, and exit 0 only if nothing was wrong."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

from chaos.options import parse
from chaos.round import play
from chaos.theatre import Runner


async def main(arguments: Sequence[str]) -> int:
    """Play one round, or one with each runner to compare; returns the exit code."""
    options, compare = parse(arguments)
    interrupted = _interrupted_by(signal.SIGINT, signal.SIGTERM)
    good = True
    for runner in Runner if compare else [options.runner]:
        report = await play(replace(options, runner=runner), interrupted)
        sys.stdout.write(report.line() + "\n")
        sys.stdout.flush()
        good = good and (report.good or (compare and runner is not Runner.CHOREGOS))
    return 0 if good else 1


def _interrupted_by(*signals: signal.Signals) -> asyncio.Event:
    """Have these signals cancel the current task; returns whether they did."""
    task, interrupted = asyncio.current_task(), asyncio.Event()
    assert task

    def interrupt() -> None:
        # `make` passes on what the whole group has got already: the second must not cut the clearing up short.
        if not interrupted.is_set():
            interrupted.set()
            task.cancel()

    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    return interrupted


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(sys.argv[1:])))
    except asyncio.CancelledError:
        sys.exit(130)
