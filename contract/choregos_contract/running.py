"""Which ambassadors run, and what they know, as they answer over NATS' service API (ADR-32).

Anybody in the account may answer for ambassadors: what is not such an answer is passed over.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from choregos_contract.names import BusNames

SUBJECT: Final = "$SRV.STATS.choregos-ambassador"
"""Where all of them are asked, those of every bus of the account."""

Generation = Annotated[int, Meta(ge=0, le=2**53)]
"""No more than every reader of JSON knows exactly: the next document counts on from it."""


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
    in_flight: Mapping[str, int] = {}
    """Events that it has in hand, by type."""


def read_answers(answers: Iterable[bytes], names: BusNames) -> tuple[RunningAmbassador, ...]:
    """Return the ambassadors of a bus that are among those who answered, by service and pod."""
    read = (stats for answer in answers if (stats := _read(answer)) and stats.metadata.is_of(names))
    return tuple(sorted(map(_ambassador, read), key=lambda each: (each.service, each.pod, each.id)))


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
    endpoints: Annotated[list[_Endpoint], Meta(min_length=1)]


def _read(answer: bytes) -> _Stats | None:
    try:
        return msgspec.json.decode(answer, type=_Stats)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
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
        in_flight=status.in_flight,
    )
