"""An hour of counts, step by step."""

import pytest

from mxcheck_service.core.model import Source, Verdict
from mxcheck_service.counts import DnsResult, Origin, Read
from mxcheck_service.history import CHECKS, SHED, STEP, STEPS, History, percentile
from mxcheck_service.metrics import Metrics

CHECK = "/v1/check"


class Bench:
    """Metrics of two workers, and their history at a clock that stands at the begin of a step."""

    def __init__(self) -> None:
        self.metrics = Metrics((CHECK, "/metrics"), 2)
        self.history = History(self.metrics, (CHECK,))
        self.now = 100 * STEP

    def check(self, times: int = 1, *, code: int = 200, seconds: float = 0.003) -> None:
        for _ in range(times):
            self.metrics.request(CHECK, code, seconds)

    def step(self, seconds: float = STEP) -> None:
        self.history.note(self.now)
        self.now += seconds


def test_a_step_has_what_came_between_two_samples() -> None:
    bench = Bench()
    bench.check(5)
    bench.step()
    bench.check(2)
    bench.check(3, code=503)
    bench.step()
    bench.step()
    first, second, third = bench.history.samples(bench.now)
    assert (second.since(first)(CHECKS), second.since(first)(SHED)) == (2, 3)
    assert (third.since(second)(CHECKS), third.since(second)(SHED)) == (0, 0)
    assert [sample.at / STEP for sample in (first, second, third)] == [100, 101, 102]


def test_what_is_due_is_written_once_and_by_whoever_looks_first() -> None:
    bench = Bench()
    bench.step(1.0)
    bench.check()
    bench.history.note(bench.now)  # another worker, a second later, in the same step
    (sample,) = bench.history.samples(bench.now)
    assert (sample.at, sample(CHECKS)) == (100 * STEP, 0)


def test_all_workers_count() -> None:
    bench = Bench()
    for worker in range(2):
        bench.metrics.take_row(worker)
        bench.check()
    assert bench.history.present(bench.now)(CHECKS) == 2


def test_requests_that_are_no_checks_do_not_count() -> None:
    bench = Bench()
    bench.metrics.request("/metrics", 200, 0.1)
    bench.metrics.request("/nowhere", 404, 0.1)
    present = bench.history.present(bench.now)
    assert present(CHECKS) == 0
    assert present.percentile(0.5) is None


def test_every_kind_of_count_is_told_apart() -> None:
    bench = Bench()
    metrics = bench.metrics
    for source in (Source.FROM, Source.MIME_FROM):
        metrics.verdicts.add(source, Verdict.REFUSED, Origin.FRESH)
    metrics.cache_reads.add("m", Read.NEAR)
    metrics.dns_answers.add("MX", DnsResult.NODATA)
    metrics.probes.add("v6", Verdict.GOOD)
    present = bench.history.present(bench.now)
    assert present(("verdicts", Verdict.REFUSED)) == 2
    assert present(("cache", "m", "near")) == present(("dns", "MX", "nodata")) == present(("probes", "v6", "gd")) == 1
    assert sum(present.numbers) == 5


def test_an_hour_is_kept_and_no_more() -> None:
    bench = Bench()
    for _ in range(STEPS + 50):
        bench.step()
        bench.check()
    samples = bench.history.samples(bench.now - STEP)
    assert len(samples) == STEPS + 1
    assert samples[-1].at - samples[0].at == STEPS * STEP
    assert samples[-1].since(samples[0])(CHECKS) == STEPS


def test_a_service_that_stood_still_has_a_longer_step() -> None:
    bench = Bench()
    bench.step(5 * STEP)
    bench.check()
    bench.step()
    first, second = bench.history.samples(bench.now)
    assert second.at - first.at == 5 * STEP
    assert second.since(first)(CHECKS) == 1


def test_what_is_older_than_an_hour_is_not_taken_for_new() -> None:
    bench = Bench()
    bench.step()
    assert bench.history.samples(bench.now + (STEPS + 1) * STEP) == []


@pytest.mark.parametrize(
    ("buckets", "share", "seconds"),
    [
        pytest.param([0] * 15, 0.5, None, id="nothing"),
        pytest.param([4, *[0] * 14], 0.5, 0.00025, id="half-of-the-first-bucket"),
        pytest.param([0, 0, 10, *[0] * 12], 1.0, 0.0025, id="all-of-a-bucket-is-its-bound"),
        pytest.param([1, 0, 0, 1, *[0] * 11], 0.5, 0.0005, id="between-buckets"),
        pytest.param([1, 0, 0, 1, *[0] * 11], 0.75, 0.00375, id="within-the-second"),
        pytest.param([*[0] * 14, 3], 0.5, 10.0, id="behind-the-last-bound"),
        pytest.param([99, *[0] * 13, 1], 0.99, 0.0005, id="one-in-a-hundred-is-late"),
    ],
)
def test_percentiles_are_estimated_within_their_bucket(buckets: list[int], share: float, seconds: float | None) -> None:
    assert percentile(buckets, share) == (None if seconds is None else pytest.approx(seconds))
