"""Every way to authenticate to NATS, over the real process; wrong, expired and rotated, and never a restart."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from choregos_contract.configure import configurations
from support.ambassador import Ambassador
from support.certificates import Authority
from support.nkey_chain import Chain, Key, user_key
from support.scene import SERVICE, Scene, scene, worker
from support.secret import Secret
from support.service import always

LONG_ENOUGH = 8.0
"""Seconds that credentials are valid which are to expire in use: on a busy machine an ambassador takes some to start."""
ADMIN = "{user: admin, password: admin}"


@dataclass(frozen=True)
class Way:
    """One way to authenticate: the server's configuration, the test's own credentials, and the ambassador's files."""

    config: str
    files: dict[str, str]
    admin: dict[str, Any] = field(default_factory=lambda: {"user": "admin", "password": "admin"})
    variables: dict[str, Any] = field(default_factory=dict)
    """Environment variables of the ambassador."""


def users(user: str) -> str:
    return f"authorization {{ users: [{ADMIN}, {user}] }}"


def password(word: str = "first") -> Way:
    config = users(f"{{user: ambassador, password: {word}}}")
    return Way(config, {"username": "ambassador\n", "password": f"{word}\n"})


def token(word: str = "first") -> Way:
    return Way(f"authorization {{ token: {word} }}", {"token": word}, {"token": word})


def nkey(key: Key | None = None) -> Way:
    key = key or user_key()
    return Way(users(f"{{nkey: {key.public}}}"), {"nkey": key.seed})


def creds(directory: Path, chain: Chain, user: Key, valid_for: float | None = None) -> Way:
    admin = directory / "admin.creds"
    admin.write_text(chain.creds(user_key()))
    return Way(chain.config(), {"nats.creds": chain.creds(user, valid_for=valid_for)}, {"user_credentials": str(admin)})


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def tls(authority: Authority, *, verify: bool = False) -> Way:
    """TLS with a private authority; with `verify`, the client shows a certificate, too."""
    server = authority.issue("server")
    config = f"cert_file: '{server.certificate}', key_file: '{server.key}'"
    files = {"ca.crt": authority.certificate.read_text()}
    if verify:
        config += f", ca_file: '{authority.certificate}', verify: true"
        files |= pair(authority, "client")
    return Way(f"tls {{ {config} }}", files, {"tls": admin_context(authority)})


def handshake_first(authority: Authority) -> Way:
    """The servers greet nobody before the TLS handshake."""
    way = tls(authority)
    config, admin = way.config.replace("tls {", "tls { handshake_first: true,"), {"tls_handshake_first": True}
    return Way(config, way.files, {**way.admin, **admin}, {"CHOREGOS_NATS_TLS_HANDSHAKE_FIRST": "true"})


def other_name(authority: Authority, told: str = "nats.example") -> Way:
    """The servers' certificate is for a name that is not in their URL."""
    server = authority.issue("named", "DNS:nats.example")
    config = f"tls {{ cert_file: '{server.certificate}', key_file: '{server.key}' }}"
    files, admin = {"ca.crt": authority.certificate.read_text()}, {"tls_hostname": "nats.example"}
    return Way(config, files, {"tls": admin_context(authority), **admin}, {"CHOREGOS_NATS_TLS_SERVER_NAME": told})


def pair(authority: Authority, name: str) -> dict[str, str]:
    client = authority.issue(name)
    return {"tls.crt": client.certificate.read_text(), "tls.key": client.key.read_text()}


def admin_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    admin = authority.issue("admin")
    context.load_cert_chain(admin.certificate, admin.key)
    return context


@asynccontextmanager
async def standing(way: Way, directory: Path, files: dict[str, str] | None = None) -> AsyncIterator["Stand"]:
    """Start everything; the ambassador has the way's files, or others."""
    secret = Secret(directory / "secret")
    secret.hold(way.files if files is None else files)
    async with scene(config=way.config, credentials=way.admin) as shop:
        shop.service.handler = always(200, b"{}", content_type="application/json")
        async with shop.ambassador(CHOREGOS_NATS_CREDENTIALS=str(secret), **way.variables) as ambassador:
            yield Stand(shop, ambassador, secret)


