"""The page of the ambassador's metrics."""

from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from choregos_ambassador.breaker import State
from choregos_ambassador.claim import WITHOUT
from choregos_ambassador.dead_letter import Reason
from choregos_ambassador.metrics import BUCKETS, Metrics
from choregos_ambassador.report import End
from choregos_ambassador.tallies import TallyCounter, TallyHistogram
from reference_pages.markdown import code, explained, page, table


def metrics() -> str:
    """Return the page."""
    all_metrics = Metrics()
    rows = list(_rows(all_metrics))
    labels = [label for row in rows for label in row[2]]
    return page(
        "Metrics",
        """
The ambassador serves these at `/metrics` of its [probes port](ports.md), in Prometheus' text format. Event types are labels;
ids, subjects and anything else of which there is no end never are. The service is not a label: it is what the scraped pod
already carries. Gauges about the reaction as a whole (pending, unacknowledged, the oldest event) and about the inbox, which all
reactions of a bus share, are asked from JetStream now and then and are the same for every replica: take the maximum, not the sum.
Counters are each replica's own: take the sum. So it is with `choregos_expired_unread_events_total`, too, for one replica counts each
event. `_created`, beside a counter or histogram, is when it began to count.""",
        table(
            ("metric", "type", "labels", "meaning"),
            ((code(name), kind, ", ".join(map(code, labels)), text) for name, kind, labels, text in rows),
        ),
        "## Labels",
        table(
            ("label", "values"),
            (
                (code(label), text)
                for label, text in explained(
                    labels,
                    {
                        "event": "type of the event: of `choregos_replies_total` the reply's, otherwise the one reacted to",
                        "verdict": _values(End),
                        "reason": _values(Reason) + "; see [dead letters](dead-letters.md). Of "
                        f"`choregos_inbox_unavailable_total`: {', '.join(map(code, WITHOUT))}",
                        "answer": "`won`, `taken-over` (the claim of before was stale, or this process's own): the service "
                        "is asked; `done`, `duplicate`: it need not be; `busy`: it may be with the service, and comes back",
                        "state": _values(State),
                        "status": "HTTP status of the answer",
                        "port": "`publish`, `probes`",
                        "cause": "`full`: too many connections; `slow`: a request that did not become whole, or an answer that was "
                        "not read, in time",
                    },
                )
            ),
        ),
        f"Buckets of the histograms, in seconds: {', '.join(f'{bound:g}' for bound in BUCKETS)}.",
    )


def _rows(all_metrics: Metrics) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    for metric in vars(all_metrics).values():
        if isinstance(metric, MetricWrapperBase | TallyCounter | TallyHistogram):
            (family,) = metric.describe()
            suffix = {"counter": "_total", "histogram": "_bucket`, `_sum`, `_count"}.get(family.type, "")
            names = metric._labelnames if isinstance(metric, MetricWrapperBase) else metric.label_names
            yield family.name + suffix, family.type, tuple(names), family.documentation


def _values(kinds: type[End] | type[Reason] | type[State]) -> str:
    return ", ".join(code(kind.value) for kind in kinds)
