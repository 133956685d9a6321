"""What was counted in the last hour, step by step, for whoever looks at it.

Counters only grow, so what they say every few seconds is a history: two samples differ by what came between them. The
samples are in memory that the workers share, as the counters are (docs/adr/0005-metrics-in-shared-memory.md). Whichever
worker looks first writes the one that is due, and every other would write the same.
"""

import mmap
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from mxcheck_service.core.model import Verdict
from mxcheck_service.counts import DNS_TYPES, FAMILIES, LAYERS, DnsResult, Read
from mxcheck_service.metrics import Metrics
from mxcheck_service.series import SECONDS, Family

STEP: Final = 15.0
"""Seconds between two samples."""
STEPS: Final = 240
"""So many steps are kept."""

Column = tuple[str, ...]
"""The name of a number in a sample: what is counted, and the values of its labels."""
CHECKS: Final[Column] = ("checks",)
"""Checks that were answered, whatever the status but 503."""
SHED: Final[Column] = ("shed",)
"""Checks that were answered 503."""

_SHED_CODE: Final = 503


BUCKETS: Final[Sequence[Column]] = tuple(("latency", str(bucket)) for bucket in range(len(SECONDS) + 1))
"""How many checks took how long: the buckets of `series.SECONDS`, and the one behind them, which has no bound."""
_COLUMNS: Final[Sequence[Column]] = (
    CHECKS,
    SHED,
    *BUCKETS,
    *(("verdicts", verdict) for verdict in Verdict),
    *(("cache", layer, read) for layer in LAYERS for read in Read),
    *(("dns", question, result) for question in DNS_TYPES for result in DnsResult),
    *(("probes", family, verdict) for family in FAMILIES for verdict in Verdict),
)


class Sample(NamedTuple):
    """What had been counted at a time (seconds of the clock that `History.note` is given)."""

    at: float
    numbers: Sequence[float]

    def since(self, earlier: "Sample") -> "Sample":
        """Return what was counted after an earlier sample."""
        return Sample(self.at, [now - then for now, then in zip(self.numbers, earlier.numbers, strict=True)])

    def __call__(self, column: Column) -> int:
        return int(self.numbers[_PLACES[column]])

    def percentile(self, share: float) -> float | None:
        """Return the seconds within which so much of the checks was answered, estimated as Prometheus'
        histogram_quantile does; None when there was none."""
        return percentile([self(bucket) for bucket in BUCKETS], share)


_PLACES: Final = {column: place for place, column in enumerate(_COLUMNS)}


class History:
    """The samples of the last hour. `checks`: the endpoints whose requests are checks."""

    def __init__(self, metrics: Metrics, checks: Iterable[str]) -> None:
        self._metrics = metrics
        self._wired = tuple(_wired(metrics, tuple(checks)))
        self._width = 1 + len(_COLUMNS)
        self._table = memoryview(mmap.mmap(-1, (STEPS + 1) * self._width * 8)).cast("d")

    def note(self, now: float) -> None:
        """Write the sample that is due, if it has not been written. `now`: of a clock that all workers share."""
        slot = int(now // STEP)
        row = self._row(slot)
        if not _is_of(row[0], slot):
            row[1:] = memoryview(array("d", self.present(now).numbers))
            row[0] = now

    def present(self, now: float) -> Sample:
        """Return what has been counted by now, with that of other workers as of a moment ago."""
        numbers = [0.0] * len(_COLUMNS)
        for family, wires in self._wired:
            total = self._metrics.total(family)
            for place, column in wires:
                numbers[column] += total[place]
        return Sample(now, numbers)

    def samples(self, now: float) -> list[Sample]:
        """Return the samples of the last hour, the oldest first."""
        last = int(now // STEP)
        rows = ((slot, self._row(slot)) for slot in range(last - STEPS, last + 1))
        return [Sample(row[0], row[1:].tolist()) for slot, row in rows if _is_of(row[0], slot)]

    def _row(self, slot: int) -> "memoryview[float]":
        start = slot % (STEPS + 1) * self._width
        return self._table[start : start + self._width]


def _is_of(at: float, slot: int) -> bool:
    return at > 0 and int(at // STEP) == slot


def _wired(metrics: Metrics, checks: Sequence[str]) -> Iterable[tuple[Family, list[tuple[int, int]]]]:
    """Yield families with their cells that count: where one is, and to which column it adds."""

    requests = metrics.requests
    yield (
        requests,
        [
            (place, _PLACES[SHED if code == _SHED_CODE else CHECKS])
            for (endpoint, code), place in requests.places()
            if endpoint in checks
        ],
    )
    duration = metrics.request_duration
    yield (
        duration,
        [
            (place + bucket, _PLACES[name])
            for (endpoint,), place in duration.places()
            if endpoint in checks
            for bucket, name in enumerate(BUCKETS)
        ],
    )
    told = metrics.verdicts
    yield (
        told,
        [
            (place, _PLACES["verdicts", verdict])
            for (_, verdict, _), place in told.places()
            if isinstance(verdict, Verdict)
        ],
    )
    for family, name in ((metrics.cache_reads, "cache"), (metrics.dns_answers, "dns"), (metrics.probes, "probes")):
        yield (
            family,
            [
                (place, _PLACES[column])
                for values, place in family.places()
                if (column := (name, *map(str, values))) in _PLACES
            ],
        )


def percentile(buckets: Sequence[int], share: float) -> float | None:
    """Return the seconds below which so much of what was counted in the buckets of `series.SECONDS` lies.

    Within a bucket the durations are taken for spread evenly; in the last one, which has no bound, for its least.
    """
    total = sum(buckets)
    if not total:
        return None
    rank = share * total
    for bound, (bucket, before) in enumerate(zip(buckets, accumulate(buckets, initial=0), strict=False)):
        if bound == len(SECONDS):
            break
        if bucket and before + bucket >= rank:
            least = SECONDS[bound - 1] if bound else 0.0
            return least + (SECONDS[bound] - least) * (rank - before) / bucket
    return SECONDS[-1]
