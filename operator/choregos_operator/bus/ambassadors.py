"""Which ambassadors run, and what they know, asked over NATS' service API (ADR-32)."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from choregos_contract.names import BusNames
from choregos_operator.bus.asker import Asks

SUBJECT: Final = "$SRV.STATS.choregos-ambassador"

Generation = Annotated[int, Meta(ge=0, le=2**53)]
"""No more than every reader of JSON knows exactly: the next document counts on from it, and anybody may answer."""


class RunningAmbassador(msgspec.Struct, frozen=True, kw_only=True):
    """One ambassador that answered."""

    id: str
    """Of this process, on the service API."""
    service: str
    pod: str = ""
    """Name of its pod; empty outside a cluster."""
    generation: int = 0
    """Of the configuration that it works by."""
    version: str = ""
    breaker: str = ""
    """`closed` while all is well."""
    breaker_reason: str = ""
    in_flight: int = 0
    """Events that it has in hand."""


async def ambassadors(asker: Asks, names: BusNames, *, max_age: float = 0.0) -> tuple[RunningAmbassador, ...]:
    """Return the ambassadors of a bus that answered, by service and pod; raises BusAway.

    Every ambassador of the NATS account answers each question: with `max_age` (seconds), an answer to the question of
    another bus will do.
    """
    answers = [_read(answer) for answer in await asker.gather(SUBJECT, max_age=max_age)]
    of_bus = [_ambassador(each) for each in answers if each and each.metadata.is_of(names) and each.endpoints]
    return tuple(sorted(of_bus, key=lambda each: (each.service, each.pod, each.id)))


class _Metadata(msgspec.Struct):
    service: str = ""
    namespace: str = ""
    bus: str = ""
    pod: str = ""

    def is_of(self, names: BusNames) -> bool:
        return (self.namespace, self.bus) == (names.namespace, names.bus)


class _Status(msgspec.Struct, rename="camel"):
    version: str = ""
    generation: Generation = 0
    breaker: str = ""
    breaker_reason: str = ""
    in_flight: dict[str, int] = {}


class _Endpoint(msgspec.Struct):
    data: _Status


class _Stats(msgspec.Struct):
    id: str
    metadata: _Metadata
    endpoints: list[_Endpoint]


def _read(answer: bytes) -> _Stats | None:
    """Read an answer; None for one that no ambassador gives: anybody in the account may take the name."""
    try:
        return msgspec.json.decode(answer, type=_Stats)
    except msgspec.DecodeError:
        return None


def _ambassador(stats: _Stats) -> RunningAmbassador:
    status = stats.endpoints[0].data
    return RunningAmbassador(
        id=stats.id,
        service=stats.metadata.service,
        pod=stats.metadata.pod,
        generation=status.generation,
        version=status.version,
        breaker=status.breaker,
        breaker_reason=status.breaker_reason,
        in_flight=sum(status.in_flight.values()),
    )
