"""A bus of the cluster, from wherever the CLI runs: its servers, its credentials, one connection.

Servers whose names are Services of the cluster are reached by `kubectl port-forward`, with the name in their certificate
checked as ever. The connection stays with the server that it was opened to: addresses of its neighbours, as NATS tells
them, lead nowhere from here. Everything is closed and removed on leaving.
"""

import asyncio
import base64
import os
import ssl
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from choregos_ambassador.credentials import METHODS, TLS_FILES, Credentials, CredentialsError
from choregos_ambassador.nats_client import PermanentClient
from choregos_cli.cluster import controller_settings
from choregos_cli.cluster.complaints import ForbiddenError
from choregos_cli.cluster.kinds import EVENT_BUSES, SECRETS, SERVICES
from choregos_cli.cluster.kubectl import Kubectl
from choregos_cli.cluster.port_forward import Forwards
from choregos_cli.cluster.server_address import Server, server
from choregos_cli.errors import CommandError, UnreachableError
from choregos_cli.interrupts import raise_swallowed_cancel
from choregos_contract.configure import bus_names
from choregos_contract.document import resource_of
from choregos_contract.event_bus import EventBus, Tls
from choregos_contract.names import BusNames

PATIENCE: Final = 5.0
"""Seconds to connect, and for one answer."""
FILES: Final = frozenset({*(name for method in METHODS for name in method), *TLS_FILES})
_KEPT: Final = 100
_AGAIN: Final = "run the command again"
_OWN_WAY: Final = "forward a port yourself, `kubectl port-forward`, and give --nats URL"


class JetStreamOff(UnreachableError):  # noqa: N818  named by what it means for the caller
    """The server is there, and nobody answers as JetStream."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the user said about the way to NATS; what is left out is looked up in the cluster."""

    nats: str | None = None
    """URLs, by commas: these servers are connected to as they are, for every bus."""
    credentials: Path | None = None
    """Directory with the files of `choregos_ambassador.credentials`.

    Whoever may write an EventBus may name any server: to those they go only if `nats` says so, too.
    """
    release_namespace: str | None = None
    """Of the operator, where there are several."""


@dataclass(frozen=True, slots=True)
class ClusterBus:
    """An open connection to one bus."""

    names: BusNames
    bus: EventBus | None
    """None for the default bus without an object."""
    where: str
    """The server's URL, as the cluster knows it."""
    client: "_StayingClient" = field(repr=False)
    note: str = ""
    """Why there may be too few rights, if the Secret of the bus could not be read."""

    @property
    def server_version(self) -> str:
        """Version of the nats-server."""
        return str(self.client.connected_server_version)

    @property
    def server_info(self) -> Mapping[str, Any]:
        """What the server told when the connection was opened (the INFO message of the NATS protocol)."""
        return self.client._server_info

    async def ask(self, subject: str, body: bytes = b"") -> bytes:
        """Send a request and return the answer's payload, as `choregos_contract.wire` wants it; UnreachableError."""
        try:
            answer = await self.client.request(subject, body, timeout=PATIENCE)
        except NoRespondersError:
            what = f"JetStream does not answer on the NATS server {self.where}"
            raise JetStreamOff(what, "turn JetStream on, for this account too; see docs/operations") from None
        except (NatsError, OSError, TimeoutError) as error:
            raise self._unanswered(subject, error) from None
        raise_swallowed_cancel()
        return bytes(answer.data)

    def _unanswered(self, subject: str, error: Exception) -> UnreachableError:
        """Return the error: that it does not permit a request, a server tells apart from it, and answers nothing."""
        told = (each for each in self.client.told if "Violation" in each)
        if refusal := next((each for each in told if f'"{subject}"' in each or "Subscription" in each), ""):
            what = f"the NATS server {self.where} does not permit it: {refusal}"
            return UnreachableError(what, self.note or "give credentials that it permits with --nats-credentials DIR")
        what = f"the NATS server {self.where} does not answer: {str(error) or type(error).__name__}"
        return UnreachableError(what, f"its credentials may not permit it ({self.note})" if self.note else _AGAIN)


@asynccontextmanager
async def cluster_bus(
    kubectl: Kubectl, namespace: str, name: str, given: Given, forwards: Forwards | None = None
) -> AsyncIterator[ClusterBus]:
    """Open the bus `name` of a namespace; raises CommandError, and closes everything on leaving.

    `forwards` are those of whoever opens several.
    """
    bus = await event_bus(kubectl, namespace, name)
    servers = await _servers(kubectl, bus, given)
    async with AsyncExitStack() as stack:
        credentials, note = await _credentials(stack, kubectl, (namespace, name), _for(bus, given))
        tls = bus.spec.tls if bus else Tls()
        client, where = await _first(
            stack, kubectl, namespace, servers, _Wish(credentials, tls, note, forwards or Forwards(kubectl))
        )
        yield ClusterBus(bus_names(bus, namespace, name), bus, where, client, note)


async def event_bus(kubectl: Kubectl, namespace: str, name: str) -> EventBus | None:
    """Return the EventBus, or None if there is no such object; raises CommandError."""
    found = await kubectl.one(EVENT_BUSES, name, namespace=namespace)
    if found is None:
        return None
    read = resource_of(found)
    if isinstance(read, EventBus):
        return read
    what = f"the EventBus {namespace}/{name} cannot be read by this choregos"
    raise UnreachableError(what, "install the CLI of the operator's version, see `choregos check`")


@dataclass(frozen=True, slots=True)
class _Wish:
    """How each connection is to be made."""

    credentials: Credentials
    tls: Tls
    note: str
    forwards: Forwards


