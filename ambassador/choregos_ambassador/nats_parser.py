"""What a NATS server sends, cut into messages: those of our own subscriptions are handed over at once, and as bytes.

nats-py parses the headers of every message, puts it into a queue, and wakes a task that takes it out: half of what receiving
and acknowledging an event costs. To go when nats-py hands messages over without all that.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from choregos_ambassador.log import log

if TYPE_CHECKING:
    from nats.aio.client import Client

Receiver = Callable[[bytes, bytes, bytes, bytes], None]
"""Takes a message: its subject, its reply subject and its header block, which are empty if there is none, and its payload."""
_MSG, _HMSG = b"MH"


class MessageParser(Parser):
    """Parses what arrives, on one connection after the other. `receivers`: by the number of their subscription."""

    def __init__(self, client: "Client") -> None:
        self.receivers: dict[int, Receiver] = {}
        self._connection = 0
        super().__init__(client)

    def reset(self) -> None:
        """Forget a part of a message: its rest will not come, for the connection is another one."""
        super().reset()
        self._connection += 1
        self._parts: list[bytes] = []
        self._missing = 0
        self._of_others: list[tuple[int, bytes, bytes, bytes, bytes]] = []

    async def parse(self, data: bytes = b"") -> None:
        """Hand over every message that is whole, and keep what is not for the next call; raises ProtocolError."""
        if self._parts:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._parts)
        connection = self._connection
        begin = self._missing = 0
        while head := data.find(b"\r\n", begin) + 1:
            end = head + 1
            if data[begin] == _HMSG or data[begin] == _MSG:
                end = self._message(data, begin, end)
                if end > len(data):
                    self._missing = end - len(data)
                    break
            else:
                await super().parse(data[begin:end])
                if connection != self._connection:
                    return
            begin = end
        self._parts = [data[begin:]] if begin < len(data) else []
        while self._of_others:
            await self.nc._process_msg(*self._of_others.pop(0))

    def _message(self, data: bytes, begin: int, head: int) -> int:
        """Hand over the message whose line stands between `begin` and `head`, if it is whole; returns where it ends."""
        fields = data[begin:head].split()
        has_headers = data[begin] == _HMSG
        has_reply = len(fields) == 5 + has_headers
        try:
            number, size = int(fields[2]), int(fields[-1])
            payload = head + int(fields[-2]) if has_headers else head
        except (IndexError, ValueError):
            raise ProtocolError from None
        end = head + size
        if len(fields) != 4 + has_headers + has_reply or not head <= payload <= end:
            raise ProtocolError
        if end + 2 > len(data):
            return end + 2
        reply = fields[3] if has_reply else b""
        receive = self.receivers.get(number)
        if receive is None:
            self._of_others.append((number, fields[1], reply, data[payload:end], data[head:payload]))
            return end + 2
        try:
            receive(fields[1], reply, data[head:payload], data[payload:end])
        except Exception as error:  # noqa: BLE001  nobody else would tell, and the next message may go well
            log.error("bug", subject=fields[1].decode(errors="replace"), error=repr(error), exc_info=error)
        return end + 2
