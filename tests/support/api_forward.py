"""Lets a port of the loopback reach the same port of the loopback in another network namespace.

`api_forward.py PORT NAMESPACE` listens first, then enters the namespace: a socket stays where it was made.
"""

import asyncio
import ctypes
import os
import socket
import sys
from contextlib import suppress

HOST = "127.0.0.1"
_CLONE_NEWNET = 0x40000000
_CHUNK = 1 << 16


def main(port: int, namespace: str) -> None:
    """Forward connections until killed."""
    listening = socket.socket()
    # Whoever reserves the port shares it.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((HOST, port))
    _enter(namespace)
    asyncio.run(_serve(listening, port))


def _enter(namespace: str) -> None:
    descriptor = os.open(namespace, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        sys.exit(f"cannot enter {namespace}: {os.strerror(ctypes.get_errno())}")
    os.close(descriptor)


async def _serve(listening: socket.socket, port: int) -> None:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(HOST, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))
        for end in (writer, there_writer):
            end.close()

    server = await asyncio.start_server(forward, sock=listening, backlog=128)
    await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
