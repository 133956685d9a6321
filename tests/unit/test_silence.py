"""Names that fail while nothing is answered are forgotten once something is; those that fail by themselves are not."""

from dataclasses import replace

import pytest

from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.codec import AddressList, MxList
from mxcheck_service.core.model import Verdict
from mxcheck_service.core.settings import RECOMMENDED, Improvements, MxCheckSettings
from mxcheck_service.names import Names
from mxcheck_service.ports import DnsFailure
from mxcheck_service.silence import DOUBT, MOST, Key, Silence
from mxcheck_service.trace import Trace
from tests.unit.fakes import FailingCache, FakeClock, FakeResolver, a, mx

SERVFAIL, UNASKED = DnsFailure("SERVFAIL"), DnsFailure("TIMEOUT", unasked=True)
SETTINGS = MxCheckSettings()


def names(count: int) -> list[Key]:
    return [Key("d", f"d{number}.example") for number in range(count)]


class TestSilence:
    def test_names_that_failed_in_a_row_are_told_at_the_next_answer_and_once(self) -> None:
        silence = Silence()
        assert all(silence.failed(key, 1.0) for key in names(DOUBT))
        assert silence.answered(2.0) == names(DOUBT)
        assert silence.answered(3.0) == []

    def test_fewer_may_be_dead_each_by_itself(self) -> None:
        silence = Silence()
        for _ in range(3):
            for key in names(DOUBT - 1):
                silence.failed(key, 1.0)
            assert silence.answered(2.0) == [], "an answer between them tells that somebody is there"

    def test_hosts_under_one_registered_name_are_one(self) -> None:
        silence = Silence()
        for number in range(2 * DOUBT):
            silence.failed(Key("m", f"mx{number}.dead.example"), 1.0)
        assert silence.answered(2.0) == []

    def test_a_question_from_before_the_end_is_not_believed_when_it_fails_after_it(self) -> None:
        silence = Silence()
        for key in names(DOUBT):
            silence.failed(key, 1.0)
        silence.answered(5.0)
        assert not silence.failed(Key("d", "late.example"), 4.9)
        assert silence.failed(Key("d", "later.example"), 5.0)

    def test_what_is_remembered_is_bounded(self) -> None:
        silence = Silence()
        for key in names(MOST + 10):
            silence.failed(key, 1.0)
        assert silence.answered(2.0) == names(MOST + 10)[10:]


class Bench:
    def __init__(self, improvements: Improvements = RECOMMENDED) -> None:
        self.clock = FakeClock()
        self.memory = FailingCache(MemoryCache(100, self.clock), failing={"ping"})
        host = "mx.good.example"
        self.resolver = FakeResolver(mx={"good.example": mx(host)}, a={host: a("11.0.0.1")})
        layers = CacheLayers(self.memory, SETTINGS, improvements)
        self.names = Names(SETTINGS, improvements, layers, self.resolver, self.clock)

    async def fail(self, failure: DnsFailure, count: int = DOUBT) -> list[str]:
        """Ask for so many domains to which this is the answer; return their names."""
        failed = [f"d{number}.example" for number in range(count)]
        for name in failed:
            self.resolver.answers(name, failure)
            assert await self.names.domain(name, Trace(self.clock)) == (Verdict.DNS_FAIL, False)
        return failed

    async def answer(self) -> None:
        entry, _ = await self.names.domain("good.example", Trace(self.clock))
        assert isinstance(entry, MxList)

    async def cached(self, layer: str, name: str) -> str | None:
        return await self.memory.get(f"rmx:{layer}:{name}")


async def test_failures_of_the_time_when_nothing_was_answered_are_forgotten() -> None:
    bench = Bench()
    failed = await bench.fail(SERVFAIL)
    bench.resolver.answers("mx.dead.example", SERVFAIL)
    assert await bench.names.host("mx.dead.example", Trace(bench.clock)) is Verdict.DNS_FAIL
    assert {await bench.cached("d", name) for name in failed} == {"df"}
    # What another service has found out about one of them by now is not touched.
    await bench.memory.set(f"rmx:d:{failed[0]}", "no", 60)
    await bench.answer()
    assert [await bench.cached("d", name) for name in failed] == ["no", *[None] * (DOUBT - 1)]
    assert await bench.cached("m", "mx.dead.example") is None
    assert await bench.cached("d", "good.example") is not None


async def test_an_address_is_an_answer_too() -> None:
    bench = Bench()
    failed = await bench.fail(SERVFAIL)
    assert isinstance(await bench.names.host("mx.good.example", Trace(bench.clock)), AddressList)
    assert {await bench.cached("d", name) for name in failed} == {None}


async def test_failures_among_answers_stay() -> None:
    bench = Bench()
    failed = await bench.fail(SERVFAIL, DOUBT - 1)
    await bench.answer()
    assert {await bench.cached("d", name) for name in failed} == {"df"}


async def test_what_could_not_be_asked_is_not_kept_at_all() -> None:
    bench = Bench()
    assert {await bench.cached("d", name) for name in await bench.fail(UNASKED)} == {None}
    bench.resolver.answers("mx.dead.example", UNASKED)
    assert await bench.names.host("mx.dead.example", Trace(bench.clock)) is Verdict.DNS_FAIL
    assert await bench.cached("m", "mx.dead.example") is None


async def test_where_local_faults_are_blamed_they_are_kept_as_in_the_reference() -> None:
    bench = Bench(replace(RECOMMENDED, blame_local_errors=True))
    failed = await bench.fail(UNASKED)
    await bench.answer()
    assert {await bench.cached("d", name) for name in failed} == {"df"}


async def test_a_dead_cache_does_not_fail_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    await bench.fail(SERVFAIL)
    bench.memory.failing = {"get_many"}
    await bench.answer()
    assert f"{DOUBT} failures stay cached until they expire" in caplog.text
