"""Prometheus metrics of one ambassador. Event types are labels, ids and subjects never are."""

from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from choregos_ambassador.breaker import State
from choregos_ambassador.tallies import TallyCounter, TallyHistogram

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """All metrics of the process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.hops = self._tally("hops", "Deliveries of events that came to an end", "event", "verdict")
        self.attempts = TallyHistogram(
            "choregos_attempt_seconds", "From the request to the service's answer", ("event",), BUCKETS, self.registry
        )
        self.replies = self._tally("replies", "Next hops stored on the bus", "event")
        self.dead_letters = self._counter("dead_letters", "Dead letters stored", "event", "reason")
        self.in_flight = self._gauge("in_flight", "Events in hand, those that wait for a slot among them", "event")
        self.pending = self._gauge("pending_events", "Stored events that the reaction has not been given yet", "event")
        self.unacknowledged = self._gauge(
            "unacknowledged_events", "Events out for delivery, over all replicas", "event"
        )
        self.oldest_age = self._gauge(
            "oldest_unacknowledged_event_age_seconds", "Age of the oldest event that is not acknowledged yet", "event"
        )
        self.oldest_ratio = self._gauge(
            "oldest_unacknowledged_event_age_ratio", "The same over the bus's `maxAge`: at 1 it is gone", "event"
        )
        self.expired_unread = self._counter(
            "expired_unread_events", "Events that the stream removed before the reaction acknowledged them", "event"
        )
        self.leases_lost = self._counter("leases_lost", "Events held longer than their lease", "event")
        self.consumer_present = self._gauge("consumer_present", "1 while the reaction's durable is there", "event")
        self.inbox_claims = self._counter(
            "inbox_claims", "Events asked for in the inbox, by its answer", "event", "answer"
        )
        self.inbox_unavailable = self._counter(
            "inbox_unavailable",
            "Events processed at least once, because the inbox could not do its part",
            "event",
            "reason",
        )
        self.inbox_fill = self._gauge(
            "inbox_fill_ratio", "How full the inbox is; a full one forgets the oldest entries"
        )
        self.inbox_oldest = self._gauge("inbox_oldest_seconds", "Age of the oldest entry in the inbox")
        self.published = self._counter("published", "Requests to the publish API, by HTTP status", "status")
        self.shed = self._counter(
            "connections_shed", "Connections closed or turned away because of a limit of the port", "port", "cause"
        )
        self.breaker = self._gauge("breaker_state", "1 for the state the breaker is in", "state")
        self.draining = self._gauge(
            "draining", "1 from the drain on: no more is pulled, until the process is made anew"
        )
        self.connected = self._gauge("bus_connected", "1 while NATS is connected")
        self.reconnects = self._counter("bus_reconnects", "Connections to NATS after the first")
        self.bus_faults = self._counter("bus_faults", "Publishes that the bus did not take")
        self.generation = self._gauge("configuration_generation", "Generation of the configuration in force")
        self.configuration_errors = self._counter("configuration_errors", "Configurations that could not be read")
        # What every event passes by: the child of these labels, looked up once.
        self.hop = cache(self.hops.labels)
        self.attempt = cache(self.attempts.labels)
        self.reply = cache(self.replies.labels)
        self.breaker_changed(State.OPEN)
        self.connected.set(0)

    def breaker_changed(self, state: State) -> None:
        """Show the state that the breaker is in."""
        for each in State:
            self.breaker.labels(each).set(each is state)

    def forget(self, event: str) -> None:
        """Show the state of a reaction that is gone no longer; what was counted stays."""
        state = (self.in_flight, self.pending, self.unacknowledged, self.consumer_present)
        for gauge in (*state, self.oldest_age, self.oldest_ratio):
            gauge.remove(event)

    def exposition(self) -> bytes:
        """Write all metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"choregos_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"choregos_{name}", text, labels, registry=self.registry)

    def _tally(self, name: str, text: str, *labels: str) -> TallyCounter:
        return TallyCounter(f"choregos_{name}", text, labels, self.registry)
