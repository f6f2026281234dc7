"""What `choregos invoke` prints: the request and the answer as they went over the wire, then the verdict."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from choregos_ambassador.answer import Answer, NoAnswer
from choregos_ambassador.role import Role
from choregos_ambassador.storing import Record
from choregos_cli.consequence import Consequence
from choregos_cli.console import printable
from choregos_contract.quantities import format_duration

_SHOWN: Final = 4096
"""Bytes of a body that are shown; a program gets all of it."""
_STYLES: Final = {"done": "green", "retry": "yellow", "hand-back": "yellow", "dead-letter": "red"}


@dataclass(frozen=True, slots=True)
class Report:
    """One attempt, and what follows from it."""

    role: Role
    attempt: int
    head: bytes
    body: bytes
    outcome: Answer | NoAnswer
    seconds: float
    follows: Consequence

    @property
    def request_lines(self) -> list[str]:
        """The head of the request, line by line."""
        return self.head.decode("latin-1").strip("\r\n").split("\r\n")


def show(report: Report, console: Console) -> None:
    """Print a report for people; `>` is the request, `<` the answer."""
    for line in (*report.request_lines, "", *_body(report.body)):
        console.print(Text(printable(f"> {line}".rstrip()), style="dim"))
    console.print()
    for line in _answer(report):
        console.print(Text(printable(f"< {line}".rstrip())))
    console.print()
    verdict, *details = _verdict(report)
    console.print(Text(printable(verdict), style=f"bold {_STYLES[report.follows.verdict]}"))
    for line in details:
        console.print(Text(printable(f"  {line}".rstrip())))


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as one JSON object; times are in seconds."""
    follows, outcome = report.follows, report.outcome
    first, *headers = report.request_lines
    return {
        "service": report.role.service,
        "event": report.role.event,
        "attempt": report.attempt,
        "request": {"line": first, "headers": [line.split(": ", 1) for line in headers]} | _body_as_json(report.body),
        "answer": {"status": outcome.status, "headers": [list(header) for header in outcome.headers]}
        | _body_as_json(outcome.body)
        if isinstance(outcome, Answer)
        else None,
        "duration": round(report.seconds, 6),
        "verdict": follows.verdict,
        "status": follows.status,
        "reason": follows.reason,
        "error": follows.error,
        "wait": follows.wait._asdict() if follows.wait else None,
        "stored": [
            {"subject": record.subject, "headers": dict(record.headers)} | _body_as_json(record.payload)
            for record in follows.stored
        ],
    }


def _answer(report: Report) -> Iterator[str]:
    outcome = report.outcome
    if isinstance(outcome, NoAnswer):
        yield f"no answer: {report.follows.error}"
        return
    known = outcome.status in {status.value for status in HTTPStatus}
    phrase = f" {HTTPStatus(outcome.status).phrase}" if known else ""
    yield f"{outcome.status}{phrase}, after {report.seconds * 1000:.0f} ms"
    yield from (f"{name}: {value}" for name, value in outcome.headers)
    yield ""
    yield from ["(not read to its end)"] if outcome.truncated else _body(outcome.body)


def _verdict(report: Report) -> Iterator[str]:
    """Yield the verdict, then what goes with it."""
    follows, role = report.follows, report.role
    if follows.verdict == "done":
        yield f"done: {_counted(follows.stored)}"
    elif follows.verdict == "hand-back":
        yield "hand-back: this is no attempt; the event would come again"
    elif follows.verdict == "retry":
        assert follows.wait
        shortest, longest = map(format_duration, follows.wait)
        span = f"after {longest}" if shortest == longest else f"between {shortest} and {longest} later"
        yield f"retry: attempt {report.attempt + 1} of {role.delivery.retry + 1} would come {span}"
    else:
        beside = f", and beside it {_counted(follows.stored)}" if follows.stored else ""
        yield f"dead letter, reason {follows.reason}{beside}"
    if follows.error and follows.verdict != "hand-back":
        yield follows.error
    for record in follows.stored:
        yield ""
        yield record.subject
        yield from (f"{name}: {value}" for name, value in record.headers.items())
        yield ""
        yield from _body(record.payload)


def _counted(stored: Iterable[Record]) -> str:
    types = [record.headers["ce-type"] for record in stored]
    return f"{', '.join(types)} would be stored" if types else "no event follows"


def _body(body: bytes) -> Iterator[str]:
    text = _text(body[:_SHOWN], errors="replace") or ""
    yield from text.splitlines()
    if len(body) > _SHOWN:
        yield f"... ({len(body)} bytes in all)"


def _body_as_json(body: bytes) -> dict[str, str]:
    text = _text(body)
    return {"bodyBase64": b64encode(body).decode()} if text is None else {"body": text}


def _text(body: bytes, errors: str = "strict") -> str | None:
    try:
        return body.decode(errors=errors)
    except UnicodeDecodeError:
        return None
