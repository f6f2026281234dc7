"""What only shows when a choreography is looked at beside the others: warnings, because objects come and go."""

from collections.abc import Iterator, Sequence

from choregos_contract.findings import Finding, finding
from choregos_contract.resources import Choreography


def unfed(choreography: Choreography, everyone: Sequence[Choreography]) -> Iterator[Finding]:
    """Yield the external events that no choreography of the same namespace and bus emits."""
    wanted = [name for name, event in choreography.spec.events.items() if event.external]
    if not wanted:
        return
    home = (choreography.metadata.namespace, choreography.spec.bus)
    peers = [each for each in everyone if (each.metadata.namespace, each.spec.bus) == home]
    emitted = {event for peer in peers for event in _emitted(peer)}
    for name in wanted:
        if name not in emitted:
            hint = "apply the choreography that emits it, or mind that only producers outside can"
            yield finding("nobody-emits", ("spec", "events", name), f'no choreography emits "{name}" yet', hint)


def collisions(younger: Choreography, elders: Sequence[Choreography]) -> Iterator[Finding]:
    """Yield what a choreography says otherwise than older ones of its namespace, or claims like them."""
    for elder in elders:
        if elder.metadata.namespace != younger.metadata.namespace:
            continue
        for name in younger.spec.services:
            if name in elder.spec.services:
                yield from _collision(name, younger, elder)


def _collision(name: str, younger: Choreography, elder: Choreography) -> Iterator[Finding]:
    """A service on two buses has no reactions in common: then the bus is all there is to tell."""
    path = ("spec", "services", name)
    mine, theirs, other = younger.spec.services[name], elder.spec.services[name], elder.metadata.name
    if younger.spec.bus != elder.spec.bus:
        message = f'"{name}" is on the bus "{elder.spec.bus}" in {other}, on "{younger.spec.bus}" here'
        yield finding("conflicting-bus", ("spec", "bus"), message, "put every choreography of a service on one bus")
        return
    if mine.port and theirs.port and mine.port != theirs.port:
        message = f'"{name}" listens on port {theirs.port} in {other}, on {mine.port} here'
        yield finding("conflicting-port", (*path, "port"), message, "name one port, or set it on the reaction")
    claimed = {reaction.event for reaction in theirs.reactions}
    for index, reaction in enumerate(mine.reactions):
        if reaction.event in claimed:
            message = f'{other} claims the reaction of "{name}" to "{reaction.event}" already'
            yield finding("claimed-twice", (*path, "reactions", index, "event"), message, "keep it in one of the two")


def _emitted(choreography: Choreography) -> Iterator[str]:
    for service in choreography.spec.services.values():
        yield from service.emits
        for reaction in service.reactions:
            yield from reaction.emits
