"""What JetStream says of a stream and of a durable, as far as we ask."""

from datetime import datetime

import msgspec


class Error(msgspec.Struct):
    """Why there is no such information."""

    err_code: int = 0
    description: str = ""


class Sequences(msgspec.Struct):
    """A position: counted in deliveries of the durable, and in messages of the stream."""

    consumer_seq: int = 0
    stream_seq: int = 0


class DurableInfo(msgspec.Struct):
    """`$JS.API.CONSUMER.INFO`, and the answer to the creation of a consumer."""

    created: str = ""
    ts: datetime | None = None
    delivered: Sequences = msgspec.field(default_factory=Sequences)
    ack_floor: Sequences = msgspec.field(default_factory=Sequences)
    num_pending: int = 0
    num_ack_pending: int = 0
    error: Error | None = None


class StreamConfig(msgspec.Struct):
    """`max_age` in nanoseconds, 0 for none."""

    max_age: int = 0


class StreamState(msgspec.Struct):
    """Which messages there are."""

    first_seq: int = 0
    last_seq: int = 0
    num_deleted: int = 0


class StreamInfo(msgspec.Struct):
    """`$JS.API.STREAM.INFO`."""

    created: str = ""
    config: StreamConfig = msgspec.field(default_factory=StreamConfig)
    state: StreamState = msgspec.field(default_factory=StreamState)
    error: Error | None = None
