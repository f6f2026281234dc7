"""The page of times and limits that stand in the code and cannot be set."""

from choregos_ambassador import breaker, gate, http_client, lag, leases, outbox, publish_api, pull, reaction, replies
from choregos_ambassador.configuration_file import LOOK_EVERY
from choregos_ambassador.delivery import ACK_WAIT
from choregos_contract.configuration import Delivery
from choregos_contract.event import MAX_HOPS
from choregos_contract.quantities import format_duration, format_size
from reference_pages.markdown import page, table


def limits() -> str:
    """Return the page."""
    seconds = format_duration
    crash = 3 * (Delivery().retry + 1) + 10
    return page(
        "Times and limits that cannot be set",
        "What can be set is a field of the [choreography](choreography.md) or a [setting](settings.md). These stand in the code.",
        "## Lease and pull",
        table(
            ("what", "value"),
            (
                ("a lease lasts, from the last sign of progress", seconds(ACK_WAIT)),
                ("it is renewed every", seconds(leases.RENEW_EVERY)),
                ("an acknowledgement that is not confirmed is sent again after", seconds(leases.CONFIRM_WITHIN)),
                ("a pull waits for events", seconds(pull.EXPIRES)),
                (
                    "an event that arrives while draining is there for another replica after",
                    seconds(reaction.RETURN_AT_ONCE),
                ),
                ("a hop keeps trying to store its replies, while the bus is away or full", seconds(outbox.PATIENCE)),
                ("hops after which an event is `too-many-hops`", str(MAX_HOPS)),
                (
                    f"deliveries after which an event may be a `crash-loop`, by default (`retry: {Delivery().retry}`)",
                    str(crash),
                ),
            ),
        ),
        "## Readiness and breaker",
        table(
            ("what", "value"),
            (
                ("readiness is asked, while the breaker is open", f"every {seconds(gate.PROBE_OPEN)}"),
                ("and otherwise", f"every {seconds(gate.PROBE_CLOSED)}"),
                ("a readiness probe takes at most", seconds(gate.PROBE_TIMEOUT)),
                ("troubles in a row that open the breaker", str(breaker.IN_A_ROW)),
                ("distinct events that they must come from, at least", str(breaker.DISTINCT)),
                (
                    "or: share of failed answers",
                    f"{breaker.SHARE:.0%} of at least {breaker.ENOUGH} within {seconds(breaker.WINDOW)}",
                ),
                (
                    "pause before it half opens",
                    f"{seconds(breaker.PAUSE_MIN)}, doubled up to {seconds(breaker.PAUSE_MAX)}",
                ),
                ("the slow start ends at this many events with the service", str(breaker.SLOW_START_END)),
            ),
        ),
        "## Service, publish API, configuration",
        table(
            ("what", "value"),
            (
                ("headers of one answer of the service", format_size(http_client.HEADER_LIMIT)),
                ("events in one answer", str(replies.MAX_REPLIES)),
                ("idle connections kept to one port of the service", str(http_client.KEPT)),
                ("body of one request to the publish API", format_size(publish_api.REQUEST_LIMIT)),
                ("room that a published event leaves of `max_payload`", format_size(publish_api.HEADROOM)),
                ("the configuration is looked at every", seconds(LOOK_EVERY)),
                ("JetStream is asked how far behind each reaction is, every", seconds(lag.ASK_EVERY)),
                ("share of `maxInFlight` from which on the log warns", f"{lag.CROWDED:.0%}"),
            ),
        ),
    )
