"""How many events to ask for before there are slots for them, so that no slot stands empty while a pull is on its way.

That is as many as end during one pull: a service that takes a second for an event has none waiting here that another replica
could have, and one that takes a millisecond never waits for the network. Pure; the clock is an argument.
"""

from typing import Final

PROMPT: Final = 0.05
"""Seconds. A pull that takes longer waited for events: then there are none to be had ahead."""


class Lookahead:
    """Measures one pull after the other. What is asked for is delivered in the order in which it was asked for."""

    def __init__(self) -> None:
        self.events = 0
        """To ask for, beyond the free slots."""
        self._first: int | None = None
        self._ended = 0
        self._last = 0
        self._since = 0.0

    def pulled(self, asked: int, ended: int, now: float) -> None:
        """Take note of a pull. `asked`: places asked for before it, ever; `ended`: events that have come to their end, ever."""
        if self._first is None:
            self._first, self._ended, self._since = asked, ended, now

    def arrived(self, answered: int, ended: int, now: float, most: int) -> None:
        """Take note of an event. `answered`: places answered by now, ever; `most`: the greatest number to ask for."""
        if self._first is None or answered <= self._first:
            return
        self._first = None
        ended = min(ended - self._ended, most) if now - self._since <= PROMPT else 0
        # The least of two: events of a slow service that began together end together, and then none for long.
        self.events, self._last = min(ended, self._last), ended
