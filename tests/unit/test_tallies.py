"""The tallies show what the library's own counter and histogram would."""

import re
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from choregos_ambassador.metrics import BUCKETS, Metrics
from choregos_ambassador.report import End
from choregos_ambassador.tallies import TallyCounter, TallyHistogram

EVENTS = ["Placed", 'a "quoted" name', "line\nbreak \\"]


def shown(registry: CollectorRegistry) -> list[str]:
    """Both text formats, but for when a counter began."""
    openmetrics: bytes = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
    text = (generate_latest(registry) + openmetrics).decode()
    return re.sub(r"(_created\{.*\}) [\d.e+]+", r"\1 then", text).splitlines()


@given(
    hops=st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from(End))),
    # Sums of these are exact, in whatever order they are added; the bounds themselves are among them.
    seconds=st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from([0.0, *BUCKETS, 0.125, 61.5, 1e9]))),
)
def test_what_is_scraped_is_what_the_library_would_have_shown(
    hops: list[tuple[str, End]], seconds: list[tuple[str, float]]
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    our_hops = TallyCounter("hops", "How\nmany", ("event", "verdict"), ours)
    our_seconds = TallyHistogram("attempt_seconds", "How \\ long", ("event",), BUCKETS, ours)
    their_hops = Counter("hops", "How\nmany", ("event", "verdict"), registry=theirs)
    their_seconds = Histogram("attempt_seconds", "How \\ long", ("event",), buckets=BUCKETS, registry=theirs)
    for event, end in hops:
        our_hops.labels(event, end).inc()
        their_hops.labels(event, end).inc()
    for event, took in seconds:
        our_seconds.labels(event).observe(took)
        their_seconds.labels(event).observe(took)
    assert shown(ours) == shown(theirs)


def test_each_began_to_count_when_its_labels_first_came() -> None:
    metrics = Metrics()
    metrics.hop("Placed", End.DONE).inc()
    metrics.attempt("Placed").observe(0.1)
    families = text_string_to_metric_families(metrics.exposition().decode())
    samples = {each.name: each for each in chain.from_iterable(family.samples for family in families)}
    for name in ("choregos_hops_created", "choregos_attempt_seconds_created"):
        assert samples[name].labels["event"] == "Placed"
        assert samples[name].value > 1e9
    assert samples["choregos_hops_total"].value == samples["choregos_attempt_seconds_count"].value == 1
