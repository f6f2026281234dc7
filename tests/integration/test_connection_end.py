"""A connection to NATS may end at any turn of the event loop, and uvloop says so in its own way: nothing of ours ends with it."""

import asyncio
from collections.abc import Awaitable, Callable

import uvloop

from choregos_ambassador.bus import Bus
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.leases import Leases
from choregos_ambassador.metrics import Metrics
from support.nats import NatsServer


def on_uvloop(play: Callable[[Bus], Awaitable[None]]) -> None:
    """Play with a bus that is connected."""

    async def connected() -> None:
        with NatsServer() as server:
            bus = Bus(Metrics(), Credentials(None))
            await bus.connect([server.url], "test")
            await play(bus)

    uvloop.run(connected())


async def cut(bus: Bus) -> None:
    """End the connection, as one that is reset by its peer ends: the client has not heard of it at the next turn."""
    bus.client._transport.reset()  # type: ignore[union-attr]
    await asyncio.sleep(0)


def test_who_keeps_leases_keeps_them_when_the_connection_ends_as_he_reads_what_came_in_a_pause() -> None:
    async def play(bus: Bus) -> None:
        leases = Leases(bus)
        await leases.start()
        await cut(bus)
        assert not await leases._caught_up()
        await bus.connected.wait()
        await leases.close()
        await bus.close()

    on_uvloop(play)


def test_a_connection_that_ends_with_something_left_to_say_is_closed_all_the_same() -> None:
    async def play(bus: Bus) -> None:
        await bus.client.publish("to.nobody")
        await cut(bus)
        await bus.client.publish("to.nobody")
        await bus.close()
        assert bus.client.is_closed

    on_uvloop(play)
