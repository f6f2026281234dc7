"""The ambassador on NATS' service API (ADR-32): found by `nats micro ls`, asked by `nats micro stats` and the CLI."""

from importlib.metadata import version
from typing import Any, Final

import msgspec
import nats.micro
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, EndpointStats, ServiceConfig

from choregos_ambassador.equipment import Equipment
from choregos_ambassador.reactions import Reactions
from choregos_contract.configuration import Configuration

NAME: Final = "choregos-ambassador"


class ServiceApi:
    """Answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS` for every replica, and one status subject for any of them."""

    def __init__(self, equipment: Equipment, reactions: Reactions, pod: str | None) -> None:
        self._with = equipment
        self._reactions = reactions
        self._of_pod = {} if pod is None else {"pod": pod}
        self._generation = 0
        self._started = False

    async def follow(self, configuration: Configuration) -> None:
        """Tell of this configuration from now on; the first call registers. The bus is connected."""
        self._generation = configuration.generation
        if self._started:
            return
        self._started = True
        names = configuration.bus
        service = await nats.micro.add_service(
            self._with.bus.client,
            ServiceConfig(
                name=NAME,
                version=version("choregos"),
                description="Carries events between JetStream and a service's HTTP port",
                metadata={"service": configuration.service, "namespace": names.namespace, "bus": names.bus}
                | self._of_pod,
                stats_handler=self._stats,
            ),
        )
        subject = f"{names.root}.status.{configuration.service}"
        await service.add_endpoint(EndpointConfig(name="status", subject=subject, handler=self._answer))

    def status(self) -> dict[str, Any]:
        """Return what is known of this process now."""
        breaker = self._with.gate.breaker
        return {
            "version": version("choregos"),
            "generation": self._generation,
            "breaker": breaker.state,
            "breakerReason": breaker.reason,
            "draining": self._reactions.draining,
            "inFlight": {running.role.event: running.in_hand for running in self._reactions},
        }

    def _stats(self, _endpoint: EndpointStats) -> dict[str, Any]:
        return self.status()

    async def _answer(self, request: Request) -> None:
        await request.respond(msgspec.json.encode(self.status()))
