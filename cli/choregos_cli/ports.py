"""Free ports of this machine, for services that have to be told where to listen."""

import random
import socket
from typing import Final

from choregos_cli.errors import MisuseError

HOST: Final = "127.0.0.1"
_RANGE: Final = range(20_000, 32_000)
"""Below what systems hand out to whoever asks for any port, and might take before the service does."""


def is_free(port: int) -> bool:
    """Whether somebody could listen there now."""
    with socket.socket() as probe:
        # As servers do, or a connection that has just ended would make its port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(taken: set[int]) -> int:
    """Return a free port that is not in `taken`, and add it there; drawn, so that two runs seldom meet."""
    for port in random.sample(_RANGE, 1000):
        if port not in taken and is_free(port):
            taken.add(port)
            return port
    what = f"no port from {_RANGE.start} to {_RANGE.stop - 1} seems to be free"
    raise MisuseError(what, "name a `port` for each service in choregos.local.yaml")
