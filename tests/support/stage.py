"""A stage for one service: a nats-server, a wired bus, the service and its ambassador, all of them real."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from choregos_ambassador.breaker import SLOW_START_END
from choregos_contract.configuration import Configuration
from choregos_contract.configure import configurations
from support.ambassador import Ambassador
from support.bus import Stored, TestBus, connected, wired
from support.choreographies import choreography
from support.nats import NatsServer
from support.service import Call, Handler, Service, always

SERVICE = "subject"
BYSTANDER = "Bystander"
BYSTANDERS = 4


@dataclass(frozen=True)
class Outcome:
    """What came of one event: the requests, the ends of its hops as logged, and what the bus has of it afterwards."""

    sequence: int
    event_id: str
    calls: list[Call]
    hops: list[dict[str, Any]]
    replies: list[Stored]
    letters: list[Stored]

    @property
    def letter(self) -> Stored:
        assert len(self.letters) == 1, f"one dead letter, not {len(self.letters)}; {self.hops}"
        return self.letters[0]


@dataclass
class Stage:
    """Plays one event after the other, each with the answer that its test decides; other events are answered 204."""

    server: NatsServer
    bus: TestBus
    service: Service
    ambassador: Ambassador
    configuration: Configuration
    _answers: dict[str, Handler] = field(default_factory=dict)
    _numbers: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.service.handler = lambda call: self._answers.get(call.headers["ce-id"], always(204))(call)

    async def play(self, event_type: str, answer: Handler, data: bytes = b"{}", **attributes: str) -> Outcome:
        """Publish an event, and wait for the end of its last hop.

        Bystanders go before it, so that the service has good answers to show and the breaker stays closed.
        """
        await self._play_bystanders()
        sequence, event_id = await self.publish(event_type, answer, data, **attributes)
        return await self.outcome(sequence, event_id)

    async def publish(
        self, event_type: str, answer: Handler, data: bytes = b"{}", **attributes: str
    ) -> tuple[int, str]:
        """Publish an event that will be answered so; returns its sequence and id."""
        event_id = attributes.pop("event_id", f"{event_type}-{next(self._numbers)}")
        self._answers[event_id] = answer
        return await self.bus.publish(event_type, data, event_id, **attributes), event_id

    async def outcome(self, sequence: int, event_id: str = "") -> Outcome:
        """Wait for the end of the last hop of the event at a sequence."""
        await self.ambassador.until(
            lambda: any(hop["verdict"] in ("done", "dead-letter") for hop in self._hops(sequence))
        )
        events = await self.bus.events(after=sequence)
        return Outcome(
            sequence,
            event_id,
            [call for call in self.service.calls if call.headers["ce-id"] == event_id],
            self._hops(sequence),
            [each for each in events if event_id and each.headers.get("ce-causationid") == event_id],
            await self.bus.dead_letters(of=sequence),
        )

    async def warm_up(self) -> None:
        """Have the service answer until the slow start is over: then the breaker limits nothing any more."""
        at_service = [each.event for each in self.configuration.reactions if each.port == self.service.port]
        events = [event for event in at_service for _ in range(SLOW_START_END // len(at_service) + 1)]
        sequences = [(await self.publish(event, always(204)))[0] for event in events]
        await self.ambassador.until(lambda: all(self._hops(sequence) for sequence in sequences))

    async def _play_bystanders(self) -> None:
        sequences = [(await self.publish(BYSTANDER, always(204)))[0] for _ in range(BYSTANDERS)]
        await self.ambassador.until(lambda: all(self._hops(sequence) for sequence in sequences))

    def _hops(self, sequence: int) -> list[dict[str, Any]]:
        return [hop for hop in self.ambassador.hops() if hop["sequence"] == sequence]


@asynccontextmanager
async def staged(
    reactions: Mapping[str, Mapping[str, Any]], *, config: str = "", emits: tuple[str, ...] = (), **spec: Any
) -> AsyncIterator[Stage]:
    """Set up a service with these reactions (event type to fields); `config` is nats-server's."""
    with NatsServer(config) as server:
        async with connected(server.url) as connection, Service() as service:
            played = {BYSTANDER: {}, **reactions}
            listed = [{"event": event, "path": f"/{event}", **fields} for event, fields in played.items()]
            shop = choreography({SERVICE: {"port": service.port, "emits": list(emits), "reactions": listed}}, **spec)
            bus = await wired(connection, shop)
            configuration = configurations([shop], None, generation=1)[SERVICE]
            async with Ambassador(server.url, configuration) as ambassador:
                await ambassador.logged("configured")
                stage = Stage(server, bus, service, ambassador, configuration)
                await stage.warm_up()
                yield stage
