"""The life of the ambassador, in reading order: start, serve, drain, stop.

It listens before it has anything else, so that the service can start; NATS and the configuration may come later, in
either order, and NATS may go and come again. A first signal drains, a second one ends the process at once.
"""

import asyncio
import os
import signal
from pathlib import Path

from choregos_ambassador import configuration_file, inbox_room, probes, publish_api, requirements
from choregos_ambassador.bus import Bus
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.equipment import Equipment
from choregos_ambassador.gate import Gate
from choregos_ambassador.history import History
from choregos_ambassador.inbox import Inbox
from choregos_ambassador.lag import Lag
from choregos_ambassador.leases import Leases
from choregos_ambassador.listener import Listener
from choregos_ambassador.log import log, name_service
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.notes import Notes
from choregos_ambassador.outage import Outage
from choregos_ambassador.outbox import Outbox
from choregos_ambassador.probes import Probes
from choregos_ambassador.publish_api import PublishApi
from choregos_ambassador.reactions import Reactions
from choregos_ambassador.report import Report
from choregos_ambassador.service_api import ServiceApi
from choregos_ambassador.settings import Settings
from choregos_ambassador.targets import Targets
from choregos_ambassador.tasks import watched

LISTEN_FOR_STOPPED = 1.0
"""Seconds that the publish API gives requests in flight to end, when the process stops."""
CANCEL_AGAIN = 0.2
"""Seconds after which a task that did not take a cancel gets another one."""


class Fatal(Exception):  # noqa: N818  named by what it means for the caller
    """This process cannot do its work; the message says why."""


class Server:
    """One ambassador process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._bus = Bus(self._metrics, Credentials.at(settings.nats_credentials))
        self._leases = Leases(self._bus)
        self._equipment = Equipment(
            bus=self._bus,
            leases=self._leases,
            gate=Gate(self._metrics),
            targets=Targets(settings.target_host),
            outbox=Outbox(self._bus),
            history=History(self._bus),
            inbox=Inbox(self._bus, self._metrics),
            notes=Notes(self._bus),
            report=Report(self._metrics, every_hop=settings.log_events, answers=settings.log_answers),
        )
        self._outage = Outage(self._bus, self._equipment.gate)
        self._reactions = Reactions(self._equipment, self._metrics)
        self._service_api = ServiceApi(self._equipment, self._reactions, settings.pod)
        self._publish_api = PublishApi(self._bus, self._metrics, self._start_drain)
        self._probes = Probes(self._metrics)
        self._listeners = {
            "publish": Listener("publish", self._publish_api.application(), publish_api.LIMITS, self._metrics),
            "probes": Listener("probes", self._probes.application(), probes.LIMITS, self._metrics),
        }
        self._drain: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Live from start to stop; raises Fatal if it cannot even begin."""
        self._catch_signals()
        await self._listen()
        work = asyncio.create_task(self._work(), name="work")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            await self._start_drain()
        finally:
            work.cancel()
            stop.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)
            await self._close()

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            os._exit(128 + number)
        log.info("stopping", signal=number.name)
        self._stop.set()

    async def _listen(self) -> None:
        publish = await self._serve("publish", self._settings.publish_host, self._settings.publish_port)
        self._probes.ready = True
        probes = await self._serve("probes", self._settings.probes_host, self._settings.probes_port)
        log.info("listening", publish_url=publish, probes_url=probes)

    async def _serve(self, name: str, host: str, port: int) -> str:
        try:
            port = await self._listeners[name].open(host, port, shutdown_timeout=LISTEN_FOR_STOPPED)
        except OSError as error:
            raise Fatal(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104

    async def _work(self) -> None:
        """Follow the configuration; with NATS there, keep the reactions in line with it."""
        connecting = asyncio.create_task(self._connect(), name="connect to NATS")
        lagging = watched(Lag(self._bus, self._reactions, self._metrics).watch(), "lag")
        filling = watched(inbox_room.watch(self._bus, self._reactions, self._metrics), "room of the inbox")
        try:
            async for configuration in configuration_file.changes(Path(self._settings.config), self._metrics):
                name_service(configuration.service)
                self._publish_api.configure(configuration)
                await asyncio.shield(connecting)
                await requirements.met(self._bus, configuration.bus)
                await self._outage.follow(configuration)
                await self._reactions.apply(configuration)
                await self._service_api.follow(configuration)
        finally:
            await _end(lagging)
            await _end(filling)
            await _end(connecting)

    async def _connect(self) -> None:
        await self._bus.connect(
            self._settings.servers,
            "choregos-ambassador",
            handshake_first=self._settings.nats_tls_handshake_first,
            server_name=self._settings.nats_tls_server_name,
        )
        await self._leases.start()

    def _start_drain(self) -> "asyncio.Task[None]":
        """Drain once, however often it is asked for."""
        if self._drain is None:
            log.info("draining")
            self._drain = asyncio.create_task(self._reactions.drain(), name="drain")
            self._probes.draining.set()
            self._drain.add_done_callback(lambda _: self._probes.drained.set())
        return self._drain

    async def _close(self) -> None:
        await self._reactions.stop()
        await self._leases.close()
        await self._equipment.gate.close()
        await self._outage.close()
        for listener in self._listeners.values():
            await listener.close()
        self._equipment.targets.close()
        await self._bus.close()
        log.info("stopped")


async def _end(task: "asyncio.Task[None]") -> None:
    """Cancel a task until it has ended: before Python 3.12 `wait_for`, by which nats-py waits, may swallow a cancel."""
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=CANCEL_AGAIN)
