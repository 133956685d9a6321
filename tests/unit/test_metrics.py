"""Counting: bounded series, rows that add up, rows that outlive their worker."""

import itertools
import math
import multiprocessing
from collections.abc import Iterable

import pytest

from mxcheck_service import __version__
from mxcheck_service.core.model import Source, Verdict
from mxcheck_service.counts import DNS_TYPES, FAMILIES, LAYERS, DnsResult, Ended, Lock, Origin, Read, Wait
from mxcheck_service.metrics import Metrics
from mxcheck_service.series import OTHER, Counter
from tests.lab.exposition import Exposition


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(["/a", "/b"], workers=3)


def told(metrics: Metrics) -> Exposition:
    return Exposition(metrics.text().decode())


def test_before_anything_is_counted_there_is_what_has_no_labels(metrics: Metrics) -> None:
    exposition = told(metrics)
    assert exposition.value("mxcheck_build_info", version=__version__) == 1
    names = {name for name, _ in exposition.samples}
    assert names == {
        "mxcheck_build_info",
        "mxcheck_connections",
        "mxcheck_connections_displaced_total",
        "mxcheck_near_cache_hits_total",
        "mxcheck_near_cache_misses_total",
        "mxcheck_near_cache_evictions_total",
        "mxcheck_near_cache_entries",
        "mxcheck_background_tasks",
        "mxcheck_lingering_probes",
        "mxcheck_open_probes",
        "mxcheck_probes_crowded_out_total",
        "mxcheck_lookup_crashes_total",
        "mxcheck_dns_failures_in_a_row",
        "mxcheck_redis_waiting",
        "mxcheck_requests_in_flight",
        "mxcheck_workers",
    }
    assert exposition.kinds["mxcheck_requests"] == "counter"


def test_requests_are_counted_by_endpoint_and_code(metrics: Metrics) -> None:
    for endpoint, code in [("/a", 200), ("/a", 200), ("/a", 503), ("/b", 200)]:
        metrics.request(endpoint, code, 0.25)
    requests = {key: value for key, value in told(metrics).samples.items() if key[0] == "mxcheck_requests_total"}
    assert sorted((*sorted(labels), value) for (_, labels), value in requests.items()) == [
        (("code", "200"), ("endpoint", "/a"), 2.0),
        (("code", "200"), ("endpoint", "/b"), 1.0),
        (("code", "503"), ("endpoint", "/a"), 1.0),
    ]


@pytest.mark.parametrize(
    ("endpoint", "code", "labels"),
    [
        ("/a", 299, {"endpoint": "/a", "code": OTHER}),
        ("/c", 200, {"endpoint": OTHER, "code": "200"}),
        (OTHER, 404, {"endpoint": OTHER, "code": "404"}),
        ("/c", 0, {"endpoint": OTHER, "code": OTHER}),
    ],
)
def test_what_was_not_foreseen_is_other(metrics: Metrics, endpoint: str, code: int, labels: dict[str, str]) -> None:
    metrics.request(endpoint, code, 0.0)
    exposition = told(metrics)
    assert exposition.value("mxcheck_requests_total", **labels) == 1
    assert exposition.value("mxcheck_request_duration_seconds_count", endpoint=labels["endpoint"]) == 1
    assert sum(value for (name, _), value in exposition.samples.items() if name == "mxcheck_requests_total") == 1


def test_no_value_of_a_label_makes_new_series(metrics: Metrics) -> None:
    """Labels that come from the wire are bounded, whatever comes."""
    for number in range(100):
        metrics.request(f"/{number}", 1000 + number, 0.1)
    assert told(metrics).value("mxcheck_requests_total", endpoint=OTHER, code=OTHER) == 100


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, "0.0005"), (0.0005, "0.0005"), (0.0006, "0.001"), (10.0, "10.0"), (10.1, "+Inf")]
)
def test_a_duration_falls_into_the_bucket_that_includes_it(metrics: Metrics, seconds: float, bucket: str) -> None:
    """Prometheus' buckets are cumulative, and their bounds inclusive."""
    metrics.request("/a", 200, seconds)
    metrics.request("/b", 200, 0.0)
    exposition = told(metrics)
    buckets = {
        float(dict(labels)["le"]): value
        for (name, labels), value in exposition.samples.items()
        if name == "mxcheck_request_duration_seconds_bucket" and ("endpoint", "/a") in labels
    }
    assert buckets == {bound: float(bound >= float(bucket)) for bound in buckets}
    assert len(buckets) == 15
    assert math.inf in buckets
    assert exposition.value("mxcheck_request_duration_seconds_sum", endpoint="/a") == seconds
    assert exposition.value("mxcheck_request_duration_seconds_count", endpoint="/a") == 1


def test_a_family_counts_what_its_other_way_counts(metrics: Metrics) -> None:
    """`request` has the places at hand; `add` and `observe` look them up."""
    metrics.request("/a", 200, 0.3)
    metrics.requests.add("/a", 200)
    metrics.request_duration.observe(0.3, "/a")
    exposition = told(metrics)
    assert exposition.value("mxcheck_requests_total", endpoint="/a", code="200") == 2
    assert exposition.value("mxcheck_request_duration_seconds_bucket", endpoint="/a", le="0.5") == 2
    assert exposition.value("mxcheck_request_duration_seconds_bucket", endpoint="/a", le="0.25") == 0
    assert exposition.value("mxcheck_request_duration_seconds_sum", endpoint="/a") == 0.6


