"""All that the checks are about, as it was read once. What could not be read is Unknown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from choregos_cli.checks.lines import Unknown, named
from choregos_cli.cluster.complaints import KubernetesRefused
from choregos_cli.cluster.controller_settings import Component
from choregos_cli.cluster.kubectl import Object, Right
from choregos_cli.errors import CommandError
from choregos_contract.names import BusNames
from choregos_contract.plan import Step
from choregos_contract.running import RunningAmbassador
from choregos_contract.survey import BusSurvey, Reaction
from choregos_contract.wiring import Wanted


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of an object that the API server was asked to try."""

    outcome: Object | KubernetesRefused
    """What would be stored, or how the API server, or a webhook, refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusFacts:
    """One bus, and what is on it."""

    names: BusNames
    wanted: Wanted
    steps: tuple[Step, ...] = ()
    """From what there is to what is wanted."""
    suspended: frozenset[Reaction] = frozenset()
    where: str = ""
    server_version: str = ""
    servers: int = 1
    """Servers that tell of themselves as one cluster."""
    jetstream: bool = True
    survey: BusSurvey | None = None
    """None if JetStream is off."""
    oldest: Mapping[Reaction, datetime] = field(default_factory=dict)
    """When the oldest event that a reaction has yet to process was stored."""
    ambassadors: tuple[RunningAmbassador, ...] | Unknown = ()

    def __str__(self) -> str:
        return f"{self.names.namespace}/{self.names.bus}"


@dataclass(frozen=True, slots=True)
class AwayBus:
    """A bus that was not reached."""

    namespace: str
    name: str
    error: CommandError

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything."""

    now: datetime
    own_version: str
    api_version: str
    rights: Mapping[Right, bool] | Unknown
    definitions: Mapping[str, Object | None] | Unknown
    """By name."""
    components: tuple[Component, ...] | Unknown
    lease: Object | Unknown | None
    account_rights: Mapping[str, Mapping[Right, bool]] | Unknown
    """By the name of the account."""
    registrations: Mapping[str, Object | None] | Unknown
    """By kind."""
    certificate: bytes | Unknown
    """PEM, of the webhook's Secret."""
    injected: Trial | Unknown
    validated: Trial | Unknown
    resources: tuple[Object, ...] | Unknown
    """Choreographies and buses."""
    pods: tuple[Object, ...] | Unknown
    """Those with our label."""
    generations: Mapping[tuple[str, str], int] | Unknown
    """Of the present configuration, by namespace and service."""
    buses: tuple[BusFacts | AwayBus, ...] | Unknown

    @property
    def unseen(self) -> str:
        """The buses of which nothing is known; empty if there are none."""
        if isinstance(self.buses, Unknown):
            return ""
        away = [str(each) for each in self.buses if isinstance(each, AwayBus) or not each.survey]
        return named([f"the bus {each}" for each in away])

    @property
    def reached(self) -> "tuple[BusFacts, ...] | Unknown":
        """The buses that answered with JetStream; Unknown if there are some, and none did."""
        if isinstance(self.buses, Unknown):
            return self.buses
        found = tuple(each for each in self.buses if isinstance(each, BusFacts) and each.survey)
        if self.buses and not found:
            return Unknown("no bus was reached")
        return found
