"""Ports that stay free until somebody listens on them."""

import random
import socket
from typing import Final

NOT_HANDED_OUT: Final = range(20_000, 32_000)
"""Below the ports that the kernel gives to connections (`net.ipv4.ip_local_port_range`): nobody gets one of these by chance, not
even a client that tries to connect to it."""


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with listening() as found:
        return int(found.getsockname()[1])


def listening() -> socket.socket:
    """A socket that listens on such a port."""
    while True:
        try:
            return socket.create_server(("127.0.0.1", random.choice(NOT_HANDED_OUT)))
        except OSError:
            continue
