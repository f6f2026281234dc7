"""Credentials are rotated while events flow: the connection is taken up with the new ones, and each event is done once."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from choregos_ambassador.nats_client import LONGEST_PAUSE
from support.ambassador import Ambassador
from support.certificates import Authority
from support.nats import NatsServer
from support.nkey_chain import Chain, user_key
from support.producer import produce
from support.scene import SERVICE, scene
from support.secret import Secret
from support.service import always
from support.waiting import wait_for

TAKEN_UP_WITHIN = LONGEST_PAUSE + 2.0
"""Seconds after both sides have the new credentials: the longest pause between two attempts, and the connection itself."""
ADMIN = "{user: admin, password: admin}"


@dataclass(frozen=True)
class Rotation:
    """Two pairs of the server's configuration and the ambassador's files; and what else each side of the test needs.

    `turn`: how the server takes the second one.
    """

    before: str
    after: str
    files: dict[str, str]
    successors: dict[str, str]
    admin: dict[str, Any] = field(default_factory=lambda: {"user": "admin", "password": "admin"})
    turn: Callable[[NatsServer, str], None] = NatsServer.reload


def of_a_password(_: Path) -> Rotation:
    def config(word: str) -> str:
        return f"authorization {{ users: [{ADMIN}, {{user: ambassador, password: {word}}}] }}"

    def files(word: str) -> dict[str, str]:
        return {"username": "ambassador", "password": word}

    return Rotation(config("first"), config("second"), files("first"), files("second"))


def of_a_jwt(directory: Path) -> Rotation:
    """The user of the first one is revoked."""
    chain, first, second = Chain(), user_key(), user_key()
    admin = directory / "admin.creds"
    admin.write_text(chain.creds(user_key()))
    return Rotation(
        chain.config(),
        chain.config(revoked=first.public),
        {"nats.creds": chain.creds(first)},
        {"nats.creds": chain.creds(second)},
        {"user_credentials": str(admin)},
    )


def of_a_client_certificate(directory: Path) -> Rotation:
    """Another authority signs it; servers take another one for the connections that they accept from then on."""
    old, new = (_authority(directory, name) for name in ("old", "new"))
    server = old.issue("server")

    def config(*trusted: Authority) -> str:
        bundle = directory / f"{len(trusted)}-{trusted[-1].certificate.stem}.crt"
        bundle.write_text("".join(each.certificate.read_text() for each in trusted))
        return f"""
            tls {{ cert_file: '{server.certificate}', key_file: '{server.key}', ca_file: '{bundle}', verify: true }}
            """

    def files(authority: Authority) -> dict[str, str]:
        pair = authority.issue("client")
        certificate, key = pair.certificate.read_text(), pair.key.read_text()
        return {"ca.crt": old.certificate.read_text(), "tls.crt": certificate, "tls.key": key}

    context = ssl.create_default_context(cafile=old.certificate)
    admin = new.issue("admin")
    context.load_cert_chain(admin.certificate, admin.key)
    return Rotation(config(old, new), config(new), files(old), files(new), {"tls": context}, _restart)


def _authority(directory: Path, name: str) -> Authority:
    (directory / name).mkdir()
    return Authority(directory / name, name)


def _restart(server: NatsServer, config: str) -> None:
    server.stop()
    server.configure(config)
    server.start()


ROTATIONS = {"password": of_a_password, "JWT": of_a_jwt, "client certificate": of_a_client_certificate}
EACH = pytest.mark.parametrize("rotation", ROTATIONS.values(), ids=ROTATIONS.keys())


@EACH
@pytest.mark.parametrize("files_first", [True, False], ids=["files first", "server first"])
async def test_credentials_are_rotated_under_load(
    rotation: Callable[[Path], Rotation], files_first: bool, tmp_path: Path
) -> None:
    rotated = rotation(tmp_path)
    secret = Secret(tmp_path / "secret")
    secret.hold(rotated.files)
    async with scene(config=rotated.before, credentials=rotated.admin) as shop:
        shop.service.handler = always(200, b"{}", content_type="application/json")
        await shop.bus.shorten_ack_wait(SERVICE, "Placed", 1)
        async with shop.ambassador(CHOREGOS_NATS_CREDENTIALS=str(secret)) as ambassador:
            ended = asyncio.Event()
            producer = asyncio.create_task(produce(shop.bus, ended))
            await shop.service.until_calls(50)
            if files_first:
                secret.hold(rotated.successors)
                await asyncio.to_thread(rotated.turn, shop.server, rotated.after)
            else:
                await asyncio.to_thread(rotated.turn, shop.server, rotated.after)
                await _refused(ambassador)
                secret.hold(rotated.successors)
            await ambassador.until(lambda: _times(ambassador, "connected") == 2, TAKEN_UP_WITHIN)
            before = len(shop.service.calls)
            await shop.service.until_calls(before + 50)
            ended.set()
            produced = await producer
            await shop.settled()
        assert await shop.causes() == produced
        assert not await shop.bus.dead_letters()


async def _refused(ambassador: Ambassador) -> None:
    """Wait until a server that is there has refused what was right before."""
    said = ("authorization violation", "unknown ca")
    await wait_for(
        lambda: any(
            word in line["error"].lower() for line in ambassador.lines if line["message"] == "nats" for word in said
        ),
        "the first credentials are refused",
    )


def _times(ambassador: Ambassador, message: str) -> int:
    return len([line for line in ambassador.lines if line["message"] == message])
