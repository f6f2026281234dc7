"""Events as records of the event stream."""

from typing import Final

from choregos_ambassador.storing import Record
from choregos_contract import cloudevents_nats
from choregos_contract.event import Event
from choregos_contract.ids import reply_record
from choregos_contract.names import BusNames

WIRE_HEADER: Final = "Choregos-Wire"
WIRE_VERSION: Final = "1"


def of_event(event: Event, names: BusNames, message_id: str) -> Record:
    """Write an event in binary mode; `message_id` is what the stream knows a second copy by."""
    headers = cloudevents_nats.encode(event)
    headers["Nats-Msg-Id"] = message_id
    headers[WIRE_HEADER] = WIRE_VERSION
    return Record(names.event_subject(event.type, event.correlation_id, event.partition_key), headers, event.data)


def of_reply(reply: Event, names: BusNames) -> Record:
    """Write a reply, whose id is derived and so names its record."""
    return of_event(reply, names, reply_record(reply.id))
