"""Kinds of metrics and their series. Where the numbers are kept is told in `metrics`."""

import itertools
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from mxcheck_service.counts import Tick, Timer

# Only type checkers know that a memoryview has a type of element.
Cells: TypeAlias = "memoryview[float]"

OTHER: Final = "other"
"""Stands for every value of a label that was not foreseen; this is what bounds the series."""

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of a histogram's buckets, from a warm check to the longest deadline that makes sense."""
SUM: Final = len(SECONDS) + 1
"""The cell of a histogram's sum, behind its buckets."""


class Family(ABC):
    """A metric and its series: one for every combination of the values that its labels may have.

    `cells` is where this process counts: its part of the process' row, `size` numbers for each series.
    """

    def __init__(self, name: str, meaning: str, *, size: int = 1, **labels: Iterable[object]) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = tuple(labels)
        self.foreseen = [tuple(dict.fromkeys((*values, OTHER))) for values in labels.values()]
        self._size = size
        self._places = {series: n * size for n, series in enumerate(itertools.product(*self.foreseen))}
        self.cells: Cells

    @property
    def width(self) -> int:
        """Numbers in a row of the table."""
        return len(self._places) * self._size

    def place(self, values: tuple[object, ...]) -> int:
        """Return where the cells of the series with these label values begin."""
        place = self._places.get(values)
        if place is None:
            known = zip(values, self.foreseen, strict=True)
            place = self._places[tuple(value if value in foreseen else OTHER for value, foreseen in known)]
        return place

    def places(self) -> Iterable[tuple[tuple[object, ...], int]]:
        """Return (label values, where its cells begin) of every series."""
        return self._places.items()

    def series(self, numbers: Sequence[float]) -> Iterator[tuple[list[str], Sequence[float]]]:
        """Yield (label values, numbers) of every series; of those with labels, the ones that have been counted."""
        for values, place in self._places.items():
            found = numbers[place : place + self._size]
            if any(found) or not values:
                yield [str(value) for value in values], found

    def merged(self, rows: Sequence[Cells]) -> Sequence[float]:
        """Return the numbers of all workers together, from this family's part of each row."""
        return array("d", map(sum, zip(*rows, strict=True)))

    @abstractmethod
    def told(self, numbers: Sequence[float]) -> Metric:
        """Return the metric as it is exposed, from what all workers count together."""


class Counter(Family):
    """Counts up, by `add` or, without labels, by a count that some object of this process keeps."""

    _read: Callable[[], float] | None = None
    _base = 0.0

    def add(self, *values: object) -> None:
        """Count one in the series with these label values."""
        self.cells[self.place(values)] += 1

    def tick(self, *values: object) -> Tick:
        """Return what counts one in the series with these label values, in the row that is taken now."""
        cells, place = self.cells, self.place(values)

        def tick() -> None:
            cells[place] += 1

        return tick

    def read_from(self, read: Callable[[], float]) -> None:
        """Take the count from an object from now on; it adds to what an earlier worker has left in this row."""
        self._read, self._base = read, self.cells[0]

    def fold(self) -> None:
        """Bring the row up to date with what is counted elsewhere."""
        if self._read:
            self.cells[0] = self._base + self._read()

    def told(self, numbers: Sequence[float]) -> Metric:
        metric = CounterMetricFamily(self.name, self.meaning, labels=self.labels)
        for values, (count,) in self.series(numbers):
            metric.add_metric(values, count)
        return metric


class Gauge(Counter):
    """What is there now. A process that is gone has nothing: its gauges become 0."""

    def read_from(self, read: Callable[[], float]) -> None:
        self._read = read

    def told(self, numbers: Sequence[float]) -> Metric:
        metric = GaugeMetricFamily(self.name, self.meaning, labels=self.labels)
        for values, (number,) in self.series(numbers):
            metric.add_metric(values, number)
        return metric


class Mean(Gauge):
    """What each process tells of itself: told as the mean over those that tell anything, not at all when none does."""

    def __init__(self, name: str, meaning: str, **labels: Iterable[object]) -> None:
        super().__init__(name, meaning, size=2, **labels)
        self._own: dict[int, Callable[[], float | None]] = {}

    def read_own(self, read: Callable[[], float | None], *values: object) -> None:
        """Take the series with these label values from an object from now on; None: there is nothing to tell."""
        self._own[self.place(values)] = read

    def fold(self) -> None:
        for place, read in self._own.items():
            number = read()
            self.cells[place], self.cells[place + 1] = (0, 0) if number is None else (1, number)

    def told(self, numbers: Sequence[float]) -> Metric:
        metric = GaugeMetricFamily(self.name, self.meaning, labels=self.labels)
        for values, (processes, total) in self.series(numbers):
            if processes:
                metric.add_metric(values, total / processes)
        return metric


class LabelledGauge(Gauge):
    """A gauge with labels, set where it changes. Workers have the same things, which are told once: by `combine`."""

    def __init__(
        self, name: str, meaning: str, combine: Callable[[Sequence[float]], float], **labels: Iterable[object]
    ) -> None:
        super().__init__(name, meaning, size=1, **labels)
        self._combine = combine

    def set(self, number: float, *values: object) -> None:
        """Tell what there is now in the series with these label values; 0 is nothing."""
        self.cells[self.place(values)] = number

    def merged(self, rows: Sequence[Cells]) -> Sequence[float]:
        return [self._combine(numbers) for numbers in zip(*rows, strict=True)]


class Histogram(Family):
    """Seconds, counted in buckets; the cells of a series are the buckets, the one without a bound, and the sum."""

    def __init__(self, name: str, meaning: str, **labels: Iterable[object]) -> None:
        super().__init__(name, meaning, size=SUM + 1, **labels)

    def observe(self, seconds: float, *values: object) -> None:
        """Count a duration in the series with these label values."""
        cells = self.cells
        place = self.place(values)
        cells[place + bisect_left(SECONDS, seconds)] += 1
        cells[place + SUM] += seconds

    def timer(self, *values: object) -> Timer:
        """Return what counts a duration in the series with these label values, in the row that is taken now."""
        cells, place = self.cells, self.place(values)

        def timer(seconds: float) -> None:
            cells[place + bisect_left(SECONDS, seconds)] += 1
            cells[place + SUM] += seconds

        return timer

    def told(self, numbers: Sequence[float]) -> Metric:
        metric = HistogramMetricFamily(self.name, self.meaning, labels=self.labels)
        bounds = [*map(str, SECONDS), "+Inf"]
        for values, (*buckets, total) in self.series(numbers):
            metric.add_metric(values, list(zip(bounds, itertools.accumulate(buckets), strict=True)), total)
        return metric
