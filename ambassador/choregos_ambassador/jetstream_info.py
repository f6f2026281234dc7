"""What JetStream says of a stream and of a durable, as far as we ask, and the numbers of its errors."""

from datetime import datetime
from typing import Final

import msgspec

NO_CONSUMER: Final = 10014
NO_MESSAGE: Final = 10037
NO_STREAM: Final = 10059


class Error(msgspec.Struct):
    """Why there is no such information."""

    err_code: int = 0
    description: str = ""


class Info(msgspec.Struct):
    """What every information has. `ts`: the server's time."""

    created: str = ""
    ts: datetime | None = None
    error: Error | None = None


class Sequences(msgspec.Struct):
    """A position: counted in deliveries of the durable, and in messages of the stream."""

    consumer_seq: int = 0
    stream_seq: int = 0


class DurableInfo(Info):
    """`$JS.API.CONSUMER.INFO`, and the answer to the creation of a consumer."""

    delivered: Sequences = msgspec.field(default_factory=Sequences)
    ack_floor: Sequences = msgspec.field(default_factory=Sequences)
    num_pending: int = 0
    num_ack_pending: int = 0


class StreamConfig(msgspec.Struct):
    """`max_age` in nanoseconds, 0 for none; `max_bytes` -1 for any."""

    max_age: int = 0
    max_bytes: int = -1


class StreamState(msgspec.Struct):
    """Which messages there are."""

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    first_ts: datetime | None = None
    last_seq: int = 0
    num_deleted: int = 0


class StreamInfo(Info):
    """`$JS.API.STREAM.INFO`."""

    config: StreamConfig = msgspec.field(default_factory=StreamConfig)
    state: StreamState = msgspec.field(default_factory=StreamState)
