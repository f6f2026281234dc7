"""One event, one service and one reply, by which the pages show what the code makes of such."""

from typing import Final

from choregos_ambassador.answer import Answer
from choregos_ambassador.delivery import Delivery
from choregos_ambassador.role import Role
from choregos_contract import cloudevents_nats
from choregos_contract.configuration import VERSION, Configuration, Reaction
from choregos_contract.event import Event
from choregos_contract.names import BusNames
from choregos_contract.resources import Choreography

NAMES: Final = BusNames(namespace="shop")
NOW: Final = "2026-01-02T03:04:05.678Z"
TRACE: Final = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "vendor=1"}

REACTION: Final = Reaction(
    event="OrderPlaced",
    port=8080,
    path="/payments",
    emits=("PaymentTaken", "PaymentRefused"),
    on_failure="PaymentRefused",
)
ROLE: Final = Role(
    Configuration(
        version=VERSION,
        generation=1,
        service="payment",
        bus=NAMES,
        emits=("OrderPlaced",),
        reactions=(REACTION,),
    ),
    REACTION,
)

WITH_INBOX: Final = Choreography.model_validate(
    {
        "apiVersion": "choregos.dev/v1alpha1",
        "kind": "Choreography",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {
            "events": {"OrderPlaced": {"external": True}},
            "services": {"payment": {"reactions": [{"event": "OrderPlaced", "idempotency": {"ttl": "1d"}}]}},
        },
    }
)

PARENT: Final = Event(
    {
        "specversion": "1.0",
        "id": "o-1",
        "source": "/shop/shop",
        "type": "OrderPlaced",
        "time": NOW,
        "datacontenttype": "application/json",
        "dataschema": "https://shop.example/order.json",
        "correlationid": "order-77",
        "partitionkey": "customer-5",
        "choregoshops": "0",
        **TRACE,
    },
    b'{"id": "o-1", "total": 12}',
)

STRUCTURED: Final = b'{"specversion":"1.0","id":"p-1","source":"/payment","type":"PaymentTaken","data":{"order":"o-1"}}'
ANSWER: Final = Answer(200, (("content-type", "application/cloudevents+json"),), STRUCTURED)


def delivered(event: Event, number: int = 1) -> Delivery:
    """Return an event as JetStream would deliver it."""
    subject = NAMES.event_subject(event.type, event.correlation_id, event.partition_key)
    headers = cloudevents_nats.encode(event)
    stored = 1_767_323_045_678_000_000
    return Delivery(subject, headers, event.data, b"", number, 4711, stored, NAMES.event_stream)
