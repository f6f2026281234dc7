"""The counters and the histogram that every event passes by: plain numbers, made into samples when they are scraped.

The library's own take a lock for each number and go through the buckets one by one, which costs an event four times as much.
What is scraped is the same to the byte. Only the event loop's thread may count, and scrape.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily


class Tally:
    """How many, under one set of labels."""

    __slots__ = ("began", "number")

    def __init__(self) -> None:
        self.began = time.time()
        self.number = 0

    def inc(self) -> None:
        """Count one more."""
        self.number += 1


class Durations:
    """How many took how long, under one set of labels. `bounds`: seconds, ascending."""

    __slots__ = ("began", "bounds", "numbers", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.began = time.time()
        self.bounds = bounds
        self.numbers = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one more; a bucket holds what took as long as its bound, too."""
        self.numbers[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


C = TypeVar("C", Tally, Durations)


class _Labelled(Generic[C]):
    def __init__(self, labels: Sequence[str]) -> None:
        self.label_names: Final = tuple(labels)
        self._children: dict[tuple[str, ...], C] = {}

    def labels(self, *values: str) -> C:
        """Return what counts under these labels; worth keeping where an event passes by."""
        if values not in self._children:
            self._children[values] = self._new()
        return self._children[values]

    def _new(self) -> C:
        raise NotImplementedError


class TallyCounter(_Labelled[Tally]):
    """A counter."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        super().__init__(labels)
        self._name, self._text = name, text
        registry.register(self)

    def describe(self) -> Iterable[CounterMetricFamily]:
        """Tell what it will show (the registry's protocol)."""
        return [CounterMetricFamily(self._name, self._text, labels=self.label_names)]

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Show it (the registry's protocol)."""
        (family,) = self.describe()
        for values, tally in self._children.items():
            family.add_metric(values, tally.number, created=tally.began)
        return [family]

    def _new(self) -> Tally:
        return Tally()


class TallyHistogram(_Labelled[Durations]):
    """A histogram of seconds."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        super().__init__(labels)
        self._name, self._text, self._bounds = name, text, bounds
        registry.register(self)

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Tell what it will show (the registry's protocol)."""
        return [HistogramMetricFamily(self._name, self._text, labels=self.label_names)]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Show it (the registry's protocol)."""
        (family,) = self.describe()
        bounds = [*map(str, self._bounds), "+Inf"]
        for values, durations in self._children.items():
            family.add_metric(values, list(zip(bounds, accumulate(durations.numbers), strict=True)), durations.total)
            labels = dict(zip(self.label_names, values, strict=True))
            family.add_sample(f"{self._name}_created", labels, durations.began)
        return [family]

    def _new(self) -> Durations:
        return Durations(self._bounds)
