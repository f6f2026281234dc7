"""`choregos publish EVENT`: give an event to an ambassador's publish API, and wait until it is stored."""

import re
from typing import Annotated, Final
from urllib.parse import quote

import orjson
import typer
from rich.text import Text

from choregos_cli.console import output, print_json, printable
from choregos_cli.errors import ExitCode, MisuseError
from choregos_cli.given_data import given_data
from choregos_cli.publish_client import DEFAULT_URL, Stored, post
from choregos_contract.cloudevents_http import encode_binary, encode_value
from choregos_contract.event import NotAnEvent, checked, is_json
from choregos_contract.ids import uuid7
from choregos_contract.resources import EVENT_NAME

SOURCE: Final = "/choregos/publish"
"""Source of an event that this command builds itself, because its data is not JSON."""


def command(
    event: Annotated[str, typer.Argument(help="Name of the event, such as OrderPlaced.", metavar="EVENT")],
    *,
    data: Annotated[
        str, typer.Option("--data", "-d", help="The event's data: the text itself, `-` for stdin, or `@FILE`.")
    ] = "{}",
    to: Annotated[
        str, typer.Option(envvar="CHOREGOS_PUBLISH_URL", help="Address of the ambassador's publish API.")
    ] = DEFAULT_URL,
    correlation_id: Annotated[
        str | None, typer.Option(help="Join the event to this transaction; otherwise it begins a new one.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key makes every repetition the same event, stored once.")
    ] = None,
    content_type: Annotated[str, typer.Option(help="Media type of the data.")] = "application/json",
    json_: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> int:
    """Publish one event through an ambassador.

    Answers once the event is stored. Exit code 1: the event was refused; 3: nobody took it, and the same command may
    succeed later.
    """
    if not re.fullmatch(EVENT_NAME, event):
        raise MisuseError(f"{event!r} is no event name", "write it as the choreography does, such as OrderPlaced")
    for option, value in (("--content-type", content_type), ("--idempotency-key", idempotency_key)):
        if value is not None and not (value.isascii() and value.isprintable() and value.strip()):
            raise MisuseError(f"{option} {value!r} cannot be sent in a header", "use visible ASCII characters")
    body = _body(data, content_type)
    if is_json(content_type):
        given = {
            "Content-Type": content_type,
            "Idempotency-Key": idempotency_key,
            "X-Correlation-ID": encode_value(correlation_id) if correlation_id else None,
        }
        headers = {name: value for name, value in given.items() if value is not None}
        stored = post(to, f"/events/{quote(event)}", event, headers, body)
    else:
        headers = _cloudevent(event, body, content_type, correlation_id, idempotency_key)
        stored = post(to, "/events", event, headers, body)
    _show(event, stored, as_json=json_)
    return ExitCode.FINE


def _body(data: str, content_type: str) -> bytes:
    """Return the bytes to send; data that calls itself JSON has to be JSON, or nothing."""
    where = {"-": "stdin"}.get(data, data[1:] if data.startswith("@") else "--data")
    body = given_data(data)
    if body and is_json(content_type):
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError as error:
            hint = "mend it, or name another --content-type"
            raise MisuseError(f"{where} is no JSON: {error}", hint) from error
    return body


def _cloudevent(event: str, body: bytes, content_type: str, correlation: str | None, key: str | None) -> dict[str, str]:
    """Return the headers of a CloudEvent in binary mode; the plain way in takes JSON only."""
    attributes = {
        "specversion": "1.0",
        "id": key or uuid7(),
        "source": SOURCE,
        "type": event,
        "datacontenttype": content_type,
    }
    try:
        built = checked(attributes | ({"correlationid": correlation} if correlation else {}), body)
    except NotAnEvent as error:
        raise MisuseError(f"{event} cannot be an event: {error}", "mend the ids or the media type") from error
    return dict(encode_binary(built))


def _show(event: str, stored: Stored, *, as_json: bool) -> None:
    if as_json:
        ids = {"id": stored.id, "correlationId": stored.correlation_id}
        print_json({"event": event, **ids, "duplicate": stored.duplicate})
        return
    console = output()
    already = ", which the stream had already" if stored.duplicate else ""
    console.print(Text.assemble(("published", "green"), f" {event}{already}"))
    console.print(Text(f"  id              {printable(stored.id)}"))
    console.print(Text(f"  correlation id  {printable(stored.correlation_id)}"))
