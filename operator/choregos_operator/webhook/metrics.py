"""Prometheus metrics of the webhook."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds; the API server gives up after five."""


class Metrics:
    """All metrics of the process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "choregos_webhook_requests",
            "Admission requests, by path and by what came of them",
            ("path", "outcome"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "choregos_webhook_request_seconds",
            "From an admission request to its answer",
            ("path",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.certificate_expiry = Gauge(
            "choregos_webhook_certificate_expiry_timestamp_seconds",
            "When the certificate that is served expires, in seconds since 1970; 0 while there is none",
            registry=self.registry,
        )
