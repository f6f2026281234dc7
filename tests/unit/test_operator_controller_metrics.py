"""The controller's gauges show what there is, and nothing that is gone."""

from prometheus_client import CollectorRegistry, generate_latest

from choregos_operator.controller.metrics import Metrics


def rows(registry: CollectorRegistry, name: str) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line.removeprefix(name) for line in lines if line.startswith((name + "{", name + " "))]


def test_pods_are_shown_by_service_and_standing_until_there_are_none() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.pods("shop", "default", {("payment", "without"): 2, ("payment", "current"): 1})
    metrics.pods("shop", "other", {("audit", "current"): 1})
    assert len(rows(registry, "choregos_pods")) == 3
    metrics.pods("shop", "default", {("payment", "current"): 3})
    assert sorted(rows(registry, "choregos_pods")) == [
        '{bus="default",namespace="shop",service="payment",standing="current"} 3.0',
        '{bus="other",namespace="shop",service="audit",standing="current"} 1.0',
    ]


def test_a_figure_that_nobody_knows_is_not_shown() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.bus("shop", "default", connected=True, lag=7, dead_letters=0, orphans=1)
    assert rows(registry, "choregos_bus_lag_events") == ['{bus="default",namespace="shop"} 7.0']
    metrics.bus("shop", "default", connected=False)
    assert rows(registry, "choregos_bus_connected") == ['{bus="default",namespace="shop"} 0.0']
    assert rows(registry, "choregos_bus_lag_events") == []


def test_a_bus_that_is_gone_is_forgotten() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.ready("shop", "default", {"orders": True, "analytics": False})
    assert len(rows(registry, "choregos_ready")) == 2
    metrics.bus("shop", "default", connected=True, lag=1)
    metrics.forget("shop", "default")
    assert not [line for name in ("choregos_ready", "choregos_bus_connected") for line in rows(registry, name)]
