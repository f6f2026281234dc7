"""What a fault is: harm to one part of the theatre, done and undone."""

from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from chaos.theatre import Theatre


class Fault(Protocol):
    """One kind of harm. It holds no state: a round strikes it as often as its schedule says, perhaps twice at a time."""

    @property
    def kind(self) -> str:
        """Its name in schedules and figures, such as `kill-ambassador`."""
        ...

    @property
    def lasts(self) -> float:
        """Seconds that a strike takes, roughly, undoing included: the schedule begins none that would outlast the load."""
        ...

    @property
    def services(self) -> tuple[str, ...]:
        """The services whose replicas it may hit; none for all, `nats` for what hits no replica."""
        ...

    async def strike(self, theatre: "Theatre", chance: Random) -> None:
        """Do the harm, and undo it: returns when what was harmed is started or healed again, not when all is settled.

        Whatever is chosen is drawn from `chance` alone, so that a seed means one round, and the replica first, by
        `theatre.any_replica(chance, *self.services)`. What is harmed is held meanwhile: `theatre.alone(replica)`.
        Raise Missed if there was nothing to harm.
        """
        ...


class Missed(Exception):  # noqa: N818  named by what it means for the caller
    """The harm was not done; the message says why. Such a strike is counted apart and proves nothing."""
