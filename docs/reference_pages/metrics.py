"""The page of the ambassador's metrics."""

from collections.abc import Iterator

from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from choregos_ambassador.breaker import State
from choregos_ambassador.dead_letter import Reason
from choregos_ambassador.metrics import BUCKETS, Metrics
from choregos_ambassador.report import End
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
already carries. Figures about the reaction as a whole (pending, unacknowledged) are asked from JetStream now and then and
are the same for every replica: take the maximum, not the sum.""",
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
                        "reason": _values(Reason) + "; see [dead letters](dead-letters.md)",
                        "state": _values(State),
                        "status": "HTTP status of the answer",
                    },
                )
            ),
        ),
        f"Buckets of the histograms, in seconds: {', '.join(f'{bound:g}' for bound in BUCKETS)}.",
    )


def _rows(all_metrics: Metrics) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    for metric in vars(all_metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            suffix = {Counter: "_total", Histogram: "_bucket`, `_sum`, `_count"}.get(type(metric), "")
            yield family.name + suffix, family.type, tuple(metric._labelnames), family.documentation


def _values(kinds: type[End] | type[Reason] | type[State]) -> str:
    return ", ".join(code(kind.value) for kind in kinds)
