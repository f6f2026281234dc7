"""The resources of the group `choregos.dev/v1alpha1`: what a user writes, as frozen values; above all the Choreography.

Attributes are snake_case, the document is camelCase, and a field that is not listed here is refused. The models know
what one field may hold; what fields must be to one another is the business of `checks`. The CRDs are generated from
these models and those of `event_bus`, so every field carries its description and every list and name its bound.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from choregos_contract.quantities import PositiveDuration, PositiveSize

API_VERSION: Final = "choregos.dev/v1alpha1"
IGNORE_ANNOTATION: Final = "choregos.dev/ignore"
DEFAULT_BUS: Final = "default"
"""The bus that needs no object."""
DEFAULT_PORT: Final = 8080
"""Where a service listens that names no port, as in Knative."""

EVENT_NAME: Final = r"^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+){0,15}$"
LABEL: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
SUBDOMAIN: Final = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"
PREFIX: Final = r"^[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?$"
PATH: Final = r"^/[^\s#]*$"
SERVER: Final = r"^(nats|tls|ws|wss)://[^\s/?#@]+/?$"
START_FROM: Final = r"^(created|all|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2}))$"


def _existing_moment(text: str) -> str:
    """Refuse a day or an hour that the pattern lets pass and the calendar does not have."""
    if text not in ("created", "all"):
        try:
            datetime.fromisoformat(text.upper())
        except ValueError:
            raise PydanticCustomError("moment", "no such moment") from None
    return text


EventName = Annotated[str, Field(pattern=EVENT_NAME, max_length=100)]
Label = Annotated[str, Field(pattern=LABEL, max_length=63)]
Subdomain = Annotated[str, Field(pattern=SUBDOMAIN, max_length=253)]
Prefix = Annotated[str, Field(pattern=PREFIX, max_length=16)]
Path = Annotated[str, Field(pattern=PATH, max_length=1024)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Server = Annotated[str, Field(pattern=SERVER, max_length=512)]
StartFrom = Annotated[str, Field(pattern=START_FROM, max_length=40), AfterValidator(_existing_moment)]
Status = Annotated[int, Field(ge=300, le=599, strict=True)]
Statuses = Annotated[tuple[Status, ...], Field(max_length=16)]
EventNames = Annotated[tuple[EventName, ...], Field(max_length=64)]
Attempts = Annotated[int, Field(ge=0, le=100, strict=True)]
Concurrency = Annotated[int, Field(ge=1, le=1000, strict=True)]
InFlight = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Flag = Annotated[bool, Field(strict=True)]


def _spell_defaults(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Give the default of a quantity in the JSON schema as a user would write it: `30s`, not 30.0."""
    for name, field in model.model_fields.items():
        for serializer in field.metadata:
            if isinstance(serializer, PlainSerializer) and not field.is_required():
                spell: Any = serializer.func
                schema["properties"][field.alias or name]["default"] = spell(field.default)


class Resource(BaseModel):
    """What every model here has in common: unknown fields are refused, values never change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        json_schema_extra=_spell_defaults,
    )


class Metadata(Resource):
    """The part of a Kubernetes object's metadata that Choregos reads; the rest is let pass."""

    model_config = ConfigDict(extra="ignore")

    name: Subdomain
    """Name of the object."""
    namespace: Label = "default"
    """Namespace of the object, and of every service it names."""
    uid: Annotated[str, Field(max_length=64)] = ""
    """Set by the Kubernetes API."""
    generation: Annotated[int, Field(ge=0)] = 0
    """Set by the Kubernetes API: counts the changes of the spec."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """`choregos.dev/ignore` holds the codes of warnings to silence, separated by commas."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the object; Choregos gives them no meaning."""


def _distinct(reject: tuple[int, ...] | None, retry: tuple[int, ...] | None) -> None:
    if both := set(reject or ()) & set(retry or ()):
        raise PydanticCustomError("both_ways", "{status} is both rejected and retried", {"status": min(both)})


class Delivery(Resource):
    """How an event is brought to a service, and when that is given up."""

    timeout: PositiveDuration = 30.0
    """Time for one HTTP attempt."""
    retry: Attempts = 5
    """Attempts after the first; then the event becomes a dead letter."""
    backoff_delay: PositiveDuration = 2.0
    """Ceiling of the wait before the first retry; doubled for each further one, with full jitter."""
    backoff_max: PositiveDuration = 60.0
    """Ceiling of every wait between two attempts."""
    concurrency: Concurrency = 16
    """Requests in flight per ambassador and reaction."""
    max_in_flight: InFlight = 10_000
    """Events of the reaction that are out for delivery over all replicas, those that wait out a backoff included."""
    reject: Statuses = ()
    """HTTP statuses that make a dead letter at once, though they would be retried otherwise."""
    retry_on: Statuses = ()
    """HTTP statuses that are retried, though they would make a dead letter at once otherwise."""
    max_reply_bytes: PositiveSize = 2**20
    """The largest body of an answer that is read; beyond it the event becomes a dead letter."""

    @model_validator(mode="after")
    def _one_verdict_per_status(self) -> Self:
        _distinct(self.reject, self.retry_on)
        return self


