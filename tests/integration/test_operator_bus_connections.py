"""The operator's connections to real NATS servers: quick to say that NATS is away, back when it is, careful with credentials."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from choregos_contract.configure import bus_names, configurations
from choregos_contract.event_bus import EventBus
from choregos_contract.wiring import wanted
from choregos_operator.bus.ambassadors import ambassadors
from choregos_operator.bus.asker import Asker, Asks
from choregos_operator.bus.bring_about import bring_about
from choregos_operator.bus.connections import Connections
from choregos_operator.bus.faults import BusAway, BusFault, BusUnusable
from choregos_operator.bus.route import route
from choregos_operator.bus.state import BusState
from choregos_operator.settings import Settings
from support.ambassador import Ambassador
from support.bus import connected, wired
from support.certificates import Authority
from support.choreographies import choreography, event_bus
from support.nats import NatsServer
from support.nkey_chain import Chain, user_key
from support.scene import SERVICE, worker

NAMES = bus_names(None, "shipping")
INFO = "$JS.API.INFO"
DAY = timedelta(days=1)
PATIENCE = 30.0
"""Seconds, for what a right answer takes far less."""


def settings(url: str, credentials: Path | None = None) -> Settings:
    return Settings(nats_url=url, nats_credentials=credentials)


@asynccontextmanager
async def connections(url: str, credentials: Path | None = None) -> AsyncIterator[Connections]:
    opened = Connections(settings(url, credentials))
    try:
        yield opened
    finally:
        await opened.close()


def hold(directory: Path, **files: str) -> Path:
    directory.mkdir(exist_ok=True)
    for each in directory.iterdir():
        if each.is_file():
            each.unlink()
    for name, text in files.items():
        (directory / name.replace("_", ".")).write_text(text)
    return directory


PASSWORD = "authorization { users: [{user: operator, password: first}] }"


# -- there, away, and back


async def test_buses_with_the_same_way_share_a_connection() -> None:
    with NatsServer() as server:
        async with connections(server.url) as opened:
            askers = await asyncio.gather(*(opened.asker(None) for _ in range(5)))
            assert len(set(map(id, askers))) == 1
            assert b'"api_level"' in await askers[0].ask(INFO) or b'"memory"' in await askers[0].ask(INFO)
            other = await opened.asker(event_bus(servers=[server.url.replace("127.0.0.1", "localhost")]))
            assert other is not askers[0]


async def test_nats_that_is_away_is_told_at_once_and_found_when_it_is_back() -> None:
    with NatsServer() as server:
        async with connections(server.url) as opened:
            asker = await opened.asker(None)
            server.stop()
            with pytest.raises(BusAway):
                await asker.ask(INFO)
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(BusAway, match=r"do not answer: .*; it is tried again"):
                    await opened.asker(None)
            server.start()
            assert await (await opened.asker(None)).ask(INFO)


async def test_a_server_that_accepts_and_says_nothing_counts_as_away_within_seconds() -> None:
    attempts = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, connections(f"nats://127.0.0.1:{port}") as opened:
        async with asyncio.timeout(PATIENCE):
            outcomes = await asyncio.gather(*(opened.asker(None) for _ in range(20)), return_exceptions=True)
        assert all(isinstance(outcome, BusAway) for outcome in outcomes)
        assert attempts == 1, "all wait for one attempt"


async def test_questions_under_way_end_when_the_connection_is_killed_and_the_next_goes_through() -> None:
    with NatsServer() as server:
        async with connections(server.url) as opened, connected(server.url) as admin:
            asker = await opened.asker(None)
            deaf = await admin.subscribe("deaf")
            await admin.request(INFO)  # behind the subscription, which a flush overtakes
            waiting = asyncio.create_task(asker.ask("deaf"))
            await deaf.next_msg(timeout=PATIENCE)
            server.kill()
            with pytest.raises(BusAway, match="cut before the answer"):
                await waiting
            server.start()
            assert await (await opened.asker(None)).ask(INFO)


class Killing:
    """A connection whose server is killed right before a request."""

    def __init__(self, asker: Asker, server: NatsServer, after: int) -> None:
        self._asker, self._server, self._left = asker, server, after

    @property
    def server_version(self) -> str:
        return self._asker.server_version

    async def ask(self, subject: str, payload: bytes = b"") -> bytes:
        if self._left == 0:
            self._server.kill()
        self._left -= 1
        return await self._asker.ask(subject, payload)

    async def gather(self, subject: str, *, max_age: float = 0.0) -> tuple[bytes, ...]:
        return await self._asker.gather(subject, max_age=max_age)


@pytest.mark.parametrize("after", [0, 5, 20, 50])
async def test_a_pass_that_nats_leaves_is_away_and_the_next_one_finishes(after: int) -> None:
    shop = choreography({f"s{each}": {"reactions": [{"event": "A"}]} for each in range(60)}, uid="uid-1")
    with NatsServer() as server:
        async with connections(server.url) as opened:

            async def a_pass(asker: Asks) -> BusState:
                return await bring_about(
                    asker,
                    wanted([shop], None, "shipping"),
                    names=NAMES,
                    frozen=frozenset(),
                    now=datetime.now(UTC),
                    orphan_ttl=DAY,
                )

            async with asyncio.timeout(PATIENCE):
                with pytest.raises(BusAway):
                    await a_pass(Killing(await opened.asker(None), server, after))
            server.start()
            assert (await a_pass(await opened.asker(None))).refusals == ()
            again = await a_pass(await opened.asker(None))
            assert (again.created, again.updated, len(again.pending)) == ((), (), 60)


async def test_a_pass_can_be_cancelled_at_any_moment() -> None:
    shop = choreography({f"s{each}": {"reactions": [{"event": "A"}]} for each in range(20)}, uid="uid-1")
    with NatsServer() as server:
        async with connections(server.url) as opened:
            asker = await opened.asker(None)
            for turns in range(0, 60, 3):
                running = asyncio.create_task(
                    bring_about(
                        asker,
                        wanted([shop], None, "shipping"),
                        names=NAMES,
                        frozen=frozenset(),
                        now=datetime.now(UTC),
                        orphan_ttl=DAY,
                    )
                )
                for _ in range(turns):
                    await asyncio.sleep(0)
                running.cancel()
                done, _ = await asyncio.wait([running], timeout=PATIENCE)
                assert done
                assert running.cancelled()
            assert await asker.ask(INFO)


async def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("choregos_operator.bus.connections.IDLE_FOR", -1.0)
    with NatsServer() as server:
        async with connections(server.url) as opened:
            first = await opened.asker(None)
            assert await opened.asker(None) is not first
            assert not first.connected


# -- what somebody has to mend


async def test_an_account_without_jetstream_says_so(tmp_path: Path) -> None:
    config = """accounts { plain { users = [{user: u, password: p}] }
                           js { jetstream: enabled, users = [{user: j, password: p}] } }"""
    with NatsServer(config) as server:
        async with connections(server.url, hold(tmp_path / "c", username="u", password="p")) as opened:
            with pytest.raises(BusUnusable, match="enable it for the account") as fault:
                await a_look(opened)
    assert fault.value.reason == "JetStreamNotEnabled"


async def test_a_server_without_jetstream_says_so() -> None:
    with NatsServer(jetstream=False) as server:
        async with connections(server.url) as opened:
            with pytest.raises(BusUnusable, match="start the NATS servers with JetStream") as fault:
                await a_look(opened)
    assert fault.value.reason == "JetStreamNotEnabled"


@pytest.mark.parametrize(
    ("permissions", "said"),
    [
        ("publish: {deny: '$JS.API.STREAM.INFO.>'}", "allow the operator's user to publish to "),
        ("subscribe: {deny: '_INBOX.>'}", "allow the operator's user to subscribe to _inbox"),
    ],
)
async def test_a_permission_that_is_missing_is_told_at_once(tmp_path: Path, permissions: str, said: str) -> None:
    config = f"authorization {{ users: [{{user: u, password: p, permissions: {{ {permissions} }} }}] }}"
    with NatsServer(config) as server:
        async with connections(server.url, hold(tmp_path / "c", username="u", password="p")) as opened:
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(BusUnusable, match=said) as fault:
                    await a_look(opened)
    assert fault.value.reason == "PermissionMissing"


async def a_look(opened: Connections) -> None:
    await bring_about(
        await opened.asker(None),
        wanted([], None, "shipping"),
        names=NAMES,
        frozen=frozenset(),
        now=datetime.now(UTC),
        orphan_ttl=DAY,
    )


# -- credentials


@pytest.mark.parametrize("way", ["password", "token", "nkey", "creds"])
async def test_every_way_to_authenticate_is_known(tmp_path: Path, way: str) -> None:
    key, chain = user_key(), Chain()
    config, files = {
        "password": (PASSWORD, {"username": "operator\n", "password": "first\n"}),
        "token": ("authorization { token: secret }", {"token": "secret"}),
        "nkey": (f"authorization {{ users: [{{nkey: {key.public}}}] }}", {"nkey": key.seed}),
        "creds": (chain.config(), {"nats_creds": chain.creds(key)}),
    }[way]
    with NatsServer(config) as server:
        async with connections(server.url, hold(tmp_path / "c", **files)) as opened:
            assert await (await opened.asker(None)).ask(INFO)


async def test_a_password_is_rotated_in_place(tmp_path: Path) -> None:
    directory = hold(tmp_path / "c", username="operator", password="wrong")
    with NatsServer(PASSWORD) as server:
        async with connections(server.url, directory) as opened:
            with pytest.raises(BusUnusable, match=r"Authorization Violation.*put the credentials") as fault:
                await opened.asker(None)
            assert fault.value.reason == "NotAuthorized"
            hold(directory, username="operator", password="first")
            asker = await opened.asker(None)
            assert await asker.ask(INFO)
            hold(directory, username="operator", password="second")
            server.reload(PASSWORD.replace("first", "second"))
            with pytest.raises(BusFault):
                await until_refused(asker)
            assert await (await opened.asker(None)).ask(INFO)


async def until_refused(asker: Asker) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        await asker.ask(INFO)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"token": "t", "nkey": "SU"}, "more than one way to authenticate: nkey, or token"),
        ({"username": "u"}, "/password cannot be used"),
        ({"token": "\n"}, "/token is empty"),
        ({"ca_crt": "oops"}, "certificates in .* cannot be used"),
        ({"nkey": "SUAOOPS"}, "/nkey holds no usable seed"),
        ({"nats_creds": "oops"}, "/nats.creds holds no user JWT with its seed"),
        ({"nats_creds": "BEGIN NATS USER JWT\nx\nBEGIN USER NKEY SEED\nx"}, "/nats.creds holds no usable seed"),
    ],
)
async def test_files_that_cannot_be_used_are_told(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with NatsServer("authorization { token: secret }") as server:
        async with connections(server.url, hold(tmp_path / "c", **files)) as opened:
            with pytest.raises(BusUnusable, match=said) as fault:
                await opened.asker(None)
    assert fault.value.reason == "CredentialsUnusable"


async def test_the_operators_credentials_go_to_its_own_servers_only(tmp_path: Path) -> None:
    directory = hold(tmp_path / "c", username="operator", password="first")
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"headers":true,"auth_required":true}\r\n'
        )
        while chunk := await reader.read(1 << 16):
            heard.extend(chunk)
            writer.write(b"PONG\r\n")
        writer.close()

    listening = await asyncio.start_server(listen, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening, connections("nats://127.0.0.1:1", directory) as opened:
        await opened.asker(event_bus(servers=[url]))
        assert b"CONNECT" in heard
        assert b"first" not in heard
        assert b'operator"' not in heard.replace(b"choregos-operator", b"")
        (own := directory / "shipping.own").mkdir()
        hold(own, username="tenant", password="theirs")
        await opened.asker(event_bus(name="own", servers=[url]))
        assert b'"user":"tenant"' in heard.replace(b" ", b"")
        assert b"first" not in heard


async def test_a_server_without_tls_gets_no_credentials(tmp_path: Path) -> None:
    directory = hold(tmp_path / "c", username="operator", password="first")
    with NatsServer(PASSWORD) as server:
        for url, bus in ((server.url, event_bus(tls={"enabled": True})), (server.url.replace("nats:", "tls:"), None)):
            async with connections(url, directory) as opened:
                with pytest.raises(BusUnusable, match="no credentials are sent") as fault:
                    await opened.asker(bus)
                assert fault.value.reason == "TlsMissing"
        assert "operator" not in server.log


async def test_tls_with_a_private_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    config = f"tls {{ cert_file: '{pair.certificate}', key_file: '{pair.key}' }}"
    with NatsServer(config) as server:
        async with connections(server.url, directory := hold(tmp_path / "c")) as opened:
            with pytest.raises(BusUnusable, match=r"put the authority of the servers' certificate as ca\.crt") as fault:
                await opened.asker(None)
            assert fault.value.reason == "TlsFailed"
            hold(directory, ca_crt=authority.certificate.read_text())
            assert await (await opened.asker(None)).ask(INFO)


@pytest.mark.parametrize(
    ("bus", "servers", "directory", "name"),
    [
        (None, ("nats://own:4222",), "c", None),
        (event_bus(), ("nats://own:4222",), "c", None),
        (event_bus(tls={"serverName": "evil.example"}), ("nats://own:4222",), "c", None),
        (event_bus(servers=["nats://own:4222"]), ("nats://own:4222",), "c/shipping.default", None),
        (
            event_bus(servers=["tls://theirs:4222"], tls={"serverName": "x.example"}),
            ("tls://theirs:4222",),
            "c/shipping.default",
            "x.example",
        ),
    ],
)
def test_which_credentials_go_where(
    bus: EventBus | None, servers: tuple[str, ...], directory: str, name: str | None
) -> None:
    found = route(bus, settings("nats://own:4222", Path("c")))
    assert (found.servers, found.credentials, found.server_name) == (servers, Path(directory), name)


def test_a_password_in_a_url_is_told_to_nobody() -> None:
    assert str(route(None, settings("nats://u:secret@a:4222, tls://b"))) == "nats://a:4222, tls://b"


# -- who runs


async def test_the_ambassadors_of_a_bus_are_found_with_their_pods_and_generations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("choregos_operator.bus.asker.GATHER_WITHIN", 3600.0)
    with NatsServer() as server:
        async with connections(server.url) as opened, connected(server.url) as admin:
            asker = await opened.asker(None)
            async with asyncio.timeout(PATIENCE):
                assert await ambassadors(asker, NAMES) == (), "nobody is there, and the server says so"
            bus = await wired(admin, worker())
            configuration = configurations([worker()], None, generation=7)[SERVICE]
            async with (
                Ambassador(server.url, configuration, CHOREGOS_POD="worker-1") as one,
                Ambassador(server.url, configuration) as two,
            ):
                await one.logged("connected")
                await two.logged("connected")

                async def both_answer() -> bool:
                    return len(await ambassadors(asker, bus.names)) == 2

                await bus.until(both_answer)
                found = await ambassadors(asker, bus.names)
                assert [(each.service, each.pod, each.generation) for each in found] == [
                    (SERVICE, "", 7),
                    (SERVICE, "worker-1", 7),
                ]
                assert all(each.version and each.breaker for each in found)
                assert await ambassadors(asker, bus_names(None, "elsewhere"), max_age=60) == ()


async def test_many_buses_may_share_one_question() -> None:
    with NatsServer() as server:
        async with connections(server.url) as opened, connected(server.url) as admin:
            asker, asked = await opened.asker(None), 0

            async def answer(message: Msg) -> None:
                nonlocal asked
                asked += 1
                await message.respond(b'{"id":"x","metadata":{},"endpoints":[]}')
                await message.respond(b"no ambassador says this")

            await admin.subscribe("$SRV.STATS.choregos-ambassador", cb=answer)
            await admin.request(INFO)  # behind the subscription, which a flush overtakes
            await asyncio.gather(*(ambassadors(asker, NAMES, max_age=60) for _ in range(10)))
            await ambassadors(asker, NAMES, max_age=60)
            assert asked == 1
            await ambassadors(asker, NAMES)
            assert asked == 2
