"""Every name on the bus: streams, durables, subjects, and the two numbers in a subject.

All names of one bus begin with its prefix, so that two clusters can share a NATS account. `_` joins the parts of a
stream's name because no Kubernetes name may hold one, so two buses can never meet in one name. A name that would not
fit a subject token (an event type may hold dots) is percent-encoded.
"""

import re
from functools import lru_cache
from zlib import crc32

import msgspec

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


@lru_cache(maxsize=1024)
def token(name: str) -> str:
    """Encode a name as one subject token: every byte but letters, digits, `_` and `-` becomes `%XX`."""
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name)


class BusNames(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The identity of a bus, from which every name on it follows. All fields are immutable in the field."""

    namespace: str
    bus: str = "default"
    prefix: str = "choregos"
    partitions: int = 16
    shards: int = 256

    @property
    def root(self) -> str:
        """The tokens that every subject of this bus begins with."""
        return f"{self.prefix}.{self.namespace}.{self.bus}"

    @property
    def event_stream(self) -> str:
        """The stream of events and redriven events."""
        return f"{self.prefix}_{self.namespace}_{self.bus}_events"

    @property
    def dead_letter_stream(self) -> str:
        """The stream of dead letters."""
        return f"{self.prefix}_{self.namespace}_{self.bus}_dead-letters"

    @property
    def note_bucket(self) -> str:
        """The key-value bucket in which ambassadors note that they handed an event back in order."""
        return f"{self.prefix}_{self.namespace}_{self.bus}_notes"

    @property
    def inbox_bucket(self) -> str:
        """The key-value bucket in which ambassadors claim events, and remember what came of them."""
        return f"{self.prefix}_{self.namespace}_{self.bus}_inbox"

    @property
    def event_stream_subjects(self) -> tuple[str, ...]:
        """Exactly the subjects that events take; a malformed publish matches none and gets no acknowledgement."""
        return (f"{self.root}.ev.*.*.*", f"{self.root}.rd.*.*.*")

    @property
    def dead_letter_stream_subjects(self) -> tuple[str, ...]:
        """Exactly the subjects that dead letters take."""
        return (f"{self.root}.dl.*.*.*",)

    def partition(self, key: str) -> int:
        """CRC-32 (IEEE) of the key's UTF-8, modulo `partitions`. The key is `partitionkey`, else the correlation id."""
        return crc32(key.encode()) % self.partitions

    def shard(self, correlation_id: str) -> int:
        """CRC-32 (IEEE) of the correlation id's UTF-8, modulo `shards`: the slice that holds its transaction."""
        return crc32(correlation_id.encode()) % self.shards

    def event_subject(self, event_type: str, correlation_id: str, partition_key: str | None = None) -> str:
        """Where an event of that type and transaction is published."""
        partition = self.partition(correlation_id if partition_key is None else partition_key)
        return f"{self.root}.ev.{token(event_type)}.{partition}.{self.shard(correlation_id)}"

    def redrive_subject(self, service: str, event_type: str, correlation_id: str) -> str:
        """Where an event is published again for one reaction only."""
        return f"{self.root}.rd.{service}.{token(event_type)}.{self.shard(correlation_id)}"

    def dead_letter_subject(self, service: str, event_type: str, shard: int | str) -> str:
        """Where the dead letter of one reaction is published; the shard is the event's own."""
        return f"{self.root}.dl.{service}.{token(event_type)}.{shard}"

    def transaction_filter(self, correlation_id: str, event_type: str | None = None) -> str:
        """The slice of the event stream that holds a transaction's events, or those of one type, among others."""
        kind = "*" if event_type is None else token(event_type)
        return f"{self.root}.ev.{kind}.*.{self.shard(correlation_id)}"

    def durable(self, service: str, event_type: str) -> str:
        """The durable consumer of the reaction (service, event type)."""
        return f"{self.prefix}_{service}_{token(event_type)}"

    def durable_filters(self, service: str, event_type: str) -> tuple[str, ...]:
        """What a reaction's durable reads: the events of its type, and what is redriven to it alone."""
        encoded = token(event_type)
        return (f"{self.root}.ev.{encoded}.*.*", f"{self.root}.rd.{service}.{encoded}.*")

    def counters(self, service: str, event_type: str) -> tuple[str, ...]:
        """Consumers of a moment, one for each filter of a durable, by which the server counts; no event's name has a `~`."""
        return tuple(f"{self.durable(service, event_type)}~{kind}" for kind in ("ev", "rd"))

    def type_token(self, subject: str) -> str | None:
        """The encoded event type that a subject of this bus names, or None for a foreign subject."""
        parts = subject.split(".")
        if len(parts) != 7 or not subject.startswith(self.root + "."):
            return None
        return {"ev": parts[4], "rd": parts[5], "dl": parts[5]}.get(parts[3])
