"""Finds derived ids in slices of a stream, and reads each slice once however many events ask for something in it.

After a long outage thousands of events come back that are older than the duplicate window, and each must look whether its
replies are stored. What was read for one is remembered for the next, which has to read no more than came since. What is
remembered only says where to look: the last word has the stream's leader, who is asked in every look, after it has begun.
"""

import asyncio
import time
from collections.abc import Collection
from typing import Final

from choregos_ambassador import message_get, slice_get
from choregos_ambassador.bus import Bus
from choregos_ambassador.message_get import Message
from choregos_ambassador.seen import Seen
from choregos_ambassador.storing import BusFault

MOST: Final = 200_000
"""Ids that are remembered, of all slices: 6 MB."""
STEPS: Final = 3
"""Messages that are read one by one before many are read at once."""
TRIES: Final = 5
"""How often a slice is read anew because something that was found in it was removed meanwhile."""
ALONE: Final = 60.0
"""Seconds for which only the leader is asked where nobody else has told: the server is too old, say, or does not permit it."""

Place = tuple[str, str, str]
"""A stream, its creation time, and the subjects of the slice."""


class _Reading(Seen):
    """A slice that one look at a time reads on in."""

    def __init__(self, begin: int) -> None:
        super().__init__(begin)
        self.lock = asyncio.Lock()


class Slices:
    """The slices that were read of late, of all streams. What is asked for least goes first."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._readings: dict[Place, _Reading] = {}
        self._alone_until = 0.0
        bus.on_connected.append(self._ask_again)

    async def find(self, place: Place, after: int, ids: Collection[str]) -> dict[str, Message]:
        """Return which of these derived ids the slice holds after a sequence, each with its first message; raises BusFault."""
        for _ in range(TRIES):
            reading = self._reading(place, after)
            async with reading.lock:
                sequences = await self._sequences(reading, place, after, ids)
            self._forget()
            found = {each: await self._message(place, sequence, each) for each, sequence in sequences.items()}
            there = {each: message for each, message in found.items() if message}
            if len(there) == len(found):
                return there
            self._readings.pop(place, None)  # one of them was removed since
        raise BusFault(f"events are removed from {place[0]} while it is read")

    def _reading(self, place: Place, after: int) -> _Reading:
        reading = self._readings.pop(place, None)
        if reading is None or not reading.begin <= after <= reading.end:
            reading = _Reading(after)
        self._readings[place] = reading
        return reading

    async def _sequences(self, reading: Seen, place: Place, after: int, ids: Collection[str]) -> dict[str, int]:
        """Read on until all are found, or the leader has no more; what a replica tells at once need not be asked for."""
        steps, quick = 0, True
        while True:
            found = {each: sequence for each in ids if (sequence := reading.find(each, after)) is not None}
            if len(found) == len(ids):
                return found
            message = await message_get.next_one(self._bus, place[0], place[2], reading.end + 1)
            if message is None:
                return found
            reading.note(message.seq, message.header("ce-id") or "")
            steps += 1
            if quick and steps % STEPS == 0:
                quick = await self._read_many(reading, place)

    async def _read_many(self, reading: Seen, place: Place) -> bool:
        """Say whether that was of use."""
        if time.monotonic() < self._alone_until:
            return False
        told = await slice_get.read(self._bus, place[0], place[2], reading.end + 1)
        if told is None:
            self._alone_until = time.monotonic() + ALONE
        for sequence, event_id in told or ():
            reading.note(sequence, event_id)
        return bool(told)

    async def _message(self, place: Place, sequence: int, event_id: str) -> Message | None:
        message = await message_get.next_one(self._bus, place[0], place[2], sequence)
        there = message and message.seq == sequence and message.header("ce-id") == event_id
        return message if there else None

    def _ask_again(self) -> None:
        self._alone_until = 0.0

    def _forget(self) -> None:
        kept = sum(map(len, self._readings.values()))
        while kept > MOST:
            kept -= len(self._readings.pop(next(iter(self._readings))))
