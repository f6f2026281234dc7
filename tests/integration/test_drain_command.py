"""`choregos-ambassador drain`, which a pod's `preStop` hook runs: it waits for the drain, and says why it could not."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from choregos_ambassador.drain import DrainError, drain
from choregos_ambassador.probes import BEGUN_WITHIN
from support.scene import scene
from support.service import Call

SCRIPT = Path(sys.executable).parent / "choregos-ambassador"
"""The installed command, as the hook calls it."""
PATIENCE = 20.0


async def started(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHOREGOS_")}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(SCRIPT, *arguments, env=kept | environment, stdout=pipe, stderr=pipe)


async def run(*arguments: str, **environment: str) -> tuple[int | None, str, str]:
    """Exit code, output and complaint of a command that ends by itself."""
    process = await started(*arguments, **environment)
    async with asyncio.timeout(PATIENCE):
        output, complaint = await process.communicate()
    return process.returncode, output.decode(), complaint.decode()


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """A port whose owner answers every request with these bytes, and hangs up."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as server:
        yield str(server.sockets[0].getsockname()[1])


async def test_it_ends_when_the_ambassador_has_nothing_in_hand_and_no_sooner() -> None:
    async with scene() as shop:
        door = asyncio.Event()

        async def behind_the_door(_: Call) -> web.Response:
            await door.wait()
            return web.Response(body=b"{}", content_type="application/json")

        shop.service.handler = behind_the_door
        async with shop.ambassador() as ambassador:
            await shop.publish(1)
            await shop.service.until_calls(1)
            port = str(urlsplit(ambassador.publish_url).port)
            drain = await started("drain", CHOREGOS_PUBLISH_PORT=port)
            await ambassador.logged("draining")
            assert drain.returncode is None
            door.set()
            async with asyncio.timeout(PATIENCE):
                assert await drain.communicate() == (b"", b"")
            assert drain.returncode == 0
            assert await shop.causes() == ["e0"], "what was in hand was finished"
            assert await run("drain", CHOREGOS_PUBLISH_PORT=port) == (0, "", ""), "a second time changes nothing"


async def test_the_service_may_end_when_the_ambassador_has_nothing_in_hand_and_no_sooner() -> None:
    """What the `preStop` hook of the service's own container waits for; it does not start the drain."""
    async with scene() as shop:
        door = asyncio.Event()

        async def behind_the_door(_: Call) -> web.Response:
            await door.wait()
            return web.Response(body=b"{}", content_type="application/json")

        shop.service.handler = behind_the_door
        async with shop.ambassador() as ambassador, aiohttp.ClientSession() as session:

            async def drained() -> int:
                async with session.get(f"{ambassador.probes_url}/drained") as answer:
                    return answer.status

            early = asyncio.create_task(drained())
            await shop.publish(1)
            await shop.service.until_calls(1)
            assert "draining" not in [line["message"] for line in ambassador.lines]
            drain = await started("drain", CHOREGOS_PUBLISH_PORT=str(urlsplit(ambassador.publish_url).port))
            await ambassador.logged("draining")
            late = asyncio.create_task(drained())
            assert not early.done()
            door.set()
            async with asyncio.timeout(PATIENCE):
                assert [await early, await late] == [200, 200]
                await drain.communicate()


async def test_a_service_whose_ambassador_nobody_drains_may_end_too() -> None:
    async with scene() as shop, shop.ambassador() as ambassador, aiohttp.ClientSession() as session:
        async with (
            asyncio.timeout(BEGUN_WITHIN + PATIENCE),
            session.get(f"{ambassador.probes_url}/drained") as answer,
        ):
            assert answer.status == 503
        assert "draining" not in [line["message"] for line in ambassador.lines]


async def test_without_an_ambassador_it_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    code, output, complaint = await run("drain", CHOREGOS_PUBLISH_PORT=port)
    assert (code, output) == (1, "")
    assert complaint.startswith(f"error: no ambassador answers on 127.0.0.1:{port}: Connection refused; ")
    assert "Traceback" not in complaint


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "'HTTP/1.1 404 Not Found'"),
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", "'HTTP/1.1 500 Internal Server Error'"),
        (b"\xff\x00", "'\ufffd\\x00'"),
        (b"", "without an answer"),
    ],
)
async def test_another_answer_is_no_drain(answer: bytes, told: str) -> None:
    async with answering(answer) as port:
        code, _, complaint = await run("drain", CHOREGOS_PUBLISH_PORT=port)
    assert code == 1
    assert f"ended the drain with {told}; its log says why" in complaint


@pytest.mark.parametrize("port", ["0", "65536", "http", "", "-1"])
async def test_a_port_that_is_none_is_refused(port: str) -> None:
    code, _, complaint = await run("drain", CHOREGOS_PUBLISH_PORT=port)
    assert code == 1
    assert complaint.startswith(f"error: CHOREGOS_PUBLISH_PORT is {port!r}; ")


def test_without_a_port_it_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked: somebody's real ambassador may listen there."""

    def refuse(address: tuple[str, int], _: float) -> socket.socket:
        raise ConnectionRefusedError(f"{address}")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(DrainError, match=r"\('127.0.0.1', 9480\)"):
        drain({})


async def test_the_version_and_the_usage() -> None:
    assert await run("--version") == (0, f"choregos-ambassador {version('choregos')}\n", "")
    code, output, _ = await run("--help")
    assert (code, output.splitlines()[0].split()[:2]) == (0, ["usage:", "choregos-ambassador"])
    code, _, complaint = await run("drian", "now")
    assert code == 2
    assert complaint.startswith("error: there is no command 'drian now'\nusage: choregos-ambassador")


def test_it_imports_nothing_that_only_an_ambassador_needs() -> None:
    """It runs in every pod's last moments, on whatever CPU is left: the standard library's sockets, and no more."""
    code = "import sys; from choregos_ambassador import main, drain; print(*sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    heavy = {"aiohttp", "asyncio", "http", "msgspec", "nats", "prometheus_client", "ssl", "structlog", "uvloop"}
    assert "choregos_ambassador.drain" in modules
    assert heavy & set(modules) == set()
