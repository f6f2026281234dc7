"""What a command prints: rich on a terminal, plain text otherwise, colours never against NO_COLOR.

Results go to stdout, everything about the run to stderr. Text that somebody else wrote passes `printable`, so that no
file and no server can steer the terminal.
"""

import json
import sys
from typing import Any

from rich.console import Console
from rich.text import Text


def _console(*, stderr: bool) -> Console:
    # Without soft wrap, rich would cut lines at 80 columns where there is no terminal.
    return Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)


def output() -> Console:
    """Return the console for results (stdout)."""
    return _console(stderr=False)


def complaints() -> Console:
    """Return the console for everything about the run (stderr)."""
    return _console(stderr=True)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_error(what: str, hint: str) -> None:
    """Print what went wrong, and what to do about it, on stderr."""
    console = complaints()
    console.print(Text.assemble(("error:", "bold red"), " ", printable(what)))
    if hint:
        console.print(Text.assemble("  ", ("hint:", "cyan"), " ", printable(hint)))


def printable(text: str) -> str:
    """Return the text with control characters spelt out, line ends and tabs excepted."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
