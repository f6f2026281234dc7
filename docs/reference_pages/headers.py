"""The page of headers: of the request to the service, of its answer, of an event on the bus."""

from choregos_ambassador import admission, records, replies, request
from choregos_contract.event import Event
from choregos_contract.ids import event_record
from reference_pages.markdown import code, explained, page, table
from reference_pages.samples import ANSWER, NAMES, NOW, PARENT, ROLE, TRACE

_REQUEST = {
    "host": "the service's address: `127.0.0.1` and the reaction's port",
    "user-agent": "",
    "prefer": "says that the answer is read: `reply`",
    "content-type": "media type of the data; the attribute `datacontenttype`",
    "content-length": "",
    "ce-*": "every attribute of the event, percent-encoded as the CloudEvents HTTP binding says; the table below has them",
    "x-correlation-id": "the correlation id, for services that know no CloudEvents",
    "idempotency-key": "the same for every delivery of this event to anybody; derived from its source and id",
    "choregos-attempt": "counts the deliveries of this event to this reaction from 1; an upper bound of attempts",
    "traceparent": "W3C Trace Context, where the event has one",
    "tracestate": "the same",
}
_BUS = {
    "ce-specversion": "`1.0`",
    "ce-id": "unique with `source`. Of a reply: derived from its parent, so that a hop done twice stores it once",
    "ce-source": "who produced it: `/<namespace>/<service>` unless a CloudEvent says otherwise",
    "ce-type": "the event's name; it must be the one in the subject",
    "ce-time": "when it happened, or was stored if nobody said; RFC 3339",
    "ce-datacontenttype": "media type of the data",
    "ce-dataschema": "what the producer gave",
    "ce-correlationid": "the transaction",
    "ce-causationid": "`id` of the event that caused it; an event that begins a transaction has none",
    "ce-choregoshops": "hops that led to it: 0 for a published one; above 64 it is a dead letter",
    "ce-partitionkey": "what orders it; a reply inherits its parent's",
    "ce-replyid": "the `id` that the service gave to its reply",
    "ce-choregosreason": "why delivery finally failed, as in the dead letter",
    "ce-choregosreaction": "whose delivery failed: `<service>/<event>`",
    "ce-traceparent": "W3C Trace Context (extension Distributed Tracing); a reply inherits its parent's unless it has its own",
    "ce-tracestate": "the same",
    "Nats-Msg-Id": "what the stream knows a second copy by, within `duplicateWindow`",
    "Choregos-Wire": "version of this format: `1`. Another one is handed back and reported",
}


def headers() -> str:
    """Return the page."""
    opening, head = request.opening(ROLE, "127.0.0.1"), request.head
    sent = head(opening, PARENT, 1).decode().strip().replace("\r\n", "\n")
    names = [line.partition(":")[0] for line in sent.splitlines()[1:]]
    asked = ["ce-*" if name.startswith("ce-") else name for name in names]
    return page(
        "Headers",
        "## What a request to the service carries",
        f"```http\n{sent}\n\n{PARENT.data.decode()}\n```",
        table(("header", "meaning"), ((code(name), text) for name, text in explained(asked, _REQUEST) if text)),
        "The body is the event's data, byte for byte. Extensions that nobody here knows pass through.",
        "## What the service may answer",
        table(
            ("header", "meaning"),
            (
                ("`ce-specversion`, `ce-type`, ...", "the answer is a CloudEvent in binary mode: the next hop"),
                (
                    "`content-type: application/cloudevents+json`, `application/cloudevents-batch+json`",
                    "the answer is one in structured mode, or a batch",
                ),
                ("`retry-after`", "seconds or a date: the retry waits at least so long, up to `backoffMax`"),
                ("`choregos-verdict`", "`ack`, `retry` or `reject`: has the last word over the status"),
                ("`content-encoding`", "none is asked for; an event in a compressed body is an invalid reply"),
            ),
        ),
        """
No other header of an answer decides anything, and none is copied to the bus. How the answer is judged: [the verdict
table](verdicts.md). How to write one: [Answer with an event](../guides/answer-with-an-event.md).""",
        "## What an event carries on the bus",
        """
CloudEvents 1.0, NATS binding, binary mode; structured mode is read, too. The payload is the data, byte for byte. `yes`: the
ambassador sets it; `kept`: it stands there if the producer, the service or the parent gave it.""",
        _on_the_bus(),
        """
Attributes that are not listed pass through from hop to hop only if the service puts them into its reply. The headers of a
dead letter have [their own page](dead-letters.md).""",
    )


def _on_the_bus() -> str:
    given = Event({name: value for name, value in PARENT.attributes.items() if name != "choregoshops"}, PARENT.data)
    body = [(f"ce-{name}", value) for name, value in given.attributes.items()]
    (published,), _ = admission.events(body, given.data)
    bare = admission.event("OrderPlaced", [], b"{}", ROLE.configuration)
    orphan = Event({"specversion": "1.0", "id": "o-1", "source": "/s", "type": "OrderPlaced"})
    extended = {**replies.read(ANSWER, ROLE.reaction)[0].attributes, "dataschema": "x"}
    columns = [
        (_written(bare), _written(published)),
        (_reply(orphan, {"type": "PaymentTaken", "datacontenttype": "x"}), _reply(PARENT, extended)),
        (_failure(orphan), _failure(PARENT)),
    ]
    names = [name for _, most in columns for name in most]
    order = list(_BUS)
    rows = explained(sorted(names, key=lambda name: order.index(name) if name in order else len(order)), _BUS)
    assert TRACE.keys() <= PARENT.attributes.keys()
    return table(
        ("header", "published", "reply", "`onFailure`", "meaning"),
        ((code(name), *(_mark(name, *each) for each in columns), text) for name, text in rows),
    )


def _mark(name: str, least: set[str], most: set[str]) -> str:
    return "yes" if name in least else "kept" if name in most else ""


def _written(event: Event) -> set[str]:
    return set(records.of_event(event, NAMES, event_record(event.source, event.id)).headers)


def _reply(parent: Event, attributes: dict[str, str]) -> set[str]:
    (hop,) = replies.next_hops(parent, [Event(attributes)], ROLE, NOW)
    return set(records.of_reply(hop, NAMES).headers)


def _failure(parent: Event) -> set[str]:
    failure = replies.failure(parent, "exhausted", ROLE, NOW)
    assert failure
    return set(records.of_reply(failure, NAMES).headers)
