"""What an ambassador does not carry: it stands beside every pod, and what only a rare path needs is paid for in each of them."""

import signal
import ssl
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from choregos_contract.configuration import Configuration
from support.ambassador import Ambassador
from support.certificates import Authority
from support.scene import scene

NOT_CARRIED: Final = {
    # logs that people read, for a process whose lines machines read
    "colorama", "orjson", "pygments", "rich", "structlog",
    # the configuration comes as JSON, and is checked by msgspec
    "choregos_contract.document", "choregos_contract.resources", "pydantic", "pydantic_core", "yaml",
    # what wires the bus, or draws it, and does not carry events
    "choregos_cli", "choregos_contract.diagrams", "choregos_contract.graph", "choregos_contract.plan",
    "choregos_contract.wiring", "choregos_operator", "cryptography", "kopf", "kubernetes", "typer",
    # signatures of nkeys, where there are none
    "_cffi_backend", "cffi", "nacl", "nkeys",
    # other processes, and their pools
    "concurrent.futures.process", "ctypes", "multiprocessing", "sqlite3", "unittest", "xml",
}  # fmt: skip
REACTION: Final = {"event": "Placed"}
TELLING: Final = """
import atexit, gc, json, ssl, sys

def tell():
    gc.unfreeze()
    contexts = [each for each in gc.get_objects() if isinstance(each, ssl.SSLContext)]
    authorities = [each.cert_store_stats()["x509"] for each in contexts]
    print(json.dumps({"message": "carried", "modules": sorted(sys.modules), "authorities": authorities}))

atexit.register(tell)
from choregos_ambassador.main import run
run([])
"""


class Telling(Ambassador):
    """An ambassador that tells at its end what it has carried."""

    def __init__(self, nats_url: str, configuration: Configuration, **environment: str) -> None:
        super().__init__(nats_url, configuration, **environment)
        self._command = (sys.executable, "-c", TELLING)

    async def carried(self) -> dict[str, Any]:
        self.signal(signal.SIGTERM)
        return await self.logged("carried")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_it_carries_nothing_that_a_hop_does_not_need(authority: Authority) -> None:
    async with scene(REACTION) as stage:
        trusted = str(authority.certificate)
        async with Telling(stage.nats_url, stage.configuration, SSL_CERT_FILE=trusted) as ambassador:
            await stage.publish(1)
            await ambassador.logged("hop", verdict="done")
            carried = await ambassador.carried()
    assert NOT_CARRIED & set(carried["modules"]) == set()
    # aiohttp's, for a client that nobody has.
    assert carried["authorities"], carried
    assert not any(carried["authorities"])


async def test_nats_is_checked_against_the_authorities_of_the_system(authority: Authority) -> None:
    server = authority.issue("server")
    config = f"tls {{ cert_file: '{server.certificate}', key_file: '{server.key}' }}"
    admin = {"tls": ssl.create_default_context(cafile=authority.certificate)}
    async with (
        scene(REACTION, config=config, credentials=admin) as stage,
        stage.ambassador(SSL_CERT_FILE=str(authority.certificate)) as ambassador,
    ):
        await stage.publish(1)
        await ambassador.logged("hop", verdict="done")
