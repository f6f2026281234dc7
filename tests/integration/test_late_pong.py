"""A ping that was given up, and is answered after all: the connection goes on as if nothing had happened."""

import pytest
from nats.errors import FlushTimeoutError

from choregos_ambassador.credentials import Credentials
from choregos_ambassador.nats_client import PermanentClient
from support.nats import NatsServer
from support.tcp_proxy import TcpProxy


async def test_a_pong_that_comes_too_late_leaves_the_connection_able_to_hear() -> None:
    with NatsServer() as server:
        async with TcpProxy("127.0.0.1", server.port) as proxy:
            client = PermanentClient(Credentials(None))
            await client.connect(f"nats://127.0.0.1:{proxy.port}", ping_interval=60)
            try:
                proxy.black_hole()
                with pytest.raises(FlushTimeoutError):
                    await client.flush(1)
                proxy.heal()
                await client.flush(5)
                heard = await client.subscribe("heard")
                await client.publish("heard", b"loud and clear")
                assert (await heard.next_msg(timeout=5)).data == b"loud and clear"
                assert client.stats["reconnects"] == 0
            finally:
                await client.close()
