"""Who wins where choreographies of a namespace claim the same thing: the older object.

Two claims on one reaction are settled by the contract, reaction by reaction. A service can be on one bus only, though: it
has one ambassador. So a younger choreography that puts it on another bus goes without that service.
"""

from collections.abc import Iterable, Sequence

from choregos_contract.resources import Choreography


def on_their_bus(choreographies: Iterable[Choreography]) -> tuple[Choreography, ...]:
    """Return a namespace's choreographies, oldest first, each without the services that an older one has elsewhere."""
    home: dict[str, str] = {}
    kept = []
    for choreography in choreographies:
        for service in choreography.spec.services:
            home.setdefault(service, choreography.spec.bus)
        kept.append(_without(choreography, [name for name, bus in home.items() if bus != choreography.spec.bus]))
    return tuple(kept)


def _without(choreography: Choreography, services: Sequence[str]) -> Choreography:
    left = {name: service for name, service in choreography.spec.services.items() if name not in services}
    if len(left) == len(choreography.spec.services):
        return choreography
    return choreography.model_copy(update={"spec": choreography.spec.model_copy(update={"services": left})})
