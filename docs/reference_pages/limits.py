"""The page of times and limits that stand in the code and cannot be set."""

from choregos_ambassador import (
    bodies,
    breaker,
    claim,
    gate,
    http_client,
    http_connection,
    inbox_bucket,
    lag,
    leases,
    outbox,
    probes,
    publish_api,
    pull,
    reaction,
    replies,
    unread,
)
from choregos_ambassador.configuration_file import LOOK_EVERY
from choregos_ambassador.delivery import ACK_WAIT
from choregos_ambassador.inbox_entry import BEGIN_WITHIN
from choregos_contract.configuration import CLAIM_SLACK, Delivery
from choregos_contract.event import MAX_HOPS
from choregos_contract.quantities import format_duration, format_size
from reference_pages.markdown import page, table


def limits() -> str:
    """Return the page."""
    return page(
        "Times and limits that cannot be set",
        "What can be set is a field of the [choreography](choreography.md) or a [setting](settings.md). These stand in the code.",
        "## Lease and pull",
        _lease(),
        "## Readiness and breaker",
        _readiness(),
        "## Service, publish API, configuration",
        _service(),
        "## Ports",
        _ports(),
        """
With fewer than 1024 file descriptors, a port takes fewer connections in proportion. When all places are taken, whoever has waited
longest for a request to become whole makes room for a newcomer, then whoever has been idle longest; a connection whose request is
worked on never does.""",
    )


def _ports() -> str:
    publish, probe = publish_api.LIMITS, probes.LIMITS
    return table(
        ("what", "publish API", "probes"),
        (
            ("connections", str(publish.connections), str(probe.connections)),
            (
                "a request has to be whole, from the connection or its first byte, within",
                format_duration(publish.request_within),
                format_duration(probe.request_within),
            ),
            (
                "an answer has to be read within",
                format_duration(publish.answer_within),
                format_duration(probe.answer_within),
            ),
            ("requests in hand", str(bodies.REQUESTS), f"{probes.WAIT_FOR_DRAINED} at `/drained`"),
            (
                f"bytes of requests in hand, beyond the first {format_size(bodies.SMALL)} of each",
                format_size(bodies.ROOM),
                "",
            ),
        ),
    )


def _lease() -> str:
    return table(
        ("what", "value"),
        (
            ("a lease lasts, from the last sign of progress", format_duration(ACK_WAIT)),
            ("it is renewed every", format_duration(leases.RENEW_EVERY)),
            ("an acknowledgement that is not confirmed is sent again after", format_duration(leases.CONFIRM_WITHIN)),
            ("a pull waits for events", format_duration(pull.EXPIRES)),
            (
                "an event that arrives while draining is there for another replica after",
                format_duration(reaction.RETURN_AT_ONCE),
            ),
            (
                "a hop keeps trying to store its replies, while the bus is away or full",
                format_duration(outbox.PATIENCE),
            ),
            (
                "a claim in the inbox is stale, counted by the bus's clock, at `timeout` and",
                format_duration(CLAIM_SLACK),
            ),
            ("its call begins, or it is claimed once more, within", format_duration(BEGIN_WITHIN)),
            ("an answer waits to be remembered, while the bus is away or has no leader", format_duration(claim.KEPT)),
            ("an inbox that is gone is looked for again after", format_duration(inbox_bucket.LOOK_AGAIN)),
            ("hops after which an event is `too-many-hops`", str(MAX_HOPS)),
            (
                f"deliveries after which an event may be a `crash-loop`, by default (`retry: {Delivery().retry}`)",
                str(3 * (Delivery().retry + 1) + 10),
            ),
        ),
    )


def _readiness() -> str:
    return table(
        ("what", "value"),
        (
            ("readiness is asked, while the breaker is open", f"every {format_duration(gate.PROBE_OPEN)}"),
            ("and otherwise", f"every {format_duration(gate.PROBE_CLOSED)}"),
            ("a readiness probe takes at most", format_duration(gate.PROBE_TIMEOUT)),
            ("troubles in a row that open the breaker", str(breaker.IN_A_ROW)),
            ("distinct events that they must come from, at least", str(breaker.DISTINCT)),
            (
                "or: share of failed answers",
                f"{breaker.SHARE:.0%} of at least {breaker.ENOUGH} within {format_duration(breaker.WINDOW)}",
            ),
            (
                "pause before it half opens",
                f"{format_duration(breaker.PAUSE_MIN)}, doubled up to {format_duration(breaker.PAUSE_MAX)}",
            ),
            ("the slow start ends at this many events with the service", str(breaker.SLOW_START_END)),
        ),
    )


def _service() -> str:
    return table(
        ("what", "value"),
        (
            ("headers of one answer of the service", format_size(http_connection.HEADER_LIMIT)),
            ("events in one answer", str(replies.MAX_REPLIES)),
            (
                "idle connections kept to one port of the service",
                f"{http_client.KEPT}, or as many as its reactions' `concurrency` adds up to; closed when not needed for {http_client.TRIM_EVERY:g} s",
            ),
            ("body of one request to the publish API", format_size(bodies.REQUEST_LIMIT)),
            ("room that a published event leaves of `max_payload`", format_size(publish_api.HEADROOM)),
            ("the configuration is looked at every", format_duration(LOOK_EVERY)),
            ("JetStream is asked how far behind each reaction is, every", format_duration(lag.ASK_EVERY)),
            ("share of `maxInFlight` from which on the log warns", f"{lag.CROWDED:.0%}"),
            ("share of `maxAge` from which on it warns of the oldest unread event", f"{unread.OLD:.0%}"),
        ),
    )
