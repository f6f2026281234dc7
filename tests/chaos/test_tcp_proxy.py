"""The proxy does to real connections what it says, and nothing else."""

import asyncio
import socket
import struct
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from support.tcp_link import End
from support.tcp_proxy import TcpProxy
from support.waiting import wait_for

SHORT = 0.2
"""Seconds in which a loopback would long have brought what does not come."""
LATENCY = 0.2


@dataclass
class Connection:
    """One end of a connection."""

    reader: StreamReader
    writer: StreamWriter

    async def says(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    async def hears(self, text: bytes, patience: float = 5.0) -> None:
        async with asyncio.timeout(patience):
            assert await self.reader.readexactly(len(text)) == text

    def resets(self) -> None:
        own = self.writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT):
                await self.reader.read(1)

    async def is_reset(self) -> None:
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(5):
                await self.reader.read(1)

    async def is_told_the_end(self) -> None:
        async with asyncio.timeout(5):
            assert await self.reader.read() == b""


@dataclass
class Scene:
    """A proxy before a server that does nothing of its own accord."""

    proxy: TcpProxy
    accepted: "asyncio.Queue[Connection]" = field(default_factory=asyncio.Queue)
    opened: list[Connection] = field(default_factory=list)

    async def client(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.proxy.port))
        self.opened.append(connection)
        return connection

    async def pair(self) -> tuple[Connection, Connection]:
        """Both ends of one connection."""
        client = await self.client()
        async with asyncio.timeout(5):
            return client, await self.accepted.get()


@asynccontextmanager
async def proxied() -> AsyncIterator[Scene]:
    everyone: list[Connection] = []

    async def accept(reader: StreamReader, writer: StreamWriter) -> None:
        everyone.append(Connection(reader, writer))
        scene.accepted.put_nowait(everyone[-1])

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server, TcpProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        scene = Scene(proxy)
        yield scene
    for each in everyone + scene.opened:
        each.writer.close()
        with suppress(OSError):
            await each.writer.wait_closed()


async def exchange(client: Connection, server: Connection) -> None:
    await client.says(b"question")
    await server.hears(b"question")
    await server.says(b"answer")
    await client.hears(b"answer")


async def test_what_one_end_says_the_other_hears_and_so_with_the_end() -> None:
    async with proxied() as scene:
        client, server = await scene.pair()
        await exchange(client, server)
        client.writer.write_eof()
        await server.is_told_the_end()
        await server.says(b"last words")
        await client.hears(b"last words")
        server.writer.close()
        await client.is_told_the_end()
        await wait_for(lambda: scene.proxy.connections == 0)


async def test_more_than_the_sockets_hold_arrives_whole_at_a_slow_reader() -> None:
    async with proxied() as scene:
        client, server = await scene.pair()
        whole = bytes(range(256)) * 100_000
        saying = asyncio.create_task(client.says(whole))
        await asyncio.sleep(SHORT)
        assert not saying.done(), "nobody reads: the proxy is no memory without end"
        await server.hears(whole, patience=20)
        await saying


async def test_what_was_said_before_the_end_arrives_before_the_end() -> None:
    async with proxied() as scene:
        client, server = await scene.pair()
        whole = bytes(range(256)) * 10_000
        client.writer.write(whole)
        client.writer.close()
        await asyncio.sleep(SHORT)
        await server.hears(whole)
        await server.is_told_the_end()


async def test_a_cut_resets_both_ends_and_the_next_connection_is_well() -> None:
    async with proxied() as scene:
        client, server = await scene.pair()
        await exchange(client, server)
        scene.proxy.cut()
        await client.is_reset()
        await server.is_reset()
        await exchange(*await scene.pair())


async def test_a_black_hole_swallows_everything_and_what_was_sent_arrives_after_it() -> None:
    async with proxied() as scene:
        client, server = await scene.pair()
        await exchange(client, server)
        scene.proxy.black_hole()
        await client.says(b"one")
        await server.says(b"other")
        newcomer = await scene.client()
        await newcomer.says(b"hello")
        await server.hears_nothing()
        await client.hears_nothing()
        assert scene.accepted.empty()
        scene.proxy.heal()
        await server.hears(b"one")
        await client.hears(b"other")
        await (await scene.accepted.get()).hears(b"hello")


async def test_nobody_is_told_of_an_end_beyond_a_black_hole() -> None:
    async with proxied() as scene:
        client, server = await scene.pair()
        await exchange(client, server)
        scene.proxy.black_hole()
        await server.says(b"farewell")
        server.writer.close()
        await client.hears_nothing()
        scene.proxy.heal()
        await client.hears(b"farewell")
        await client.is_told_the_end()


async def test_who_resets_a_connection_in_a_black_hole_takes_back_what_it_held() -> None:
    async with proxied() as scene:
        client, server = await scene.pair()
        await exchange(client, server)
        scene.proxy.black_hole()
        await client.says(b"no longer true")
        client.resets()
        await server.hears_nothing()
        scene.proxy.heal()
        await server.is_reset()


async def test_latency_delays_each_way_and_keeps_the_order() -> None:
    async with proxied() as scene:
        client, server = await scene.pair()
        scene.proxy.delay(LATENCY)
        begun = time.monotonic()
        for letter in (b"q", b"u", b"estion"):
            await client.says(letter)
        await asyncio.sleep(LATENCY / 2)
        scene.proxy.heal()
        await client.says(b"?")
        await server.hears(b"question?")
        assert time.monotonic() - begun >= LATENCY
        scene.proxy.delay(LATENCY)
        begun = time.monotonic()
        await exchange(client, server)
        assert 2 * LATENCY <= time.monotonic() - begun < 10 * LATENCY


@pytest.mark.parametrize("told", ["client", "target"])
async def test_of_a_half_open_connection_one_end_is_told_and_the_other_never(told: End) -> None:
    async with proxied() as scene:
        client, server = await scene.pair()
        await exchange(client, server)
        ends = {"client": client, "target": server}
        scene.proxy.half_open(told)
        await ends.pop(told).is_reset()
        (ghost,) = ends.values()
        await ghost.says(b"anybody there?")
        await ghost.hears_nothing()
        await exchange(*await scene.pair())


async def test_refused_connections_are_refused_by_the_kernel_and_old_ones_live_on() -> None:
    async with proxied() as scene:
        client, server = await scene.pair()
        scene.proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await scene.client()
        await exchange(client, server)
        scene.proxy.heal()
        await exchange(*await scene.pair())


async def test_while_the_target_refuses_so_does_the_proxy() -> None:
    async with proxied() as scene:
        port = scene.proxy.target[1]
        client, server = await scene.pair()
        await exchange(client, server)
        nobody = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        scene.proxy.target = "127.0.0.1", nobody.sockets[0].getsockname()[1]
        nobody.close()
        await nobody.wait_closed()
        await (await scene.client()).is_reset()
        with pytest.raises(ConnectionRefusedError):
            await scene.client()
        scene.proxy.target = "127.0.0.1", port

        clients: list[Connection] = []

        async def accepts() -> bool:
            with suppress(ConnectionRefusedError):
                clients.append(await scene.client())
            return bool(clients)

        await wait_for(accepts)
        await (await scene.accepted.get()).is_told_the_end()  # the proxy's own look
        await exchange(clients[0], await scene.accepted.get())
