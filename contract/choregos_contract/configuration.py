"""The ambassador's configuration: one versioned JSON document, mounted beside it and reloaded while it runs.

The names in the document are stable within a version. An ambassador that meets an unknown version, or a document that
it cannot read, keeps the last good one and says so.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from choregos_contract.names import BusNames

VERSION = 1

CLAIM_SLACK = 5.0
"""Seconds by which a claim in the inbox outlasts the `timeout` of the call that it is for."""

Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Attempts = Annotated[int, Meta(ge=0)]


class ConfigurationError(ValueError):
    """The document cannot be used; the message says where and why."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How one reaction's events are delivered. Times in seconds."""

    timeout: Seconds = 30.0
    retry: Attempts = 5
    backoff_delay: Seconds = 2.0
    backoff_max: Seconds = 60.0
    concurrency: Count = 16
    max_in_flight: Count = 10_000
    reject: tuple[int, ...] = ()
    retry_on: tuple[int, ...] = ()
    max_reply_bytes: Count = 1 << 20


class Idempotency(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The inbox that keeps a reaction from being called twice for one event."""

    ttl: Seconds
    """How long the inbox remembers an event."""


class Reaction(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """On this event, POST there; it may emit these."""

    event: str
    port: Port
    path: str = "/"
    emits: tuple[str, ...] = ()
    on_success: str | None = None
    on_failure: str | None = None
    required: bool = False
    suspend: bool = False
    delivery: Delivery = Delivery()
    idempotency: Idempotency | UnsetType = UNSET
    """Left out of the document where there is none, so that an ambassador of before can read it."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Where to ask whether the service takes events: a path that answers 2xx, or, without one, a port that accepts."""

    port: Port
    path: str | None = None


class Configuration(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """All that one service's ambassador needs to know of the choreographies that the service takes part in."""

    version: int
    generation: int
    service: str
    bus: BusNames
    duplicate_window: Seconds = 600.0
    readiness: Readiness | None = None
    emits: tuple[str, ...] = ()
    reactions: tuple[Reaction, ...] = ()

    @property
    def source(self) -> str:
        """The `source` of events that the ambassador builds for this service."""
        return f"/{self.bus.namespace}/{self.service}"


class _Head(msgspec.Struct):
    version: int


def load(document: bytes) -> Configuration:
    """Read a configuration; raises ConfigurationError."""
    try:
        version = msgspec.json.decode(document, type=_Head).version
        if version != VERSION:
            raise ConfigurationError(f"version {version} is not known here; this ambassador reads version {VERSION}")
        return msgspec.json.decode(document, type=Configuration)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(str(error)) from None


def dump(configuration: Configuration) -> bytes:
    """Write a configuration so that `load` reads it back."""
    return msgspec.json.encode(configuration)
