"""The page of the wire: names, subjects, ids, with test vectors."""

from zlib import crc32

from choregos_contract import ids
from choregos_contract.event import Event
from choregos_contract.event_bus import EventBusSpec
from choregos_contract.names import BusNames, token
from choregos_contract.quantities import format_duration
from choregos_contract.wiring import ACK_WAIT, wanted
from reference_pages.markdown import code, page, table
from reference_pages.samples import NAMES, WITH_INBOX

_IDS = ("order-77", "customer-5", "0192f0c4-7b6a-7c3e-8a4b-5d6e7f808182", "Zürich", "")
_VECTORS = (
    ("event record: source, id", ("event", "/shop/shop", "o-1")),
    (
        "reply id: parent source, parent id, service, event, index",
        ("reply", "/shop/shop", "o-1", "payment", "OrderPlaced", "0"),
    ),
    ("failure id: the index is `failure`", ("reply", "/shop/shop", "o-1", "payment", "OrderPlaced", ids.FAILURE)),
    ("keyed event id: service, event, `Idempotency-Key`", ("key", "shop", "OrderPlaced", "cart-9")),
    (
        "dead letter record: stream, its creation time, sequence, service",
        ("dead-letter", NAMES.event_stream, "2026-01-02T03:04:05.678901234Z", "4711", "payment"),
    ),
    (
        "key in the inbox: creation time of the event stream, service, event, source, id, empty (or a redrive's `Nats-Msg-Id`)",
        ("inbox", "2026-01-02T03:04:05.678901234Z", "payment", "OrderPlaced", "/shop/shop", "o-1", ""),
    ),
)


def wire() -> str:
    """Return the page."""
    _check_vectors()
    return page(
        "The wire",
        """
What stands on the bus, for tools that read it and for whoever ports a part of this to another language. Whoever *writes* to it
goes through an ambassador's [publish API](ports.md): that is the only way in that keeps the promises.""",
        "## Names",
        f"For the bus `{NAMES.bus}` of the namespace `{NAMES.namespace}` with the prefix `{NAMES.prefix}`:",
        _names(NAMES),
        """
A name that holds anything but letters, digits, `_` and `-` is percent-encoded in a subject or durable, byte by byte:""",
        table(
            ("event type", "token"),
            ((code(name), code(token(name))) for name in ("OrderPlaced", "order.placed", "Café")),
        ),
        "## Partition and shard",
        f"""
Both are CRC-32 (IEEE 802.3, as in zlib) of the UTF-8 of a text, modulo {NAMES.partitions} and {NAMES.shards} unless the
`EventBus` says otherwise. The shard is that of the correlation id, so one transaction lies in one slice of the stream. The
partition is that of the attribute `partitionkey`, otherwise of the correlation id. Test vectors:""",
        _moduli(),
        "## Derived ids",
        """
A derived id is the first 128 bits of the SHA-256 of its parts, joined by NUL, in base64url without padding: 22 characters. The
first part is the kind. Test vectors:""",
        table(
            ("id", "parts", "derived"),
            ((name, ", ".join(map(code, parts)), code(ids.derive(*parts))) for name, parts in _VECTORS),
        ),
        "A reply's record (`Nats-Msg-Id`) is derived from its id alone (kind `reply-record`); [decision 3]"
        "(../decisions/0003-replies-are-recorded-by-their-derived-id.md) says why.",
        "## Streams and durables",
        "As `choregos up` makes them for a bus that has no `EventBus`. What the server's version does not know is left out. The "
        "inbox is there once a reaction has `idempotency`, here one with `ttl: 1d`.",
        _streams(),
        f"""
Every reaction is one durable pull consumer: explicit acknowledgement, `ack_wait` {format_duration(ACK_WAIT)}, `max_deliver` -1,
`max_ack_pending` of the reaction's `maxInFlight`, and owner, service, event, start and creation time in its metadata. NATS 2.10
or later is needed; 2.12 or later stores several replies as one atomic batch. The headers are [listed here](headers.md).""",
    )


def _names(names: BusNames) -> str:
    event = Event({"id": "o-1", "correlationid": "order-77", "partitionkey": "customer-5", "type": "OrderPlaced"})
    rows = (
        ("stream of events", names.event_stream),
        ("stream of dead letters", names.dead_letter_stream),
        ("key-value bucket of the ambassadors' notes", names.note_bucket),
        ("key-value bucket of the inbox", names.inbox_bucket),
        (
            "subject of an event: type, partition, shard",
            names.event_subject(event.type, event.correlation_id, event.partition_key),
        ),
        (
            "subject of a dead letter: service, type, shard",
            names.dead_letter_subject("payment", event.type, names.shard("order-77")),
        ),
        (
            "subject of an event redriven to one reaction (reserved)",
            names.redrive_subject("payment", event.type, "order-77"),
        ),
        ("durable of a reaction", names.durable("payment", event.type)),
        ("what it reads", "`, `".join(names.durable_filters("payment", event.type))),
        ("where a transaction is found", names.transaction_filter("order-77")),
    )
    return table(("what", "name"), ((what, code(name)) for what, name in rows))


def _moduli() -> str:
    return table(
        ("text", "CRC-32", "partition", "shard"),
        (
            (
                code(text) if text else "(empty)",
                f"`{crc32(text.encode()):08x}`",
                str(NAMES.partition(text)),
                str(NAMES.shard(text)),
            )
            for text in _IDS
        ),
    )


def _streams() -> str:
    configs = [stream.to_config("2.12.0") for stream in wanted([WITH_INBOX], None, NAMES.namespace).streams]
    fields = [field for field in configs[0] if field not in ("name", "metadata")]
    fields += [field for config in configs for field in config if field not in (*fields, "name", "metadata")]
    rows = (
        (code(field), *(_spelled(field, config.get(field)) for config in configs)) for field in dict.fromkeys(fields)
    )
    assert EventBusSpec()
    return table(("", *(code(config["name"]) for config in configs)), rows)


def _spelled(field: str, value: object) -> str:
    if value is None:
        return ""
    if field in ("max_age", "duplicate_window"):
        assert isinstance(value, int)
        return format_duration(value / 1e9)
    if isinstance(value, list):
        return ", ".join(map(code, value))
    return code(str(value).lower() if isinstance(value, bool) else value)


def _check_vectors() -> None:
    """See to it that the parts on the page are those that the named functions take."""
    named = (
        ids.event_record("/shop/shop", "o-1"),
        ids.reply_id("/shop/shop", "o-1", "payment", "OrderPlaced", 0),
        ids.reply_id("/shop/shop", "o-1", "payment", "OrderPlaced", ids.FAILURE),
        ids.keyed_event_id("shop", "OrderPlaced", "cart-9"),
        ids.dead_letter_record(NAMES.event_stream, "2026-01-02T03:04:05.678901234Z", 4711, "payment"),
        ids.inbox_key("2026-01-02T03:04:05.678901234Z", "payment", "OrderPlaced", "/shop/shop", "o-1"),
    )
    assert named == tuple(ids.derive(*parts) for _, parts in _VECTORS)