class _StayingClient(PermanentClient):
    """Stays with the server that it was given, and asks for TLS where the bus does."""

    def __init__(self, credentials: Credentials, *, tls: bool) -> None:
        super().__init__(credentials)
        self._tls = tls
        self.told: deque[str] = deque(maxlen=_KEPT)
        """The last errors that the server told of, apart from any answer."""

    async def note(self, error: Exception) -> None:
        """Keep an error; what ends the connection also comes back from what is asked."""
        self.told.append(str(error))

    @property
    def _wants_tls(self) -> bool:
        return self._tls or super()._wants_tls

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Leave out the neighbours. To go when nats-py has an option for it."""
        known = {key: value for key, value in info.items() if key != "connect_urls"}
        await super()._process_info(known, initial_connection)


async def _servers(kubectl: Kubectl, bus: EventBus | None, given: Given) -> tuple[Server, ...]:
    if given.nats:
        return tuple(server(url.strip()) for url in given.nats.split(",") if url.strip())
    if bus and bus.spec.servers:
        return tuple(map(server, bus.spec.servers))
    try:
        told = await controller_settings.controller(kubectl, given.release_namespace)
    except ForbiddenError as error:
        hint = f"{error.hint}; or say where NATS is, with --nats URL"
        raise ForbiddenError(f"the NATS servers are named in the controller's Deployment: {error.what}", hint) from None
    if urls := told.setting("NATS_URL"):
        return tuple(server(url.strip()) for url in urls.split(",") if url.strip())
    what = f"the Deployment {told.namespace}/{told.name} does not say itself where NATS is"
    raise UnreachableError(what, "say it with --nats URL")


def _for(bus: EventBus | None, given: Given) -> Path | None:
    """Return the user's own credentials, if they may go to the servers of this bus."""
    return given.credentials if given.nats or not (bus and bus.spec.servers) else None


async def _credentials(
    stack: AsyncExitStack, kubectl: Kubectl, scope: tuple[str, str], own: Path | None
) -> tuple[Credentials, str]:
    """Return the credentials, and why there are none if that is for a lack of rights."""
    if own:
        return Credentials(own), ""
    namespace, secret = scope[0], f"choregos-bus-{scope[1]}"
    try:
        found = await kubectl.one(SECRETS, secret, namespace=namespace)
    except ForbiddenError as error:
        return Credentials(None), f"{error.what}; give --nats-credentials DIR and --nats URL"
    if found is None:
        return Credentials(None), ""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="choregos-credentials-")))
    for file in FILES & (found.get("data") or {}).keys():
        path = directory / file
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(base64.b64decode(found["data"][file]))
    return Credentials(directory), ""


async def _first(
    stack: AsyncExitStack, kubectl: Kubectl, namespace: str, servers: tuple[Server, ...], wish: _Wish
) -> tuple[_StayingClient, str]:
    """Connect to the first server that can be reached; raises the error of the last one that cannot."""
    error: CommandError = UnreachableError("no NATS server is named", "say where it is with --nats URL")
    for each in servers:
        async with AsyncExitStack() as attempt:
            try:
                url, name = await _way(attempt, kubectl, namespace, each, wish.forwards)
                client = await _connect(url, each, wish.tls.server_name or name, wish)
            except UnreachableError as unreachable:
                error = unreachable
                continue
            attempt.push_async_callback(client.close)
            await stack.enter_async_context(attempt.pop_all())
            return client, str(each)
    raise error


async def _way(
    stack: AsyncExitStack, kubectl: Kubectl, namespace: str, to: Server, forwards: Forwards
) -> tuple[str, str | None]:
    """Return the URL to connect to, and the name to expect in the certificate if it is not the URL's."""
    service = to.service(namespace)
    inside = "KUBERNETES_SERVICE_HOST" in os.environ
    if service is None or inside or not await _exists(kubectl, *service):
        return to.url, None
    port = await stack.enter_async_context(forwards.to(*service, to.port))
    return to.through(port), to.host


async def _exists(kubectl: Kubectl, namespace: str, name: str) -> bool:
    """Whether there is such a Service; who may not see it is taken at the host's word."""
    try:
        return await kubectl.one(SERVICES, name, namespace=namespace) is not None
    except ForbiddenError:
        return True


async def _connect(url: str, to: Server, server_name: str | None, wish: _Wish) -> _StayingClient:
    client = _StayingClient(wish.credentials, tls=wish.tls.enabled)

    try:
        async with asyncio.timeout(PATIENCE):
            await client.connect(
                url,
                name="choregos",
                allow_reconnect=False,
                connect_timeout=int(PATIENCE),
                tls_hostname=server_name,
                tls_handshake_first=wish.tls.handshake_first,
                error_cb=client.note,
            )
    except (NatsError, OSError, ValueError) as error:
        # A connection that failed half-way is left open by nats-py.
        if client._transport is not None:
            client._transport.close()  # type: ignore[no-untyped-call]
            with suppress(OSError):
                await client._transport.wait_closed()  # type: ignore[no-untyped-call]
        raise _unreachable(to, error, wish) from error
    raise_swallowed_cancel()
    return client


def _unreachable(to: Server, error: Exception, wish: _Wish) -> UnreachableError:
    text = (str(error) or "no answer").removeprefix("nats: ").strip("'")
    what = f"cannot connect to NATS at {to}: {text}"
    if "authorization" in text.lower() or "authentication" in text.lower():
        hint = wish.note or "give the credentials of a user of that account with --nats-credentials DIR"
        return UnreachableError(what, hint)
    if isinstance(error, ssl.SSLError | CredentialsError):
        return UnreachableError(what, "give ca.crt, and what else it takes, with --nats-credentials DIR")
    return UnreachableError(what, _OWN_WAY)
