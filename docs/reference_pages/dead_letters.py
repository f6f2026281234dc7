"""The page of dead letters: reasons and headers."""

from choregos_ambassador.dead_letter import Cause, Reason, letter, reduced
from reference_pages.markdown import code, explained, page, table
from reference_pages.samples import NAMES, PARENT, ROLE, delivered
from reference_pages.source import attribute_docs

_MEANINGS = {
    "Nats-Msg-Id": "what the stream knows a second copy of this letter by: derived from stream, sequence and service",
    "Choregos-Wire": "version of this format",
    "Choregos-Reason": "one of the reasons above",
    "Choregos-Service": "the service whose reaction could not process the event",
    "Choregos-Event": "the event type that it reacts to",
    "Choregos-Attempts": "times that the event was delivered; an upper bound of attempts",
    "Choregos-Last-Status": "HTTP status of the last attempt; not there if no answer came",
    "Choregos-Last-Error": "what went wrong, at most 300 characters, percent-encoded like a CloudEvents header",
    "Choregos-First-Time": "when the bus stored the event",
    "Choregos-Last-Time": "when this letter was written",
    "Choregos-Original-Stream": "the stream that holds the event",
    "Choregos-Original-Subject": "its subject there",
    "Choregos-Original-Sequence": "its sequence there",
    "Choregos-Failure-Emitted": "`true` if the reaction's `onFailure` event is stored: its compensation may have run",
    "Choregos-Original-Headers": "every header of the event, as a JSON object",
}


def dead_letters() -> str:
    """Return the page."""
    reasons = attribute_docs(Reason)
    written = letter(
        delivered(PARENT, 6), Cause(Reason.EXHAUSTED, "HTTP 503 busy", 503), ROLE, "2026-01-01", failure_emitted=True
    )
    own = [name for name in written.headers if not name.startswith("ce-")]
    lost = [name for name in own if name not in next(reduced(written)).headers]
    return page(
        "Dead letters",
        f"""
An event that one reaction could not process is kept in the stream of dead letters, for that reaction alone: other reactions to
the same event are not concerned. The subject is `<prefix>.<namespace>.<bus>.dl.<service>.<event>.<shard>`, such as
`{written.subject}` in the stream `{NAMES.dead_letter_stream}`. The event is acknowledged only once its letter is stored.""",
        "## Reasons",
        "The set is closed.",
        table(("reason", "meaning"), ((code(reason.value), reasons[reason.name]) for reason in Reason)),
        """
What an outage of the service causes is none of them: a refused connection, a service that is not ready, a bus that is full or
away make no dead letter, however long they last.""",
        "## What a letter holds",
        "The body is the event's, byte for byte. Its `ce-*` and `content-type` headers stand there as they were, and beside them:",
        table(
            ("header", "meaning"), ((code(name), text) for name, text in explained(sorted(own, key=_order), _MEANINGS))
        ),
        f"""
A letter that would not fit into a NATS message (`max_payload`, and 64 KiB of headers) comes without
{", ".join(map(code, lost))} and says `Choregos-Truncated: headers`. If it still does not fit, it comes without the body and the
event's own headers, too, and says `Choregos-Truncated: true`. The event itself still stands at its stream and
sequence, as long as the bus keeps it.""",
        "## What to do with one",
        f"""
The letters are an ordinary stream, kept 30 days by default (`deadLetters.maxAge`): any NATS client reads it, such as
`nats stream view {NAMES.dead_letter_stream}`. Sending an event to its reaction once more, from the command line, is not built
yet; its subject on the bus is reserved ([wire](wire.md)). Until then, mend the cause and publish the data again as a new event.
Look at `Choregos-Failure-Emitted` first: if it is `true`, what followed from the failure, a compensation for example, has begun.""",
    )


def _order(name: str) -> int:
    return list(_MEANINGS).index(name) if name in _MEANINGS else len(_MEANINGS)
