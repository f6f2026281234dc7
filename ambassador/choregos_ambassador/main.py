"""The entry point of the ambassador process, and of the small commands beside it.

What only the process itself needs is imported only for it: `drain` runs as every pod ends, on whatever CPU is left.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final

AUTHORITIES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that tell OpenSSL where the certificates of authorities are."""
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
    _import_process()()


def _import_process() -> Callable[[], None]:
    """Import all that serving takes, while OpenSSL finds no certificates of authorities; return what serves.

    aiohttp reads all that the system has as it is imported, for a client that the ambassador never has: 2 MiB.
    Credentials reads them when a connection to NATS needs them.
    """
    before = {name: os.environ.get(name) for name in AUTHORITIES}
    os.environ.update(dict.fromkeys(AUTHORITIES, os.devnull))
    try:
        from choregos_ambassador import process  # noqa: PLC0415  see above
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
    return process.run


def _drain() -> None:
    from choregos_ambassador.drain import DrainError, drain  # noqa: PLC0415  see above

    try:
        drain(os.environ)
    except DrainError as error:
        sys.exit(f"error: {error}")


def _print_version() -> None:
    from importlib.metadata import version  # noqa: PLC0415  see above

    sys.stdout.write(f"choregos-ambassador {version('choregos')}\n")