class DeliveryOverrides(Resource):
    """The delivery settings in which one reaction differs from the choreography."""

    timeout: PositiveDuration | None = None
    """Time for one HTTP attempt."""
    retry: Attempts | None = None
    """Attempts after the first; then the event becomes a dead letter."""
    backoff_delay: PositiveDuration | None = None
    """Ceiling of the wait before the first retry; doubled for each further one, with full jitter."""
    backoff_max: PositiveDuration | None = None
    """Ceiling of every wait between two attempts."""
    concurrency: Concurrency | None = None
    """Requests in flight per ambassador and reaction."""
    max_in_flight: InFlight | None = None
    """Events of the reaction that are out for delivery over all replicas, those that wait out a backoff included."""
    reject: Statuses | None = None
    """HTTP statuses that make a dead letter at once, though they would be retried otherwise."""
    retry_on: Statuses | None = None
    """HTTP statuses that are retried, though they would make a dead letter at once otherwise."""
    max_reply_bytes: PositiveSize | None = None
    """The largest body of an answer that is read; beyond it the event becomes a dead letter."""

    @model_validator(mode="after")
    def _one_verdict_per_status(self) -> Self:
        _distinct(self.reject, self.retry_on)
        return self

    def over(self, defaults: Delivery) -> Delivery:
        """Return `defaults` with these settings laid over; a status named here leaves the other list of the defaults."""
        settings = {name: value for name, value in self if value is not None}
        reject, retry_on = set(self.reject or ()), set(self.retry_on or ())
        if self.reject is None:
            settings["reject"] = tuple(status for status in defaults.reject if status not in retry_on)
        if self.retry_on is None:
            settings["retry_on"] = tuple(status for status in defaults.retry_on if status not in reject)
        return defaults.model_copy(update=settings)


class EventSpec(Resource):
    """One event of the choreography."""

    description: Annotated[str, Field(max_length=1024)] = ""
    """What has happened, in a sentence for readers."""
    outcome: Literal["completed", "failed"] | None = None
    """Set if this event ends a transaction: how it ended."""
    external: Flag = False
    """True if another choreography emits it, or a producer outside."""


class Idempotency(Resource):
    """The inbox that keeps a reaction from being called twice for one event."""

    ttl: PositiveDuration
    """How long the inbox remembers an event."""


class Reaction(Resource):
    """On this event, POST there; it may emit these."""

    event: EventName
    """The event reacted to."""
    path: Path = "/"
    """Where to POST it: an absolute path, with a query if need be."""
    port: Port | None = None
    """Where the service listens for it; the service's port if left out."""
    emits: EventNames = ()
    """Events that the service may answer with; anything else is refused."""
    on_success: EventName | None = None
    """Event that a plain 2xx JSON body becomes the data of; one of `emits`."""
    on_failure: EventName | None = None
    """Event that the ambassador emits when delivery finally fails, beside the dead letter; one of `emits`."""
    required: Flag = False
    """True if a 2xx without any event is an invalid reply."""
    compensates: EventName | None = None
    """Event whose effect on this service is undone by this reaction."""
    start_from: StartFrom = "created"
    """Where a reaction that is added later begins: `created`, `all`, or an RFC 3339 time. Cannot be changed."""
    suspend: Flag = False
    """True to pause the reaction without losing its position."""
    delivery: DeliveryOverrides | None = None
    """Settings in which this reaction differs from the choreography's delivery."""
    idempotency: Idempotency | None = None
    """Turns on the inbox for this reaction; off if left out."""


class Service(Resource):
    """One service: where it listens, what it publishes, what it reacts to."""

    port: Port | None = None
    """Where the service listens inside its pod; 8080 if left out."""
    readiness: Path | None = None
    """Path that answers 2xx while events may flow; if left out, they flow while the port accepts connections."""
    emits: EventNames = ()
    """Events that the service publishes of its own accord, through the ambassador's publish API."""
    reactions: Annotated[tuple[Reaction, ...], Field(max_length=64)] = ()
    """What the service does on which event."""


class ChoreographySpec(Resource):
    """The events and the services of one choreography."""

    bus: Label = DEFAULT_BUS
    """Name of the EventBus that carries the events."""
    delivery: Delivery = Delivery()
    """Delivery settings of every reaction that has none of its own."""
    events: Annotated[dict[EventName, EventSpec], Field(max_length=256)]
    """Every event that is emitted or reacted to here."""
    services: Annotated[dict[Label, Service], Field(max_length=128)]
    """The services, by the name that pods carry in the label `choregos.dev/service`."""


class Choreography(Resource):
    """Which service reacts to which event, and what it may emit in turn."""

    api_version: Literal["choregos.dev/v1alpha1"]
    """Version of this format."""
    kind: Literal["Choreography"]
    """Kind of this object."""
    metadata: Metadata
    """Name and namespace of the object."""
    spec: ChoreographySpec
    """What the user wants."""
    status: Any = Field(default=None, exclude=True, repr=False)
    """What the operator found; never read from a document."""

    @property
    def identity(self) -> str:
        """The object's name in findings: `Kind/namespace/name`."""
        return f"{self.kind}/{self.metadata.namespace}/{self.metadata.name}"

    def delivery_of(self, service: str, reaction: Reaction) -> Delivery:  # noqa: ARG002 - a service has no delivery yet
        """Return the settings in force for a reaction: the defaults, then the spec's, then its own."""
        return reaction.delivery.over(self.spec.delivery) if reaction.delivery else self.spec.delivery
