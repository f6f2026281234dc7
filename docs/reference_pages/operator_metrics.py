"""The page of the operator's metrics."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from choregos_operator.certificates.metrics import Metrics as CertificateMetrics
from choregos_operator.controller.ambassadors import Standing
from choregos_operator.controller.metrics import Metrics as ControllerMetrics
from choregos_operator.controller.passes import LONGEST_LOOK
from choregos_operator.webhook.metrics import Metrics as WebhookMetrics
from reference_pages.markdown import code, explained, page, table
from reference_pages.source import attribute_docs

Row = tuple[str, str, tuple[str, ...], str]


def operator_metrics() -> str:
    """Return the page."""
    registry = CollectorRegistry()
    ControllerMetrics(registry)
    CertificateMetrics(registry)
    controller, webhook = list(_rows(registry)), list(_rows(WebhookMetrics().registry))
    labels = [label for row in (*controller, *webhook) for label in row[2]]
    return page(
        "Metrics of the operator",
        """
Both processes serve them at `/metrics` of their probes port, in Prometheus' text format. The ambassadors' are on
[a page of their own](metrics.md).""",
        "## The controller",
        """
Of two controllers one works, and only that one shows what it sees. A figure that nobody knows, because NATS is away, is not
shown.""",
        _table(controller),
        "## The webhook",
        _table(webhook),
        "## Labels",
        table(("label", "values"), ((code(label), text) for label, text in explained(labels, _LABELS))),
        "## What to watch",
        """
* `choregos_ready == 0`: a choreography whose events do not flow as it says. `choregos_pods{standing="without"} > 0`: pods that
  no event reaches.
* `choregos_bus_connected == 0`: NATS is away, or does not take the controller.
* `choregos_passes_total{outcome="cut-off"}`: now and then after a start is a large bus; a steady increase is a NATS or an API
  server that answers too slowly to look at a bus at all.
* `choregos_bus_dead_letters`: an increase is an event that needs somebody. `choregos_bus_lag_events`: what waits.
* `choregos_webhook_requests_total{outcome="failed"}`: a defect; its log line shows where.
* [the certificate](../operations/certificates.md#what-to-watch).""",
    )


_LABELS = {
    "outcome": f"of a pass: `done`; `api-error`, `bus-fault` and, after {LONGEST_LOOK:g} s, `cut-off`, which come again; `gone`, "
    "with its namespace. Of an eviction: `evicted`, `refused`. Of an admission: `allowed`, `injected`, `refused`, "
    "`malformed`; `failed` by a defect",
    "namespace": "of the bus and its choreographies",
    "bus": "name of the EventBus, or `default`",
    "choreography": "its name",
    "service": "value of the pods' label `choregos.dev/service`",
    "standing": " ".join(f"{code(each)}: {attribute_docs(Standing)[each.name]}" for each in Standing),
    "certificate": "`leaf`, the webhook's own; `authority`, the one that signed it",
    "path": "`/inject` for pods, `/validate` for choreographies and buses",
}


def _rows(registry: CollectorRegistry) -> Iterator[Row]:
    for metric in registry._collector_to_names:
        assert isinstance(metric, MetricWrapperBase)
        (family,) = metric.describe()
        suffix = {Counter: "_total", Histogram: "_bucket`, `_sum`, `_count"}.get(type(metric), "")
        yield family.name + suffix, family.type, tuple(metric._labelnames), family.documentation


def _table(rows: Iterable[Row]) -> str:
    return table(
        ("metric", "type", "labels", "meaning"),
        ((code(name), kind, ", ".join(map(code, labels)), text) for name, kind, labels, text in rows),
    )
