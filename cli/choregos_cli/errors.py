"""How a command ends other than well: a sentence, a mend, an exit code.

    CommandError
    ├── RefusedError      1   the input was read and understood, and is not accepted
    ├── MisuseError       2   the command line is wrong, or an input cannot be read
    └── UnreachableError  3   the bus or the service did not answer, or could not do it now

A command returns an exit code, or raises one of these; `main` prints them. Anything else that is raised is a defect.
"""

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the shell sees; `docs/cli.md` holds the same list."""

    FINE = 0
    REFUSED = 1
    MISUSED = 2
    UNREACHABLE = 3
    CHANGES = 4
    DEFECT = 70
    INTERRUPTED = 130


class CommandError(Exception):
    """What went wrong and where, as one sentence without a full stop, and what to do about it."""

    code: ClassVar[ExitCode]

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class RefusedError(CommandError):
    """The input was understood and is not accepted."""

    code = ExitCode.REFUSED


class MisuseError(CommandError):
    """The command line is wrong, or an input cannot be read."""

    code = ExitCode.MISUSED


class UnreachableError(CommandError):
    """The bus or the service did not answer, or could not do it now; the same command may succeed later."""

    code = ExitCode.UNREACHABLE