@dataclass
class Stand:
    shop: Scene
    ambassador: Ambassador
    secret: Secret
    _published: int = 0

    async def flows(self) -> None:
        """An event makes its hop."""
        self._published += 1
        (event,) = await self.shop.publish(1, prefix=f"{self._published}-")

        async def has_its_reply() -> bool:
            return event in await self.shop.causes()

        await self.shop.bus.until(has_its_reply)

    def errors(self) -> list[str]:
        return [line["error"] for line in self.ambassador.lines if line["message"] == "nats"]

    async def told(self, *words: str) -> str:
        """Wait for an error that holds these words."""

        def found() -> list[str]:
            return [error for error in self.errors() if all(word.lower() in error.lower() for word in words)]

        await self.ambassador.until(lambda: bool(found()))
        return found()[0]

    async def refused(self, times: int) -> bool:
        """Whether the server has refused so many connections."""
        return self.shop.server.log.count("authentication error") >= times

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.ambassador.pid}/fd").iterdir()))

    def times(self, message: str) -> int:
        return len([line for line in self.ambassador.lines if line["message"] == message])


WAYS: dict[str, Callable[[Path, Authority], Way]] = {
    "user and password": lambda _, __: password(),
    "token": lambda _, __: token(),
    "nkey": lambda _, __: nkey(),
    "creds": lambda directory, _: creds(directory, Chain(), user_key()),
    "TLS": lambda _, authority: tls(authority),
    "mutual TLS": lambda _, authority: tls(authority, verify=True),
    "TLS before the greeting": lambda _, authority: handshake_first(authority),
    "a certificate for another name": lambda _, authority: other_name(authority),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
async def test_with_the_right_files_events_flow(
    way: Callable[[Path, Authority], Way], tmp_path: Path, authority: Authority
) -> None:
    async with standing(way(tmp_path, authority), tmp_path) as stand:
        await stand.flows()
        assert stand.errors() == []


def without_client_pair(authority: Authority) -> dict[str, str]:
    return {"ca.crt": authority.certificate.read_text()}


def other(directory: Path) -> Authority:
    (directory / "other").mkdir()
    return Authority(directory / "other", "other")


def locked_key(directory: Path, authority: Authority) -> str:
    """The client's key, encrypted with a password."""
    locked = directory / "locked.key"
    key = authority.issue("client").key
    command = ["openssl", "pkey", "-in", str(key), "-aes256", "-passout", "pass:x", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    return locked.read_text()


Files = Callable[[Path, Authority], dict[str, str]]
UNUSABLE: dict[str, tuple[str, Files, tuple[str, ...]]] = {
    "none": ("user and password", lambda *_: {}, ("authorization violation",)),
    "wrong": ("user and password", lambda *_: password("wrong").files, ("authorization violation",)),
    "half": ("user and password", lambda *_: {"username": "u"}, ("/password cannot be used",)),
    "two ways": ("token", lambda *_: token().files | {"nkey": "S"}, ("more than one way", "nkey, or token")),
    "empty": ("token", lambda *_: {"token": "\n"}, ("/token is empty",)),
    "not text": ("token", lambda *_: {"token": "\udcff"}, ("/token cannot be used", "decode")),
    "no seed": ("nkey", lambda *_: {"nkey": "SUAOOPS"}, ("/nkey holds no usable seed",)),
    "no seed in creds": ("creds", lambda *_: {"nats.creds": "secret?"}, ("/nats.creds holds no user JWT",)),
    "no certificate": ("TLS", lambda *_: {"ca.crt": "oops"}, ("/ca.crt cannot be used",)),
    "foreign authority": (
        "TLS",
        lambda directory, _: {"ca.crt": other(directory).certificate.read_text()},
        ("CERTIFICATE_VERIFY_FAILED",),
    ),
    "no key": (
        "mutual TLS",
        lambda _, authority: {"ca.crt": authority.certificate.read_text(), "tls.crt": "x"},
        ("/tls.crt and ", "/tls.key cannot be used"),
    ),
    "locked key": (
        "mutual TLS",
        lambda directory, authority: pair(authority, "client") | {"tls.key": locked_key(directory, authority)},
        ("/tls.key cannot be used",),
    ),
    "no certificate of ours": ("mutual TLS", lambda _, authority: without_client_pair(authority), ("certificate",)),
}


@pytest.mark.parametrize(("way", "files", "words"), UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_files_that_cannot_be_used_are_named_and_mended_in_place(
    way: str, files: Files, words: tuple[str, ...], tmp_path: Path, authority: Authority
) -> None:
    right = WAYS[way](tmp_path, authority)
    async with standing(right, tmp_path, files(tmp_path, authority)) as stand:
        await stand.told(*words)
        assert stand.times("connected") == 0
        assert not any(secret in stand.ambassador.output.decode() for secret in ("first", "wrong", "secret?"))
        stand.secret.hold(right.files)
        await stand.flows()
        assert stand.times("connected") == 1


async def test_a_certificate_for_another_name_than_the_one_that_is_told_is_refused(
    tmp_path: Path, authority: Authority
) -> None:
    async with standing(other_name(authority, told="other.example"), tmp_path) as stand:
        await stand.told("Hostname mismatch", "other.example")
        assert stand.times("connected") == 0


async def test_a_server_without_tls_gets_no_credentials(tmp_path: Path, authority: Authority) -> None:
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"headers":true}\r\n')
        while chunk := await reader.read(1 << 16):
            heard.extend(chunk)
        writer.close()

    secret = Secret(tmp_path / "secret")
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        for url, files in (
            (f"nats://127.0.0.1:{port}", without_client_pair(authority)),
            (f"tls://127.0.0.1:{port}", {}),
        ):
            secret.hold(password().files | files)
            async with Ambassador(
                url, configurations([worker()], None, generation=1)[SERVICE], CHOREGOS_NATS_CREDENTIALS=str(secret)
            ) as ambassador:
                told = await ambassador.logged("nats")
                assert told["error"] == "TLS is asked for, and the server does not require it: no credentials are sent"
    assert bytes(heard) == b""


# -- what was right, and is so no longer


async def test_a_password_is_rotated_in_place(tmp_path: Path) -> None:
    """First in the Secret, as one should; the server cuts the connection, and the next one has the new password."""
    async with standing(password("first"), tmp_path) as stand:
        await stand.flows()
        stand.secret.hold(password("second").files)
        stand.shop.server.reload(password("second").config)
        await stand.ambassador.logged("disconnected")
        await stand.flows()


async def test_a_server_that_changes_its_password_first_is_tried_until_the_files_follow(tmp_path: Path) -> None:
    async with standing(password("first"), tmp_path) as stand:
        await stand.flows()
        sockets = stand.open_files()
        stand.shop.server.reload(password("second").config)
        await stand.told("authorization violation")
        await stand.shop.bus.until(stand.refused, 4)
        assert stand.open_files() <= sockets + 1, "no attempt leaves a socket behind"
        stand.secret.hold(password("second").files)
        await stand.flows()
        assert stand.times("connected") == 2


async def test_credentials_that_expire_are_told_and_replaced_in_place(tmp_path: Path) -> None:
    chain, user = Chain(), user_key()
    async with standing(creds(tmp_path, chain, user, valid_for=LONG_ENOUGH), tmp_path) as stand:
        await stand.ambassador.logged("connected")
        await stand.told("authentication expired")
        await stand.told("authorization violation")
        stand.secret.hold(creds(tmp_path, chain, user).files)
        await stand.flows()


async def test_a_revoked_user_is_replaced_in_place(tmp_path: Path) -> None:
    chain, user = Chain(), user_key()
    async with standing(creds(tmp_path, chain, user), tmp_path) as stand:
        await stand.flows()
        stand.shop.server.reload(chain.config(revoked=user.public))
        await stand.told("authentication revoked")
        await stand.told("authorization violation")
        stand.secret.hold(creds(tmp_path, chain, user_key()).files)
        await stand.flows()


async def test_another_authority_is_followed(tmp_path: Path, authority: Authority) -> None:
    successor = other(tmp_path)
    before, after = tls(authority, verify=True), tls(successor, verify=True)
    before.admin["tls"].load_verify_locations(successor.certificate)
    async with standing(before, tmp_path) as stand:
        await stand.flows()
        verify_neither = after.config.replace("verify: true", "verify: false")
        stand.shop.server.stop()
        stand.shop.server.configure(verify_neither)
        stand.shop.server.start()
        await stand.told("CERTIFICATE_VERIFY_FAILED")
        stand.secret.hold(after.files)
        await stand.flows()
