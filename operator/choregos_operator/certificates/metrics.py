"""Metrics of the webhook's certificate, for whoever wants to be told before it runs out.

The Secret's, seen by the controller; what a webhook serves with it tells itself, and the two agree but for a minute.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge

from choregos_operator.certificates.secret import Held


class Metrics:
    """What the keeper shows, in the process's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.expiry = Gauge(
            "choregos_webhook_secret_expiry_timestamp_seconds",
            "When what the Secret holds runs out, the webhook's certificate and its authority; 0 without",
            ["certificate"],
            registry=registry,
        )
        self.issued = Counter(
            "choregos_webhook_certificates_issued",
            "Certificates made for the webhook: its own, and authorities",
            ["certificate"],
            registry=registry,
        )
        for certificate in ("leaf", "authority"):
            self.issued.labels(certificate)

    def seen(self, held: Held) -> None:
        """Show what the Secret holds; 0 for what it does not."""
        for name, pair in (("leaf", held.leaf), ("authority", held.current)):
            self.expiry.labels(name).set(pair.certificate.not_valid_after_utc.timestamp() if pair else 0)

    def written(self, before: Held, after: Held) -> None:
        """Count what was made new between two states of the Secret."""
        if after.leaf and after.leaf != before.leaf:
            self.issued.labels("leaf").inc()
        if after.next and after.next != before.next:
            self.issued.labels("authority").inc()