def test_the_wrong_number_of_labels_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        Counter("x", "", one=["a"]).place(("a", "b"))


def test_rows_add_up_and_outlive_their_worker(metrics: Metrics) -> None:
    for number in range(3):
        metrics.take_row(number)
        metrics.request("/a", 200, 0.5)
    metrics.leave_row(1)
    metrics.take_row(1)
    metrics.request("/a", 200, 0.5)
    exposition = told(metrics)
    assert exposition.value("mxcheck_requests_total", endpoint="/a", code="200") == 4
    assert exposition.value("mxcheck_request_duration_seconds_sum", endpoint="/a") == 2.0


def test_a_count_kept_elsewhere_goes_on_where_a_dead_worker_left_it(metrics: Metrics) -> None:
    metrics.take_row(1)
    metrics.near_cache_hits.read_from(lambda: 5)
    metrics.fold()
    metrics.near_cache_hits.read_from(lambda: 2)
    assert told(metrics).value("mxcheck_near_cache_hits_total") == 7
    assert told(metrics).value("mxcheck_near_cache_hits_total") == 7


def test_a_gauge_is_what_there_is_now_in_the_workers_that_live(metrics: Metrics) -> None:
    entries = 10
    for number in (2, 1, 0):
        metrics.take_row(number)
        metrics.near_cache_entries.read_from(lambda: entries)
        metrics.fold()
    assert told(metrics).value("mxcheck_near_cache_entries") == 30
    entries = 4
    assert told(metrics).value("mxcheck_near_cache_entries") == 24
    metrics.leave_row(2)
    assert told(metrics).value("mxcheck_near_cache_entries") == 14


def test_what_workers_tell_of_themselves_is_the_mean_over_those_that_do(metrics: Metrics) -> None:
    assert told(metrics).series("mxcheck_redis_up") == {}
    for number, up in ((0, True), (1, False), (2, None)):
        metrics.take_row(number)
        metrics.redis_up.read_own(lambda up=up: up)  # type: ignore[misc]
        metrics.fold()
    assert told(metrics).series("mxcheck_redis_up") == {frozenset(): 0.5}
    metrics.leave_row(1)
    assert told(metrics).series("mxcheck_redis_up") == {frozenset(): 1.0}
    metrics.leave_row(0)
    assert told(metrics).series("mxcheck_redis_up") == {}


def test_a_tick_counts_in_the_row_that_was_taken_when_it_was_made(metrics: Metrics) -> None:
    metrics.take_row(2)
    tick, timer = metrics.requests.tick("/a", 200), metrics.request_duration.timer("/a")
    tick()
    tick()
    timer(0.3)
    metrics.take_row(0)
    metrics.requests.tick("/a", 200)()
    exposition = told(metrics)
    assert exposition.value("mxcheck_requests_total", endpoint="/a", code="200") == 3
    assert exposition.value("mxcheck_request_duration_seconds_bucket", endpoint="/a", le="0.5") == 1
    assert exposition.value("mxcheck_request_duration_seconds_bucket", endpoint="/a", le="0.25") == 0
    assert exposition.value("mxcheck_request_duration_seconds_sum", endpoint="/a") == 0.3


@pytest.mark.parametrize(
    ("counter", "metric", "labels", "vocabulary"),
    [
        ("verdicts", "verdicts", ("source", "verdict", "origin"), (Source, Verdict, Origin)),
        ("outlived", "background_lookups", ("result",), (Ended,)),
        ("crashes", "lookup_crashes", (), ()),
        ("cache_reads", "cache_reads", ("layer", "result"), (LAYERS, Read)),
        ("dns", "dns_answers", ("type", "result"), (DNS_TYPES, DnsResult)),
        ("probes", "probes", ("family", "verdict"), (FAMILIES, Verdict)),
        ("locks", "probe_locks", ("result",), (Lock,)),
        ("waits", "inflight_waits", ("layer", "result"), (LAYERS, Wait)),
    ],
)
def test_every_value_that_is_counted_was_foreseen(
    counter: str, metric: str, labels: tuple[str, ...], vocabulary: tuple[Iterable[str], ...], metrics: Metrics
) -> None:
    """One that was not would be told as `other`."""
    every = list(itertools.product(*vocabulary))
    for values in every:
        getattr(metrics.counts(), counter).tick(*values)()
    expected = {frozenset(zip(labels, map(str, values), strict=True)): 1.0 for values in every}
    assert told(metrics).series(f"mxcheck_{metric}_total") == expected


def test_every_duration_that_is_counted_was_foreseen(metrics: Metrics) -> None:
    for origin in Origin:
        metrics.counts().domain_duration.timer(origin)(0.1)
    for family in FAMILIES:
        metrics.counts().probe_duration.timer(family)(0.1)
    exposition = told(metrics)
    assert exposition.series("mxcheck_domain_duration_seconds_count") == {
        frozenset({("origin", origin.value)}): 1.0 for origin in Origin
    }
    assert exposition.series("mxcheck_probe_duration_seconds_count") == {
        frozenset({("family", family)}): 1.0 for family in FAMILIES
    }


def test_a_forked_process_counts_in_the_same_table(metrics: Metrics) -> None:
    def count() -> None:
        metrics.take_row(1)
        metrics.request("/a", 200, 0.5)

    process = multiprocessing.get_context("fork").Process(target=count)
    process.start()
    process.join(10)
    assert process.exitcode == 0
    metrics.request("/a", 200, 0.5)
    assert told(metrics).value("mxcheck_requests_total", endpoint="/a", code="200") == 2
