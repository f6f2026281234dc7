"""The page of the verdict table."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from choregos_ambassador import backoff, replies
from choregos_ambassador.answer import Answer, Trouble
from choregos_ambassador.role import Role
from choregos_ambassador.verdict import OVERRIDES, TABLE, TROUBLES, VERDICT_HEADER, Action
from choregos_contract.configuration import Delivery, Reaction
from choregos_contract.quantities import format_duration
from reference_pages.markdown import code, page, table
from reference_pages.samples import ANSWER, NOW, PARENT, ROLE, STRUCTURED
from reference_pages.source import attribute_docs

_PLAIN: Final = Reaction(event="OrderPlaced", port=8080, emits=("PaymentTaken",))
_CONVERTING: Final = replace(_PLAIN, on_success="PaymentTaken")
_REQUIRING: Final = replace(_PLAIN, required=True)
_JSON: Final = (("content-type", "application/json"),)
_TEXT: Final = (("content-type", "text/plain"),)
_EVENT: Final = ANSWER.headers
_BATCH: Final = (("content-type", "application/cloudevents-batch+json"),)
_BINARY: Final = (
    ("ce-specversion", "1.0"),
    ("ce-id", "p-1"),
    ("ce-source", "/payment"),
    ("ce-type", "PaymentTaken"),
    *_JSON,
)

_ANSWERS: Final[Sequence[tuple[str, Answer, Reaction, str]]] = (
    ("a CloudEvent in binary mode", Answer(200, _BINARY, b"{}"), _PLAIN, "`emits` it"),
    ("a CloudEvent in structured mode", Answer(200, _EVENT, STRUCTURED), _PLAIN, "`emits` it"),
    ("a batch of CloudEvents", Answer(200, _BATCH, b"[%b,%b]" % (STRUCTURED, STRUCTURED)), _PLAIN, "`emits` them"),
    ("an empty batch", Answer(200, _BATCH, b"[]"), _PLAIN, "any but `required`"),
    ("a CloudEvent", Answer(200, _EVENT, STRUCTURED), _CONVERTING, "`onSuccess`, and `emits` it"),
    ("plain JSON", Answer(200, _JSON, b'{"paid": 12}'), _CONVERTING, "`onSuccess`"),
    ("plain JSON", Answer(200, _JSON, b'{"paid": 12}'), _PLAIN, "no `onSuccess`"),
    ("plain JSON", Answer(200, _JSON, b'{"paid": 12}'), _REQUIRING, "`required`, no `onSuccess`"),
    ("no body, or not JSON", Answer(204), _PLAIN, "neither `onSuccess` nor `required`"),
    ("no body", Answer(204), _CONVERTING, "`onSuccess`"),
    ("a body that is not JSON", Answer(200, _TEXT, b"thanks"), _CONVERTING, "`onSuccess`"),
    ("no body", Answer(204), _REQUIRING, "`required`"),
    ("a broken CloudEvent, alone or in a batch", Answer(200, _EVENT, b'{"specversion":"1.0"}'), _PLAIN, "any"),
    ("a CloudEvent, compressed", Answer(200, (*_EVENT, ("content-encoding", "gzip")), b""), _PLAIN, "any"),
    (
        f"more than {replies.MAX_REPLIES} events",
        Answer(200, _BATCH, b"[" + b",".join([STRUCTURED] * (replies.MAX_REPLIES + 1)) + b"]"),
        _PLAIN,
        "any",
    ),
    ("a CloudEvent", Answer(200, _EVENT, STRUCTURED), replace(_PLAIN, emits=()), "does not emit it"),
    ("a body over `delivery.maxReplyBytes`", Answer(200, _JSON, truncated=True), _PLAIN, "any"),
)


def verdicts() -> str:
    """Return the page."""
    words = attribute_docs(Action)
    return page(
        "The verdict table",
        "What becomes of an event, by what the service answers. One event, one attempt, one verdict:",
        table(("verdict", "what happens"), ((code(action.value), words[action.name]) for action in Action)),
        "## By status",
        "The first row that holds the status counts. Redirects are not followed, 1xx answers are passed over.",
        _by_status(),
        """
`delivery.reject` and `delivery.retryOn` of a reaction move statuses from 300 to 599 between the rows: `reject: [400]` makes
400 a dead letter at once. 400 is retried otherwise, as in the contract of Azure Event Grid.""",
        f"## By the header `{VERDICT_HEADER.title()}`",
        "The service's own word decides over the status, over `reject` and over `retryOn`. Any other word is passed over.",
        table(("value", "verdict"), ((code(word), code(action.value)) for word, action in OVERRIDES.items())),
        "## Without an answer",
        _without_answer(),
        """
All of these count towards the breaker. A kept connection that the service closes before it sends anything is none of them:
the request goes out once more on a fresh connection.""",
        "## What a `done` answer holds",
        """
An answer that is `done`, by its status or by its own word, is read for events. They are decoded, checked and measured before
the first of them is stored; if one cannot be taken, none is stored.""",
        table(
            ("the answer holds", "the reaction", "what comes of it"),
            ((text, note, _came(answer, reaction)) for text, answer, reaction, note in _ANSWERS),
        ),
        """
An event that the reaction does not emit is retried because, in a rollout, the service may be ahead of its configuration. A
reply that no NATS message holds (`max_payload`) is `reply-too-large`, too.""",
        "## How long a retry waits",
        f"""
A random time up to a ceiling that doubles: `backoffDelay` after the first attempt, at most `backoffMax`. A `Retry-After` of
the answer, in seconds or as a date, lengthens it, up to `backoffMax`. By default, with `retry: {Delivery().retry}`:""",
        _waits(),
        f"""
The {Delivery().retry + 1}th attempt is the last: the event becomes a [dead letter](dead-letters.md), reason `exhausted`. But
only while the breaker is closed; otherwise it waits `backoffMax` and comes again, for then it is the service that ails and not
the event. Why: [Delivery](../concepts/delivery.md).""",
    )


def _by_status() -> str:
    return table(
        ("the service answers", "verdict", "counts towards the breaker"),
        (
            (row.answer, code(row.action.value), "as trouble" if row.breaker else _as_answer(row.action))
            for row in TABLE
        ),
    )


def _without_answer() -> str:
    troubles = attribute_docs(Trouble)
    return table(
        ("trouble", "what it is", "verdict"),
        ((code(trouble.value), troubles[trouble.name], code(TROUBLES[trouble].value)) for trouble in Trouble),
    )


def _waits() -> str:
    return table(
        ("after attempt", "waits up to"),
        (
            (str(attempt), format_duration(backoff.ceiling(Delivery(), attempt)))
            for attempt in range(1, Delivery().retry + 1)
        ),
    )


def _as_answer(action: Action) -> str:
    return "5xx as failed answers" if action is Action.RETRY else "as an answer that is not failed"


def _came(answer: Answer, reaction: Reaction) -> str:
    try:
        events = replies.next_hops(PARENT, replies.read(answer, reaction), Role(ROLE.configuration, reaction), NOW)
    except replies.InvalidReply as invalid:
        last = "retry, then dead letter" if invalid.retry else "dead letter"
        return f"{last} `{invalid.reason}`"
    match len(events):
        case 0:
            return "done, no next hop"
        case 1:
            return f"done, next hop `{events[0].type}`"
    return f"done, {len(events)} next hops"
