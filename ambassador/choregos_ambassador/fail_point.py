"""Fail points: places in the way of an event at which a test may have this process killed, or stopped.

They do nothing unless `CHOREGOS_FAIL_POINT` is `STEP@FILE`: then the process kills itself the first time it gets to the
step, and leaves the file behind so that its successor does not. With `STEP` alone every successor does so, too. With
`STEP:stop@FILE` it stops (SIGSTOP) instead, until somebody has it go on (SIGCONT).
"""

import os
import signal
from pathlib import Path

_POINT, _, _FILE = os.environ.get("CHOREGOS_FAIL_POINT", "").partition("@")
_STEP, _, _HOW = _POINT.partition(":")
_SIGNAL = signal.SIGSTOP if _HOW == "stop" else signal.SIGKILL


def _fail_at(step: str) -> None:
    if step != _STEP or (_FILE and Path(_FILE).exists()):
        return
    if _FILE:
        Path(_FILE).write_text(step)
    os.kill(os.getpid(), _SIGNAL)


def _pass_by(_step: str) -> None:
    pass


reach = _fail_at if _STEP else _pass_by
