"""From a request to the publish API to the events in it: decoded, and given their place in a transaction. Pure."""

from collections.abc import Sequence

import msgspec

from choregos_ambassador.timestamps import rfc3339
from choregos_contract import cloudevents_http
from choregos_contract.cloudevents_json import BATCH_TYPE
from choregos_contract.configuration import Configuration
from choregos_contract.event import Event, NotAnEvent, checked, is_json
from choregos_contract.ids import derive, keyed_event_id, uuid7

Headers = Sequence[tuple[str, str]]

_document = msgspec.json.Decoder()
_CORRELATION_HEADERS = ("ce-correlationid", "x-correlation-id")


class Refusal(Exception):  # noqa: N818  named by what it means for the caller
    """A request that is not taken: the HTTP status, a body that says why, and when to come back (seconds)."""

    def __init__(self, status: int, error: str, *, retry_after: int | None = None, **more: object) -> None:
        super().__init__(error)
        self.status = status
        self.retry_after = retry_after
        self.body = {"error": error, **more}


def events(headers: Headers, body: bytes) -> tuple[list[Event], bool]:
    """Read `POST /events`: CloudEvents in any mode, and whether they came as a batch; raises Refusal."""
    _check_coding(headers)
    if not cloudevents_http.is_event(headers):
        raise Refusal(400, "this is no CloudEvent; plain JSON goes to /events/NAME-OF-THE-EVENT")
    try:
        decoded = cloudevents_http.decode(headers, body)
    except NotAnEvent as error:
        raise Refusal(400, str(error)) from error
    if not decoded:
        raise Refusal(400, "the batch is empty")
    essence = (_header(headers, "content-type") or "").partition(";")[0].strip().lower()
    return [_placed(event, headers) for event in decoded], essence == BATCH_TYPE


def event(event_type: str, headers: Headers, body: bytes, configuration: Configuration) -> Event:
    """Read `POST /events/NAME`: build the event around plain JSON; raises Refusal."""
    _check_coding(headers)
    if cloudevents_http.is_event(headers):
        raise Refusal(400, "this is a CloudEvent, with an id and a type of its own; it goes to /events")
    content_type = _header(headers, "content-type") or "application/json"
    if not is_json(content_type):
        raise Refusal(
            415, f"this takes JSON and got {content_type[:100]!r}; other data goes to /events as a CloudEvent"
        )
    if body:
        try:
            _document.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal(400, f"the body is not JSON: {error}") from error
    key = _header(headers, "idempotency-key") or None
    attributes = {
        "specversion": "1.0",
        "id": uuid7() if key is None else keyed_event_id(configuration.service, event_type, key),
        "source": configuration.source,
        "type": event_type,
        "datacontenttype": content_type,
    }
    try:
        built = checked(attributes, body)
    except NotAnEvent as error:
        raise Refusal(400, str(error)) from error
    return _placed(built, headers, keyed=key is not None)


def _check_coding(headers: Headers) -> None:
    """Refuse data that no service could read: an event has no attribute that would tell it the coding."""
    coding = (_header(headers, "content-encoding") or "identity").strip().lower()
    if coding != "identity":
        raise Refusal(415, f"the body is encoded ({coding[:20]!r}); send it as it is")


def _placed(event: Event, headers: Headers, *, keyed: bool = True) -> Event:
    """Give an event its time, its transaction and its trace, where the producer did not.

    An event whose id the producer chose may be sent twice, and must then come to the same transaction both times.
    """
    attributes = {"time": rfc3339(), **event.attributes}
    if not attributes.get("traceparent") and _trace_id(_header(headers, "traceparent")):
        trace = {name: _header(headers, name) for name in ("traceparent", "tracestate")}
        attributes |= {name: value for name, value in trace.items() if value}
    try:
        attributes["correlationid"] = (
            attributes.get("correlationid")
            or _correlation_header(headers)
            or _trace_id(attributes.get("traceparent"))
            or (derive("correlation", event.source, event.id) if keyed else uuid7())
        )
        attributes["choregoshops"] = str(event.hops)
        return checked(attributes, event.data)
    except NotAnEvent as error:
        raise Refusal(400, str(error)) from error


def _correlation_header(headers: Headers) -> str:
    values = (cloudevents_http.decode_value(_header(headers, name) or "") for name in _CORRELATION_HEADERS)
    return next((value for value in values if value), "")


def _trace_id(traceparent: str | None) -> str:
    """Return the trace id of a W3C `traceparent`, or nothing if it has none."""
    parts = (traceparent or "").split("-")
    if len(parts) < 4 or len(parts[1]) != 32 or not set(parts[1]) <= set("0123456789abcdef") or not parts[1].strip("0"):
        return ""
    return parts[1]


def _header(headers: Headers, name: str) -> str | None:
    return next((value for key, value in headers if key.lower() == name), None)
