"""Events that the stream removes while they are out for delivery: an advisory tells of each.

The advisories are plain messages, so they reach who is connected, and the replicas share them: one of them counts each.
"""

from typing import Final

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from choregos_ambassador.bus import Bus

_REASONS: Final = ("Message deleted by stream limits", "Unacknowledged message was deleted")
"""The second from nats-server 2.14 on."""


class _Advisory(msgspec.Struct):
    stream_seq: int = 0
    reason: str = ""


class Removals:
    """Listens to the advisories about one durable."""

    def __init__(self, bus: Bus, stream: str, durable: str) -> None:
        self._bus = bus
        self._subject = f"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{stream}.{durable}"
        self._durable = durable
        self._sequences: list[int] = []
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Listen; the bus is connected."""
        self._subscription = await self._bus.client.subscribe(self._subject, queue=self._durable, cb=self._told)

    async def stop(self) -> None:
        """Listen no more."""
        if self._subscription is not None and not self._bus.client.is_closed:
            await self._subscription.unsubscribe()

    def take(self) -> list[int]:
        """Return the sequences of events that were removed since this was last asked, in order."""
        taken, self._sequences = sorted(self._sequences), []
        return taken

    async def _told(self, message: Msg) -> None:
        try:
            advisory = msgspec.json.decode(message.data, type=_Advisory)
        except msgspec.DecodeError:
            return  # not from the server: anybody may publish on that subject
        if advisory.reason in _REASONS:
            self._sequences.append(advisory.stream_seq)
