"""The kind EventBus: where the events of a namespace are kept, and for how long.

Its models are of the same make as those of `resources`, and the CRD is generated from them as well.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from choregos_contract.quantities import PositiveDuration, PositiveSize
from choregos_contract.resources import SUBDOMAIN, Flag, Metadata, Prefix, Resource, Server

SMALLEST_INBOX: Final = 2**20
"""Bytes; a smaller inbox would forget an answer of `maxReplyBytes` at once."""


class Tls(Resource):
    """How connections to the NATS servers are encrypted; certificates come from the Secret `choregos-bus-<bus>`."""

    enabled: Flag = False
    """True to refuse a connection without TLS."""
    handshake_first: Flag = False
    """True if the servers expect the TLS handshake before their greeting."""
    server_name: Annotated[str, Field(pattern=SUBDOMAIN, max_length=253)] | None = None
    """Name to expect in the servers' certificate, where it differs from the host in `servers`."""


class StreamSpec(Resource):
    """The JetStream stream that holds the events."""

    prefix: Prefix = "choregos"
    """Begins every subject, stream, durable and bucket, so that clusters can share an account. Cannot be changed."""
    replicas: Annotated[int, Field(ge=1, le=5, strict=True)] = 1
    """Copies of the streams; 3 survive the loss of a machine, 1 does not."""
    storage: Literal["file", "memory"] = "file"
    """Where the streams are kept. Cannot be changed."""
    max_age: PositiveDuration = 7 * 86400.0
    """How long an event is kept, read or unread."""
    max_bytes: PositiveSize = 2**30
    """Room for events; a full stream refuses new ones."""
    duplicate_window: PositiveDuration = 600.0
    """How long the stream recognises an event that is published twice."""
    partitions: Annotated[int, Field(ge=1, le=256, strict=True)] = 16
    """Modulus of the partition in an event's subject. Cannot be changed."""
    shards: Annotated[int, Field(ge=1, le=4096, strict=True)] = 256
    """Modulus of the shard in an event's subject, by which a transaction is found. Cannot be changed."""

    @model_validator(mode="after")
    def _window_within_age(self) -> Self:
        if self.duplicate_window > self.max_age:
            raise PydanticCustomError("window_beyond_age", "duplicateWindow is longer than maxAge")
        return self


class DeadLetterSpec(Resource):
    """How long dead letters are kept."""

    max_age: PositiveDuration = 30 * 86400.0
    """How long a dead letter is kept."""
    max_bytes: PositiveSize = 2**28
    """Room for dead letters; while it is full, an event that fails for good stays with its reaction."""


class InboxSpec(Resource):
    """The key-value bucket of reactions with `idempotency`; it is made when there is one."""

    max_bytes: PositiveSize = 2**28
    """Room for events that are remembered, 1Mi at least; a full inbox forgets the oldest before their `ttl`."""

    @model_validator(mode="after")
    def _room_for_an_answer(self) -> Self:
        if self.max_bytes < SMALLEST_INBOX:
            raise PydanticCustomError("small_inbox", "the inbox has less than 1Mi")
        return self


class EventBusSpec(Resource):
    """A pair of JetStream streams, and the NATS servers that hold them."""

    servers: Annotated[tuple[Server, ...], Field(max_length=16)] = ()
    """URLs of the NATS servers, such as `nats://nats.nats:4222`, without a password; the operator's own if left out."""
    tls: Tls = Tls()
    """Encryption of the connections."""
    stream: StreamSpec = StreamSpec()
    """The stream of events."""
    dead_letters: DeadLetterSpec = DeadLetterSpec()
    """The stream of dead letters."""
    inbox: InboxSpec = InboxSpec()
    """The inbox of reactions with `idempotency`."""


class EventBus(Resource):
    """Where events are kept and carried."""

    api_version: Literal["choregos.dev/v1alpha1"]
    """Version of this format."""
    kind: Literal["EventBus"]
    """Kind of this object."""
    metadata: Metadata
    """Name and namespace of the bus; the name is a DNS label."""
    spec: EventBusSpec = EventBusSpec()
    """What the user wants."""
    status: Any = Field(default=None, exclude=True, repr=False)
    """What the operator found; never read from a document."""

    @property
    def identity(self) -> str:
        """The object's name in findings: `Kind/namespace/name`."""
        return f"{self.kind}/{self.metadata.namespace}/{self.metadata.name}"

    @model_validator(mode="after")
    def _name_is_a_label(self) -> Self:
        if "." in self.metadata.name or len(self.metadata.name) > 63:
            raise PydanticCustomError("bus_name", "the name of a bus is a DNS label")
        return self
