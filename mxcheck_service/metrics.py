"""What the service counts, and how it is told in Prometheus' text form.

Every series has its place in a table of numbers with a row for each worker, in memory that the workers share. A worker
writes its own row and no other, so nothing is locked; whichever answers a scrape adds the rows up. A row outlives its
worker, and the next one goes on counting in it. The reasons are in docs/adr/0005-metrics-in-shared-memory.md.
"""

import itertools
import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Final

from prometheus_client import exposition
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mxcheck_service import __version__
from mxcheck_service.core.complaints import Complaint
from mxcheck_service.core.limits import Limit
from mxcheck_service.core.maplist import KINDS
from mxcheck_service.core.model import Source, Verdict
from mxcheck_service.counts import DNS_TYPES, FAMILIES, LAYERS, Counts, DnsResult, Ended, Lock, Origin, Read, Wait
from mxcheck_service.series import OTHER, SECONDS, SUM, Cells, Counter, Family, Gauge, Histogram, LabelledGauge, Mean

CONTENT_TYPE: Final = exposition.CONTENT_TYPE_PLAIN_0_0_4

_CODES: Final = tuple(int(status) for status in HTTPStatus)


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
        self.requests_in_flight = Gauge("mxcheck_requests_in_flight", "Checks under way.")
        self.connections = Gauge("mxcheck_connections", "Callers' connections that are open.")
        self.connections_displaced = Counter("mxcheck_connections_displaced", "Connections that made room for others.")
        self.deadline = Mean("mxcheck_deadline_seconds", "Longest time that a check may take, as set.")
        self.workers = Gauge("mxcheck_workers", "Processes that serve.")
        self.verdicts = Counter(
            "mxcheck_verdicts",
            "Verdicts on domains, by where the domain was found and where the verdict came from.",
            source=Source,
            verdict=Verdict,
            origin=Origin,
        )
        self.domain_duration = Histogram(
            "mxcheck_domain_duration_seconds", "Time that the lookup of a domain took.", origin=Origin
        )
        self.background_lookups = Counter(
            "mxcheck_background_lookups", "Lookups that went on past the deadline, by how they ended.", result=Ended
        )
        self.lookup_crashes = Counter("mxcheck_lookup_crashes", "Lookups that a defect of the service ended.")
        self.cache_reads = Counter(
            "mxcheck_cache_reads", "Reads of cache entries, by layer and where they ended.", layer=LAYERS, result=Read
        )
        self.redis_up = Mean("mxcheck_redis_up", "Part of the workers that Redis answers.")
        self.redis_waiting = Gauge("mxcheck_redis_waiting", "Requests that wait for the next pipeline to Redis.")
        self.tracking_up = Mean("mxcheck_tracking_up", "Part of the workers that Redis tells of changes.")
        self.near_cache_hits = Counter("mxcheck_near_cache_hits", "Reads that the near cache answered.")
        self.near_cache_misses = Counter("mxcheck_near_cache_misses", "Reads that went on to Redis.")
        self.near_cache_evictions = Counter("mxcheck_near_cache_evictions", "Entries that made room for others.")
        self.near_cache_entries = Gauge("mxcheck_near_cache_entries", "Entries in the near cache.")
        self.background_tasks = Gauge(
            "mxcheck_background_tasks", "Lookups and what belongs to them, waited for or not."
        )
        self.dns_answers = Counter("mxcheck_dns_answers", "DNS questions, by result.", type=DNS_TYPES, result=DnsResult)
        self.dns_failures_in_a_row = Gauge("mxcheck_dns_failures_in_a_row", "DNS questions failed since an answer.")
        self.probes = Counter("mxcheck_probes", "Probes of mail servers, by verdict.", family=FAMILIES, verdict=Verdict)
        self.probe_duration = Histogram("mxcheck_probe_duration_seconds", "Time that a probe took.", family=FAMILIES)
        self.late_greetings = Counter(
            "mxcheck_late_greetings",
            "Greetings that were waited for after the verdict was given, by the verdict in the end.",
            verdict=Verdict,
        )
        self.lingering_probes = Gauge("mxcheck_lingering_probes", "Connections whose greeting is waited for.")
        self.open_probes = Gauge("mxcheck_open_probes", "Connections to mail hosts that are open or being made.")
        self.probes_crowded_out = Counter(
            "mxcheck_probes_crowded_out", "Probes that were not made for want of a seat for their connection."
        )
        self.complaints = Counter(
            "mxcheck_probe_complaints", "Greetings that turn our own address away, by why.", about=Complaint
        )
        self.egress_up = Mean(
            "mxcheck_egress_up", "Part of the workers that probe; the others are in DNS-only mode.", family=FAMILIES
        )
        self.egress_openings = Counter(
            "mxcheck_egress_openings", "Times that DNS-only mode began, in each worker.", family=FAMILIES
        )
        self.probes_withheld = Counter(
            "mxcheck_probes_withheld", "Probes that DNS-only mode did not let be made.", family=FAMILIES
        )
        self.probe_locks = Counter("mxcheck_probe_locks", "Probe locks, by how they were found.", result=Lock)
        self.inflight_waits = Counter(
            "mxcheck_inflight_waits",
            "Waits for work that was under way elsewhere, by layer and how they ended.",
            layer=LAYERS,
            result=Wait,
        )
        self.probes_limited = Counter(
            "mxcheck_probes_limited", "Probes that were not made, by the limit that was reached.", limit=Limit
        )
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
        self.families = tuple(value for value in vars(self).values() if isinstance(value, Family))
        self._request_places = {
            (endpoint, code): self._places_of_request(endpoint, code)
            for endpoint in (*endpoints, OTHER)
            for code in _CODES
        }
        ends = list(itertools.accumulate(family.width for family in self.families))
        self._slices = {
            family.name: slice(end - family.width, end) for family, end in zip(self.families, ends, strict=True)
        }
        width = ends[-1]
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
        cells[duration + bisect_left(SECONDS, seconds)] += 1
        cells[duration + SUM] += seconds

    def counts(self) -> Counts:
        """Return the counters of a check's way, for the row that is taken now."""
        return Counts(
            verdicts=self.verdicts,
            domain_duration=self.domain_duration,
            outlived=self.background_lookups,
            crashes=self.lookup_crashes,
            cache_reads=self.cache_reads,
            dns=self.dns_answers,
            probes=self.probes,
            probe_duration=self.probe_duration,
            locks=self.probe_locks,
            waits=self.inflight_waits,
            limited=self.probes_limited,
            complaints=self.complaints,
            late_greetings=self.late_greetings,
            openings=self.egress_openings,
            withheld=self.probes_withheld,
        )

    def fold(self) -> None:
        """Bring this process' row up to date with what its objects count by themselves."""
        for family in self.families:
            if isinstance(family, Counter):
                family.fold()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, the workers' together."""
        build = GaugeMetricFamily("mxcheck_build_info", "The version that runs; always 1.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        for family in self.families:
            yield family.told(self.total(family))

    def total(self, family: Family) -> Sequence[float]:
        """Return the numbers of a family, the workers' together."""
        return family.merged([row[self._slices[family.name]] for row in self._rows])

    def text(self) -> bytes:
        """Return the exposition, of content type `CONTENT_TYPE`."""
        self.fold()
        return exposition.generate_latest(self)

    def _places_of_request(self, endpoint: str, code: int) -> tuple[int, int]:
        return self.requests.place((endpoint, code)), self.request_duration.place((endpoint,))

    def _cells_of(self, row: Cells) -> Iterator[tuple[Family, Cells]]:
        for family in self.families:
            yield family, row[self._slices[family.name]]
