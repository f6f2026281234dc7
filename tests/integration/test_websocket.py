"""NATS over WebSocket, where a proxy lets nothing else through: events, replies, acknowledgements, and a server that comes back."""

from dataclasses import replace

from support.ports import free_port
from support.scene import scene
from support.service import always


async def test_events_are_carried_over_websocket_also_after_the_server_was_away() -> None:
    port = free_port()
    async with scene(config=f"websocket {{host: 127.0.0.1, port: {port}, no_tls: true}}") as shop:
        shop.service.handler = always(200, b"{}", Content_Type="application/json")
        through = replace(shop, nats_url=f"ws://127.0.0.1:{port}")
        async with through.ambassador() as ambassador:
            first = await shop.publish(20)
            await shop.settled()
            assert await shop.causes() == sorted(first)
            shop.server.restart()
            await ambassador.logged("disconnected")
            second = await shop.publish(20, prefix="f")
            await shop.settled()
            assert await shop.causes() == sorted(first + second)
            assert sorted(shop.called()) == sorted(first + second), "none came twice: acknowledgements arrive, too"
