"""What happens in a local run, as values; `choregos up --json` prints each as one line (`as_json`).

What is stored comes from the bus itself, how a hop ended from the ambassador that did it, the rest from the processes.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from pydantic.alias_generators import to_camel

Verdict = Literal["done", "retry", "hand-back", "dead-letter", "lease-lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened, and when: Unix time in seconds."""

    kind: ClassVar[str]
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where one replica of a service, and the ambassador beside it, listen."""

    url: str
    publish_url: str
    probes_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Happening):
    """Everything is started and wired; from now on an event can be published."""

    kind: ClassVar[str] = "ready"
    nats: str
    services: Mapping[str, tuple[Address, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining(Happening):
    """The run was told to end: events in hand are finished, no more are taken."""

    kind: ClassVar[str] = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAwaited(Happening):
    """A service has no command, so the user is to start it, there."""

    kind: ClassVar[str] = "service-awaited"
    service: str
    replica: int
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStarted(Happening):
    """A process of a service was started, for the first time or again."""

    kind: ClassVar[str] = "service-started"
    service: str
    replica: int
    pid: int
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceExited(Happening):
    """A process of a service ended, though nobody had asked it to."""

    kind: ClassVar[str] = "service-exited"
    service: str
    replica: int
    code: int
    """Exit code; -N if signal N ended it."""
    output: tuple[str, ...]
    """The last lines that it wrote."""
    restart_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AmbassadorExited(Happening):
    """An ambassador ended, though nobody had asked it to."""

    kind: ClassVar[str] = "ambassador-exited"
    service: str
    replica: int
    code: int
    output: tuple[str, ...]
    restart_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Happening):
    """A service wrote a line."""

    kind: ClassVar[str] = "output"
    service: str
    replica: int
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Happening):
    """An ambassador has something to say about itself, such as that it lost the bus."""

    kind: ClassVar[str] = "notice"
    service: str
    replica: int
    level: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStored(Happening):
    """The bus stored an event; `time` is the server's."""

    kind: ClassVar[str] = "event-stored"
    stream: str
    sequence: int
    id: str
    source: str
    type: str
    correlation_id: str
    causation_id: str | None
    hops: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HopEnded(Happening):
    """An ambassador came to a verdict on one delivery of an event."""

    kind: ClassVar[str] = "hop-ended"
    service: str
    replica: int
    event_id: str
    event_type: str
    correlation_id: str
    sequence: int
    attempt: int
    verdict: Verdict
    status: int | None = None
    duration_ms: float | None = None
    replies: tuple[str, ...] = ()
    reason: str | None = None
    error: str | None = None
    delay_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLettered(Happening):
    """The bus stored a dead letter; `time` is the server's."""

    kind: ClassVar[str] = "dead-lettered"
    stream: str
    sequence: int
    service: str
    event_id: str
    event_type: str
    correlation_id: str
    reason: str
    attempts: int
    last_status: int | None = None
    last_error: str | None = None
    failure_emitted: bool = False


def as_json(happening: Happening) -> dict[str, Any]:
    """Return a happening as a JSON object: `event` is its kind, the names are camelCase, no event's data is in it."""
    fields = {to_camel(name): value for name, value in _plain(happening).items() if name not in ("time", "data")}
    if isinstance(happening, Ready):
        return {"event": happening.kind, **fields}
    stamp = datetime.fromtimestamp(happening.time, UTC).isoformat(timespec="milliseconds")
    return {"event": happening.kind, "time": stamp.replace("+00:00", "Z"), **fields}


def _plain(value: Any) -> Any:
    """Return dataclasses as dicts, with the names of their fields; only addresses are nested."""
    if isinstance(value, Address):
        return {to_camel(name): part for name, part in _plain_fields(value).items()}
    if dataclasses.is_dataclass(value):
        return _plain_fields(value)
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _plain_fields(value: Any) -> dict[str, Any]:
    return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
