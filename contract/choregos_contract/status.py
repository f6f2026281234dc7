"""What the operator reports in the `status` of its resources, as frozen values.

The controller writes these, by alias and without what is not known (`as_reported`); the CRDs are generated from them;
everybody else may read them. Conditions follow `metav1.Condition`, so that `kubectl wait --for=condition=Ready` works,
and there is no `phase` beside them. Figures are refreshed at most once a minute and only on change: they tell an
administrator where to look, live figures come from the CLI.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

MOMENT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
CONDITION_TYPE: Final = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
REASON: Final = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
MOST_ORPHANS: Final = 64
"""Orphaned durables that a status lists; those with the most pending events, if there are more."""
LONGEST_MESSAGE: Final = 32768
"""Characters of a condition's message, as Kubernetes bounds them; who has more to say cuts it."""

Moment = Annotated[str, Field(pattern=MOMENT, max_length=40, json_schema_extra={"format": "date-time"})]
Count = Annotated[int, Field(ge=0, le=2**53)]
Generation = Annotated[int, Field(ge=0, le=2**53)]


class Reported(BaseModel):
    """What every model of a status has in common."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    def as_reported(self) -> dict[str, Any]:
        """Return the manifest's part: camelCase, and without the figures that nobody knows yet."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Condition(Reported):
    """One question about the object that is answered by True, False or Unknown (`metav1.Condition`)."""

    type: Annotated[str, Field(pattern=CONDITION_TYPE, max_length=316)]
    """What is asked: `Valid`, `Wired`, `GraphComplete`, `AmbassadorsCurrent`, or `Ready` that sums them up."""
    status: Literal["True", "False", "Unknown"]
    """The answer."""
    reason: Annotated[str, Field(pattern=REASON, min_length=1, max_length=1024)]
    """Why, in one word for programs."""
    message: Annotated[str, Field(max_length=LONGEST_MESSAGE)] = ""
    """Why, in a sentence for people, with the mend."""
    last_transition_time: Moment
    """When the answer last changed."""
    observed_generation: Generation = 0
    """Generation of the object that the answer is about."""


class Ambassadors(Reported):
    """How many ambassadors work with the configuration that follows from this object."""

    current: Count
    """Ambassadors that have loaded the configuration."""
    total: Count
    """Labelled pods that run, with an ambassador or without."""


class Orphan(Reported):
    """A durable whose reaction is gone, kept for a while in case it comes back."""

    reaction: Annotated[str, Field(max_length=200)]
    """Service and event of the reaction that was, as `payment/OrderPlaced`."""
    pending: Count
    """Events that the reaction had yet to process."""
    since: Moment
    """When its reaction went."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16)]
Orphans = Annotated[tuple[Orphan, ...], Field(max_length=MOST_ORPHANS)]


class ChoreographyStatus(Reported):
    """What the operator found about a choreography."""

    observed_generation: Generation = 0
    """Generation of the spec that this status is about."""
    conditions: Conditions = ()
    """The answers: `Valid`, `Wired`, `GraphComplete`, `AmbassadorsCurrent`, `Ready`."""
    services: Count | None = None
    """Number of services in the spec."""
    reactions: Count | None = None
    """Number of reactions in the spec."""
    ambassadors: Ambassadors | None = None
    """Ambassadors of its services, over all pods."""
    lag: Count | None = None
    """Events that its reactions have yet to process; at most a minute old when it changes."""
    dead_letters: Count | None = None
    """Dead letters of its reactions; at most a minute old when it changes."""
    orphaned: Orphans = ()
    """Durables of reactions that this choreography once had, and no longer has."""


class EventBusStatus(Reported):
    """What the operator found about a bus."""

    observed_generation: Generation = 0
    """Generation of the spec that this status is about."""
    conditions: Conditions = ()
    """The answers: `Valid`, `Wired`, `Ready`."""
    choreographies: Count | None = None
    """Number of choreographies on the bus."""
    reactions: Count | None = None
    """Number of reactions on the bus, which is the number of its durables in use."""
    events: Count | None = None
    """Events that the stream holds; at most a minute old when it changes."""
    dead_letters: Count | None = None
    """Dead letters that are kept; at most a minute old when it changes."""
    orphaned: Orphans = ()
    """Durables of the bus whose choreography is gone altogether."""
