"""The alerts are about metrics that there are, with the labels and values that they have."""

import re
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from choregos_ambassador.metrics import Metrics as AmbassadorMetrics
from choregos_ambassador.tallies import TallyCounter, TallyHistogram
from choregos_operator.certificates.metrics import Metrics as CertificateMetrics
from choregos_operator.controller.metrics import Metrics as ControllerMetrics
from choregos_operator.webhook.metrics import Metrics as WebhookMetrics
from support.helm import TOGGLES, Manifest, merged, only, template

ALERTS: list[Manifest] = [
    rule
    for group in only(template(TOGGLES["monitoring"]), "PrometheusRule", "choregos")["spec"]["groups"]
    for rule in group["rules"]
]
SCRAPED = {"namespace", "service"}
"""Labels that the PodMonitor gives to what an ambassador shows."""


def series() -> Iterator[tuple[str, set[str]]]:
    """Yield the name of each time series, with its labels."""
    registry = CollectorRegistry()
    ControllerMetrics(registry)
    CertificateMetrics(registry)
    of_ambassadors = [*AmbassadorMetrics().registry._collector_to_names]
    of_operator = [*registry._collector_to_names, *WebhookMetrics().registry._collector_to_names]
    for metric in (*of_ambassadors, *of_operator):
        assert isinstance(metric, MetricWrapperBase | TallyCounter | TallyHistogram)
        (family,) = metric.describe()
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        names = metric._labelnames if isinstance(metric, MetricWrapperBase) else metric.label_names
        labels = set(names) | (SCRAPED if metric in of_ambassadors else set())
        yield from ((family.name + suffix, labels) for suffix in suffixes)


SERIES: dict[str, set[str]] = {}
for _name, _labels in series():
    SERIES.setdefault(_name, set()).update(_labels)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_is_about_metrics_that_there_are(alert: Manifest) -> None:
    named = re.findall(r"\bchoregos_\w+", alert["expr"])
    assert named
    assert set(named) <= SERIES.keys()
    labels = set().union(*(SERIES[name] for name in named))
    used = re.findall(r"\bby \(([^)]*)\)", alert["expr"]) + re.findall(r"[{,](\w+)=", alert["expr"])
    assert {label.strip() for each in used for label in each.split(",")} <= labels
    by = {label.strip() for each in re.findall(r"\bby \(([^)]*)\)", alert["expr"]) for label in each.split(",")}
    assert set(re.findall(r"\$labels\.(\w+)", str(alert["annotations"]))) <= by


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(alert: Manifest) -> None:
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert alert["annotations"].keys() == {"summary", "description"}
    assert alert["annotations"]["description"].endswith(".")
    for named in re.findall(r"\bchoregos_\w+", alert["annotations"]["description"]):
        assert named in SERIES


def test_there_is_an_alert_for_each_thing_that_needs_somebody() -> None:
    assert {alert["alert"].removeprefix("Choregos") for alert in ALERTS} == {
        "DeadLetters",
        "LagGrowing",
        "EventsExpireSoon",
        "EventsExpiredUnread",
        "BreakerOpen",
        "BusFaults",
        "InboxUnavailable",
        "BusAway",
        "NotReady",
        "PodsWithoutAmbassador",
        "ControllerDown",
        "WebhookDown",
        "WebhookErrors",
        "CertificateExpiring",
    }


def test_the_thresholds_are_those_of_the_values() -> None:
    values = merged(TOGGLES["monitoring"], {"prometheusRule": {"lagEvents": 5000000, "certificateDays": 3}})
    text = str(only(template(values), "PrometheusRule", "choregos"))
    assert "choregos_bus_lag_events) > 5000000 " in text
    assert text.count("< 3 * 86400") == 2
