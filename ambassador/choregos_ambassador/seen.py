"""What was read of a slice of a stream: which derived ids stand there, and where. Pure, and small: 30 bytes for each."""

from array import array
from bisect import bisect_right
from typing import Final

_SIZE: Final = 22
"""Characters of a derived id; nobody asks for others."""


class Seen:
    """The slice after sequence `begin`, up to and with `end`. Messages are noted in the order of their sequences."""

    def __init__(self, begin: int) -> None:
        self.begin = self.end = begin
        self._ids = bytearray()
        self._sequences = array("Q")

    def __len__(self) -> int:
        """Ids kept."""
        return len(self._sequences)

    def note(self, sequence: int, event_id: str) -> None:
        """Note the next message of the slice."""
        assert sequence > self.end
        self.end = sequence
        name = event_id.encode(errors="surrogatepass")
        if len(name) == _SIZE:
            self._ids += name
            self._sequences.append(sequence)

    def find(self, event_id: str, after: int) -> int | None:
        """Return the sequence of the first message with this id after a sequence, or None."""
        name = event_id.encode()
        place = self._ids.find(name, bisect_right(self._sequences, after) * _SIZE)
        while place % _SIZE and place >= 0:
            place = self._ids.find(name, place + 1)
        return None if place < 0 else self._sequences[place // _SIZE]
