"""What a command for one service needs of the files: the choreographies of one bus, and the service's configuration."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from choregos_cli.documents import Examined
from choregos_cli.errors import MisuseError
from choregos_contract.configuration import Configuration, Reaction
from choregos_contract.configure import configurations
from choregos_contract.event_bus import EventBus
from choregos_contract.findings import closest
from choregos_contract.graph import scopes
from choregos_contract.resources import Choreography

DEFAULT_FILE: Final = "choreography.yaml"
"""Read where no file is named."""


@dataclass(frozen=True, slots=True)
class OneBus:
    """Choreographies that share a namespace and bus, and the bus itself if the files hold it."""

    choreographies: tuple[Choreography, ...]
    bus: EventBus | None

    def configurations(self) -> dict[str, Configuration]:
        """Return the configuration of every service."""
        return configurations(self.choreographies, self.bus, generation=1)

    def configuration(self, service: str) -> Configuration:
        """Return the configuration of a service; raises MisuseError if there is none of that name."""
        found = self.configurations()
        if service not in found:
            raise MisuseError(f"there is no service {service!r} in this choreography", _instead(service, found))
        return found[service]


def one_bus(examined: Examined) -> OneBus:
    """Return what files without an error hold; raises MisuseError unless it is of exactly one bus."""
    found = scopes(examined.choreographies)
    if not found:
        raise MisuseError("there is no choreography here", "name the file of one with --file")
    if len(found) > 1:
        names = ", ".join(f"{scope.namespace}/{scope.bus}" for scope in found)
        raise MisuseError(f"a service is on one bus, and these are {len(found)}: {names}", "name fewer files")
    (scope, choreographies) = next(iter(found.items()))
    bus = next((each for each in examined.buses if (each.metadata.namespace, each.metadata.name) == scope), None)
    return OneBus(choreographies, bus)


def reaction_of(configuration: Configuration, event: str) -> Reaction:
    """Return the reaction to an event; raises MisuseError if the service has none."""
    reactions = {reaction.event: reaction for reaction in configuration.reactions}
    if event not in reactions:
        what = f"the service {configuration.service!r} does not react to {event!r}"
        raise MisuseError(what, _instead(event, reactions))
    return reactions[event]


def _instead(name: str, known: Iterable[str]) -> str:
    known = list(known)
    if meant := closest(name, known):
        return f"did you mean {meant!r}?"
    return f"name one of {', '.join(known)}" if known else "name another service: it reacts to nothing"
