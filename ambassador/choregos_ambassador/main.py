"""The entry point of the ambassador process, and of the small commands beside it.

What only the process itself needs is imported only for it: `drain` runs as every pod ends, on whatever CPU is left.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

USAGE: Final = """\
usage: choregos-ambassador             run an ambassador until a signal ends it; its settings are CHOREGOS_* variables
       choregos-ambassador drain       have the ambassador of this pod finish what it has in hand, and wait for that
       choregos-ambassador --version   print the version"""


def run(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says; `arguments` stand in for it. Ends the process with an error's sentence, if there is one."""
    match list(sys.argv[1:] if arguments is None else arguments):
        case []:
            _serve()
        case ["drain"]:
            _drain()
        case ["--version"]:
            _print_version()
        case ["--help" | "-h"]:
            sys.stdout.write(f"{USAGE}\n")
        case unknown:
            sys.stderr.write(f"error: there is no command {' '.join(unknown)!r}\n{USAGE}\n")
            sys.exit(2)


def _serve() -> None:
    """Serve; a signal that comes while all is still being imported finds nothing to drain, and ends the process well.

    It would be lost otherwise, since the kernel lets the first process of a container pass over a signal without a handler.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    from choregos_ambassador import process  # noqa: PLC0415  see above

    process.run()


def _drain() -> None:
    from choregos_ambassador.drain import DrainError, drain  # noqa: PLC0415  see above

    try:
        drain(os.environ)
    except DrainError as error:
        sys.exit(f"error: {error}")


def _print_version() -> None:
    from importlib.metadata import version  # noqa: PLC0415  see above

    sys.stdout.write(f"choregos-ambassador {version('choregos')}\n")
