"""Which ambassadors run, asked over the operator's connection."""

from choregos_contract.names import BusNames
from choregos_contract.running import SUBJECT, RunningAmbassador, read_answers
from choregos_operator.bus.asker import Asks


async def ambassadors(asker: Asks, names: BusNames, *, max_age: float = 0.0) -> tuple[RunningAmbassador, ...]:
    """Return the ambassadors of a bus that answered, by service and pod; raises BusAway.

    Every ambassador of the NATS account answers each question: with `max_age` (seconds), an answer to the question of
    another bus will do.
    """
    return read_answers(await asker.gather(SUBJECT, max_age=max_age), names)
