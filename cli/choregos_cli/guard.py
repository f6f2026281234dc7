"""Sees to it that no child process outlives the run that started it, not even when that is killed with SIGKILL.

A script of the standard library alone, so that it starts in milliseconds. One pipe joins its two roles:

* `guard.py watch DIRECTORY` reads the pipe as stdin. Its end means that the run is over, however it ended: every process
  group on the list is killed, and the run's directory removed.
* `guard.py run FD COMMAND...` puts its own process group on the list, then becomes the command. As the child does that
  itself before it is anything else, there is no instant at which it runs and is not on the list.

A line on the pipe is `+GROUP` or `-GROUP`; it is written at once, and is shorter than what a pipe could tear apart.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from typing import NoReturn

_ROUNDS = 100


def watch(directory: str) -> None:
    """Wait until the pipe ends, then kill the groups that are left and remove the directory."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    # Whoever was just killed may still be writing into it.
    for _ in range(_ROUNDS):
        shutil.rmtree(directory, ignore_errors=True)
        if not os.path.exists(directory):  # noqa: PTH110 - pathlib takes longer to import than all the rest
            break
        time.sleep(0.02)


def run(pipe: int, command: list[str]) -> NoReturn:
    """Put this process group on the list and become the command."""
    os.write(pipe, b"+%d\n" % os.getpid())
    os.set_inheritable(pipe, False)
    # Python ignores these two, and what is ignored stays so in what a process becomes.
    for restored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(restored, signal.SIG_DFL)
    try:
        os.execv(command[0], command)  # noqa: S606 - the command is the user's own
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        watch(sys.argv[2])
    else:
        run(int(sys.argv[2]), sys.argv[3:])
