"""What the service counts, and how it is told in Prometheus' text form.

Every series has its place in a table of numbers with a row for each worker, in memory that the workers share. A worker
writes its own row and no other, so nothing is locked; whichever answers a scrape adds the rows up. A row outlives its
worker, and the next one goes on counting in it. The reasons are in docs/adr/0005-metrics-in-shared-memory.md.
"""

import itertools
import mmap
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from http import HTTPStatus
from typing import Final, TypeAlias

from prometheus_client import exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mxcheck_service import __version__
from mxcheck_service.core.maplist import KINDS

# Only type checkers know that a memoryview has a type of element.
Cells: TypeAlias = "memoryview[float]"

OTHER: Final = "other"
"""Stands for every value of a label that was not foreseen; this is what bounds the series."""

CONTENT_TYPE: Final = exposition.CONTENT_TYPE_PLAIN_0_0_4

# From a warm check to the longest deadline that makes sense.
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SUM: Final = len(_SECONDS) + 1
_CODES: Final = tuple(int(status) for status in HTTPStatus)


class Family(ABC):
    """A metric and its series: one for every combination of the values that its labels may have.

    `cells` is where this process counts: its part of the process' row, `size` numbers for each series.
    """

    def __init__(self, name: str, meaning: str, *, size: int = 1, **labels: Collection[object]) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = tuple(labels)
        self._values = [(*values, OTHER) for values in labels.values()]
        self._size = size
        self._places = {series: n * size for n, series in enumerate(itertools.product(*self._values))}
        self.cells: Cells

    @property
    def width(self) -> int:
        """Numbers in a row of the table."""
        return len(self._places) * self._size

    def place(self, values: tuple[object, ...]) -> int:
        """Return where the cells of the series with these label values begin."""
        place = self._places.get(values)
        if place is None:
            known = zip(values, self._values, strict=True)
            place = self._places[tuple(value if value in foreseen else OTHER for value, foreseen in known)]
        return place

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


class LabelledGauge(Gauge):
    """A gauge with labels, set where it changes. Workers have the same things, which are told once: by `combine`."""

    def __init__(
        self, name: str, meaning: str, combine: Callable[[Sequence[float]], float], **labels: Collection[object]
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

    def __init__(self, name: str, meaning: str, **labels: Collection[object]) -> None:
        super().__init__(name, meaning, size=_SUM + 1, **labels)

    def observe(self, seconds: float, *values: object) -> None:
        """Count a duration in the series with these label values."""
        cells = self.cells
        place = self.place(values)
        cells[place + bisect_left(_SECONDS, seconds)] += 1
        cells[place + _SUM] += seconds

    def told(self, numbers: Sequence[float]) -> Metric:
        metric = HistogramMetricFamily(self.name, self.meaning, labels=self.labels)
        bounds = [*map(str, _SECONDS), "+Inf"]
        for values, (*buckets, total) in self.series(numbers):
            metric.add_metric(values, list(zip(bounds, itertools.accumulate(buckets), strict=True)), total)
        return metric


def _oldest(times: Sequence[float]) -> float:
    return min((time for time in times if time), default=0.0)


class Metrics(Collector):
    """Everything that is counted. To add a metric: make it an attribute here, and tell of it in docs/metrics.md.

    `endpoints`: the paths that requests are counted by; `workers`: how many processes count.
    """

    def __init__(self, endpoints: Sequence[str], workers: int = 1) -> None:
        self.requests = Counter(
            "mxcheck_requests", "Requests answered, by route and status.", endpoint=endpoints, code=_CODES
        )
        self.request_duration = Histogram(
            "mxcheck_request_duration_seconds", "Time from a request's head to its reply.", endpoint=endpoints
        )
        self.near_cache_hits = Counter("mxcheck_near_cache_hits", "Reads that the near cache answered.")
        self.near_cache_misses = Counter("mxcheck_near_cache_misses", "Reads that went on to Redis.")
        self.near_cache_evictions = Counter("mxcheck_near_cache_evictions", "Entries that made room for others.")
        self.near_cache_entries = Gauge("mxcheck_near_cache_entries", "Entries in the near cache.")
        self.background_tasks = Gauge("mxcheck_background_tasks", "Lookups under way, also those nobody waits for.")
        self.reloads = Counter(
            "mxcheck_reloads", "Reloads of settings and maps, by their result, in each worker.", result=("ok", "error")
        )
        self.map_entries = LabelledGauge("mxcheck_map_entries", "Entries of a map.", max, map=KINDS)
        self.map_errors = LabelledGauge(
            "mxcheck_map_errors",
            "Places of a map that are broken now: their last good content is used.",
            max,
            map=KINDS,
        )
        self.map_good = LabelledGauge(
            "mxcheck_map_last_good_timestamp_seconds",
            "When every place of a map was last found good, in the worker where that is longest ago.",
            _oldest,
            map=KINDS,
        )
        self._families = tuple(value for value in vars(self).values() if isinstance(value, Family))
        self._request_places = {
            (endpoint, code): self._places_of_request(endpoint, code)
            for endpoint in (*endpoints, OTHER)
            for code in _CODES
        }
        width = sum(family.width for family in self._families)
        table = memoryview(mmap.mmap(-1, workers * width * 8)).cast("d")
        self._rows = [table[start : start + width] for start in range(0, workers * width, width)]
        self.take_row(0)

    def take_row(self, number: int) -> None:
        """Count in this row from now on: this process has become worker `number`."""
        for family, cells in self._cells_of(self._rows[number]):
            family.cells = cells

    def leave_row(self, number: int) -> None:
        """Note that worker `number` is gone: its counts stay, what it had under way does not."""
        for family, cells in self._cells_of(self._rows[number]):
            if isinstance(family, Gauge):
                cells[:] = memoryview(bytes(cells.nbytes)).cast("d")

    def request(self, endpoint: str, code: int, seconds: float) -> None:
        """Count a request that was answered."""
        # Every request pays for this, so it is `add` and `observe` with the places looked up beforehand.
        count, duration = self._request_places.get((endpoint, code)) or self._places_of_request(endpoint, code)
        self.requests.cells[count] += 1
        cells = self.request_duration.cells
        cells[duration + bisect_left(_SECONDS, seconds)] += 1
        cells[duration + _SUM] += seconds

    def fold(self) -> None:
        """Bring this process' row up to date with what its objects count by themselves."""
        for family in self._families:
            if isinstance(family, Counter):
                family.fold()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, the workers' together."""
        build = GaugeMetricFamily("mxcheck_build_info", "The version that runs; always 1.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        for parts in zip(*map(self._cells_of, self._rows), strict=True):
            family = parts[0][0]
            yield family.told(family.merged([cells for _, cells in parts]))

    def text(self) -> bytes:
        """Return the exposition, of content type `CONTENT_TYPE`."""
        self.fold()
        return exposition.generate_latest(self)

    def _places_of_request(self, endpoint: str, code: int) -> tuple[int, int]:
        return self.requests.place((endpoint, code)), self.request_duration.place((endpoint,))

    def _cells_of(self, row: Cells) -> Iterator[tuple[Family, Cells]]:
        start = 0
        for family in self._families:
            yield family, row[start : start + family.width]
            start += family.width
