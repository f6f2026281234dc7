"""The client's side of an ambassador's publish API: one request, and what its answer amounts to.

The request goes straight to the address given: no proxy from the environment, no redirect followed.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from choregos_cli.errors import CommandError, MisuseError, RefusedError, UnreachableError

DEFAULT_URL: Final = "http://127.0.0.1:9480"
PATIENCE_SECONDS: Final = 30.0
_LONGEST_ANSWER: Final = 2**20


class _Answer(NamedTuple):
    status: int
    retry_after: str | None
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The body's JSON object, or an empty one."""
        try:
            read = json.loads(self.body)
        except ValueError:
            return {}
        return read if isinstance(read, dict) else {}

    @property
    def explanation(self) -> str:
        """What the answer says about itself, on one line."""
        text = str(self.fields.get("error") or self.body.decode(errors="replace"))
        return " ".join(text.split())[:600] or "no reason is given"


class Stored(NamedTuple):
    """The bus's acknowledgement of an event."""

    id: str
    correlation_id: str
    duplicate: bool
    """True if the stream had the event already."""


def post(to: str, path: str, event: str, headers: Mapping[str, str], body: bytes) -> Stored:
    """Send one request and return the acknowledgement; raises CommandError for everything else."""
    url = _address(to)
    answer = _exchange(url, path, headers, body)
    if answer.status != 201:
        raise _refusal(event, url, answer)
    try:
        fields = answer.fields
        return Stored(str(fields["id"]), str(fields["correlationId"]), bool(fields.get("duplicate")))
    except KeyError as error:
        raise _no_publish_api(url, f"201 without {error}") from error


def _address(text: str) -> SplitResult:
    url = urlsplit(text)
    try:
        usable = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        usable = False
    if not usable or url.query or url.fragment:
        raise MisuseError(f"{text!r} is no address of a publish API", f"give one such as {DEFAULT_URL} to --to")
    return url


def _exchange(url: SplitResult, path: str, headers: Mapping[str, str], body: bytes) -> _Answer:
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=PATIENCE_SECONDS)
    try:
        # Who refuses a large body may answer, and close, before all of it is sent.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", url.path.rstrip("/") + path, body, dict(headers))
        response = connection.getresponse()
        return _Answer(response.status, response.getheader("Retry-After"), response.read(_LONGEST_ANSWER))
    except ConnectionRefusedError as error:
        hint = "start it (`choregos up` prints the addresses), or name another one with --to"
        raise UnreachableError(f"nothing listens on {url.geturl()}", hint) from error
    except TimeoutError as error:
        what = f"{url.geturl()} did not answer within {PATIENCE_SECONDS:.0f} s; the event may be stored or not"
        raise UnreachableError(what, "send it again with the same --idempotency-key: it is stored once") from error
    except HTTPException as error:
        raise _no_publish_api(url, type(error).__name__) from error
    except OSError as error:
        raise UnreachableError(f"cannot reach {url.geturl()}: {error.strerror or error}", "check --to") from error
    finally:
        connection.close()


def _refusal(event: str, url: SplitResult, answer: _Answer) -> CommandError:
    """Return the error that an answer other than 201 amounts to."""
    why = answer.explanation
    match answer.status:
        case 400:
            return RefusedError(f"{event} was refused as malformed: {why}", "mend the data, or the ids")
        case 403:
            hint = (
                f"list {event} in the `emits` of that service, or publish through the ambassador of one that emits it"
            )
            return RefusedError(f"the service behind {url.geturl()} does not emit {event}: {why}", hint)
        case 413:
            return RefusedError(f"{event} is too large: {why}", "send a reference to the data instead")
        case 503:
            soon = f"in {answer.retry_after} s" if answer.retry_after else "in a moment"
            return UnreachableError(f"{event} cannot be stored now: {why}", f"publish it again {soon}")
    return _no_publish_api(url, f"status {answer.status}: {why}")


def _no_publish_api(url: SplitResult, reason: str) -> UnreachableError:
    what = f"{url.geturl()} does not answer as a publish API does ({reason})"
    return UnreachableError(what, "give --to the publish address of an ambassador, not of a service")
