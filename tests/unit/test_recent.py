"""The latest verdicts that were not good."""

import pytest

from mxcheck_service import recent
from mxcheck_service.core.model import Candidate, DomainResult, Lookup, Outcome, Source, Verdict
from mxcheck_service.recent import Complaint, Recent


class Bench:
    """What two workers remember; the clock goes on by a second with every look."""

    def __init__(self, most: int = 3) -> None:
        self.now = 1000.0
        # As after a fork: each has its own, and the memory is shared.
        self.one = Recent(most, 2, self.tick)
        self.other = Recent.__new__(Recent)
        self.other.__dict__.update(self.one.__dict__)
        self.other._own = type(self.one._own)()
        self.other.take_row(1)

    def tick(self) -> float:
        self.now += 1
        return self.now


def result(
    domain: str, verdict: Verdict = Verdict.REFUSED, source: Source = Source.FROM, host: str = ""
) -> DomainResult:
    outcome = Outcome(verdict, "554" if verdict is Verdict.ERROR else None)
    return DomainResult(Candidate(domain, source), Lookup(outcome, host or f"mx.{domain}"))


def domains(found: list[Complaint]) -> list[str]:
    return [complaint.domain for complaint in found]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_but_good_ones_is_kept(verdict: Verdict) -> None:
    bench = Bench()
    bench.one.saw(result("a.test", verdict))
    kept = domains(bench.one.latest())
    good = verdict in (Verdict.GOOD, Verdict.ERROR, Verdict.WHITE, Verdict.SKIP)
    assert kept == ([] if good else ["a.test"])


def test_what_is_told_of_one() -> None:
    bench = Bench()
    bench.one.saw(result("a.test", Verdict.TIMEOUT_READ, Source.REPLY_TO))
    assert bench.one.latest() == [Complaint(1001.0, "a.test", Source.REPLY_TO, "tr", "mx.a.test", 1)]


def test_one_that_comes_again_is_one_and_the_latest() -> None:
    bench = Bench()
    for domain in ("a.test", "b.test", "a.test"):
        bench.one.saw(result(domain))
    first, second = bench.one.latest()
    assert (first.domain, first.times, second.domain, second.times) == ("a.test", 2, "b.test", 1)


def test_another_verdict_or_source_is_another() -> None:
    bench = Bench()
    for verdict, source in (
        (Verdict.REFUSED, Source.FROM), (Verdict.NONE, Source.FROM), (Verdict.NONE, Source.MIME_FROM),
    ):  # fmt: skip
        bench.one.saw(result("a.test", verdict, source))
    assert [complaint.times for complaint in bench.one.latest()] == [1, 1, 1]


def test_the_oldest_makes_room() -> None:
    bench = Bench(most=2)
    for domain in ("a.test", "b.test", "a.test", "c.test"):
        bench.one.saw(result(domain))
    assert domains(bench.one.latest()) == ["c.test", "a.test"]


def test_workers_tell_of_each_other_what_is_published() -> None:
    bench = Bench()
    bench.one.saw(result("a.test"))
    bench.other.saw(result("b.test"))
    assert domains(bench.one.latest()) == ["a.test"]
    bench.other.publish()
    assert domains(bench.one.latest()) == ["b.test", "a.test"]
    assert domains(bench.other.latest()) == ["b.test"]
    bench.other.saw(result("c.test"))
    bench.other.saw(result("d.test"))
    bench.other.publish()
    assert domains(bench.one.latest()) == ["d.test", "c.test", "b.test"], "the latest of all, no more than one may keep"


def test_who_follows_a_worker_goes_on_where_that_left() -> None:
    bench = Bench()
    bench.other.saw(result("b.test"))
    bench.other.publish()
    bench.one.take_row(1)
    bench.one.saw(result("b.test"))
    bench.one.publish()
    assert [(complaint.domain, complaint.times) for complaint in bench.one.latest()] == [("b.test", 2)]


def test_what_is_being_written_is_not_read() -> None:
    bench = Bench()
    bench.other.saw(result("b.test"))
    bench.other.publish()
    bench.other._part._head[0] += 1
    assert bench.one.latest() == []


def test_who_follows_a_worker_that_was_killed_over_it_can_publish() -> None:
    bench = Bench()
    bench.other._part._head[0] = 7
    bench.other.saw(result("b.test"))
    bench.other.publish()
    assert domains(bench.one.latest()) == ["b.test"]


def test_what_changes_while_it_is_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.other.saw(result("b.test"))
    bench.other.publish()
    part = bench.other._part
    editions = iter([(2, 10), (2, 10)])
    monkeypatch.setattr(recent, "_LOOKS", 2)

    class Moving:
        def __iter__(self) -> object:
            return iter(next(editions))

        def __getitem__(self, place: int) -> int:
            return 4

    part._head = Moving()  # type: ignore[assignment]
    assert part.read() == []


def test_what_is_too_long_for_the_memory_loses_its_oldest() -> None:
    bench = Bench(most=2)
    for domain in ("a.test", "b.test"):
        bench.other.saw(result(domain, host="x" * 1000))
    bench.other.publish()
    assert domains(bench.one.latest()) == ["b.test"]


def test_hostile_names_come_back_as_they_are() -> None:
    bench = Bench()
    host = '\x00<script>\u202e"\\\r\n'
    bench.other.saw(result("a.test", host=host))
    bench.other.publish()
    assert [complaint.host for complaint in bench.one.latest()] == [host]
