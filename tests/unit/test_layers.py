"""Typed access to the layers: what a claim comes to, and what a failing cache costs (reference: cache_get, *_lock)."""

from dataclasses import replace

import pytest

from mxcheck_service.cache.layers import CacheLayers, Claim
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.codec import AddressList, MxList, Slot
from mxcheck_service.core.model import Family, MxHost, Outcome, Verdict
from mxcheck_service.core.settings import REFERENCE, MxCheckSettings
from mxcheck_service.trace import Trace
from tests.unit.fakes import FailingCache, FakeClock

IP = "11.0.0.1"
KEY = f"rmx:i:{IP}"
LOCK_TTL = 3
SETTINGS = MxCheckSettings()
MX_LIST = MxList((MxHost(10, "mx.example"),))
ADDRESSES = AddressList(Family.V4, (IP,))
TRACE = Trace(FakeClock())


class Bench:
    def __init__(self, settings: MxCheckSettings = SETTINGS, failing: tuple[str, ...] | None = None) -> None:
        self.memory = MemoryCache(100, FakeClock())
        backend = self.memory if failing is None else FailingCache(self.memory, failing)
        self.layers = CacheLayers(backend, settings, REFERENCE)

    def entries(self) -> dict[str, tuple[str, float]]:
        return self.memory.snapshot()


@pytest.mark.parametrize(
    ("present", "claim", "left"),
    [
        pytest.param(None, Claim.WON, "l", id="absent-is-won"),
        pytest.param("l", Claim.HELD, "l", id="lock-is-held"),
        pytest.param("", Claim.HELD, "", id="empty-string-is-held"),
        pytest.param("gd", Outcome(Verdict.GOOD), "gd", id="verdict-is-used"),
        pytest.param("err:421", Outcome(Verdict.ERROR, "421"), "err:421", id="error-is-used"),
        pytest.param("junk", Claim.WON, "l", id="garbage-is-overwritten"),
    ],
)
async def test_claim(present: str | None, claim: Claim | Outcome, left: str) -> None:
    bench = Bench()
    if present is not None:
        await bench.memory.set(KEY, present, 1000)
    assert await bench.layers.claim(IP) == claim
    value, seconds = bench.entries()[KEY]
    assert value == left
    assert seconds == (LOCK_TTL if claim is Claim.WON else 1000)


@pytest.mark.parametrize("failing", ["set_if_absent", "get"])
async def test_claim_that_cannot_be_decided_has_failed(failing: str) -> None:
    bench = Bench(failing=(failing,))
    await bench.memory.set(KEY, "l", 1000)
    assert await bench.layers.claim(IP) is Claim.FAILED


async def test_garbage_that_cannot_be_overwritten_is_a_failed_claim() -> None:
    bench = Bench(failing=("set",))
    await bench.memory.set(KEY, "junk", 1000)
    assert await bench.layers.claim(IP) is Claim.FAILED


async def test_released_lock_can_be_claimed_anew() -> None:
    bench = Bench()
    assert await bench.layers.claim(IP) is Claim.WON
    await bench.layers.release(IP)
    assert bench.entries() == {}
    assert await bench.layers.claim(IP) is Claim.WON


async def test_each_layer_has_its_keys_values_and_lifetimes() -> None:
    bench = Bench(replace(SETTINGS, key_prefix="own", expire_dns=7, expire=11))
    await bench.layers.store_domain("d.example", MX_LIST)
    await bench.layers.store_domain("a.example", ADDRESSES)
    await bench.layers.store_host("mx.example", ADDRESSES)
    await bench.layers.store_verdict(IP, Outcome(Verdict.GOOD))
    assert bench.entries() == {
        "own:d:d.example": ("mx:mx.example:10", 7),
        "own:d:a.example": (f"a:v4:{IP}", 7),
        "own:m:mx.example": (f"v4:{IP}", 7),
        f"own:i:{IP}": ("gd", 11),
    }
    assert await bench.layers.domain("d.example", TRACE) == MX_LIST
    assert await bench.layers.domain("a.example", TRACE) == ADDRESSES
    assert await bench.layers.hosts(["none.example", "mx.example"], TRACE) == [None, ADDRESSES]
    assert await bench.layers.addresses(["11.0.0.2", IP], TRACE) == [None, Outcome(Verdict.GOOD)]


async def test_dns_that_is_not_cached_is_neither_read_nor_written_but_verdicts_are() -> None:
    bench = Bench(replace(SETTINGS, expire_dns=0))
    await bench.memory.set("rmx:d:d.example", "no", 1000)
    await bench.memory.set("rmx:m:mx.example", "no", 1000)
    assert await bench.layers.domain("d.example", TRACE) is None
    assert await bench.layers.hosts(["mx.example"], TRACE) == [None]
    await bench.layers.store_domain("d.example", Verdict.NULL)
    await bench.layers.store_host("mx.example", ADDRESSES)
    await bench.layers.store_verdict(IP, Outcome(Verdict.REFUSED))
    assert {key: value for key, (value, _) in bench.entries().items()} == {
        "rmx:d:d.example": "no",
        "rmx:m:mx.example": "no",
        KEY: "rf",
    }


async def test_values_outside_the_grammar_are_misses_but_garbage_of_an_address() -> None:
    bench = Bench()
    for key in ("rmx:d:d.example", "rmx:m:mx.example", KEY):
        await bench.memory.set(key, "junk", 1000)
    assert await bench.layers.domain("d.example", TRACE) is None
    assert await bench.layers.hosts(["mx.example"], TRACE) == [None]
    assert await bench.layers.addresses([IP], TRACE) == [Slot.GARBAGE]


async def test_cache_that_fails_is_a_cache_that_knows_nothing_and_forgets_everything() -> None:
    bench = Bench(failing=())
    assert await bench.layers.domain("d.example", TRACE) is None
    assert await bench.layers.hosts(["a.example", "b.example"], TRACE) == [None, None]
    assert await bench.layers.addresses([IP], TRACE) == [None]
    await bench.layers.store_domain("d.example", MX_LIST)
    await bench.layers.store_host("mx.example", ADDRESSES)
    await bench.layers.store_verdict(IP, Outcome(Verdict.GOOD))
    await bench.layers.release(IP)
    assert await bench.layers.claim(IP) is Claim.FAILED
    assert await bench.layers.force_claim(IP) is Claim.FAILED


async def test_only_the_verdict_that_is_not_believed_is_taken_back() -> None:
    bench = Bench()
    entries = {"11.0.0.1": "tc", "11.0.0.2": "gd", "11.0.0.3": "l", "11.0.0.4": "tr", "11.0.0.5": "tc"}
    for ip, value in entries.items():
        await bench.memory.set(f"rmx:i:{ip}", value, 1000)
    assert await bench.layers.take_back([*list(entries)[:4], "11.0.0.6"], Verdict.TIMEOUT_CONNECT) == 1
    del entries["11.0.0.1"]
    assert {key: value for key, (value, _) in bench.entries().items()} == {
        f"rmx:i:{ip}": value for ip, value in entries.items()
    }


@pytest.mark.parametrize("failing", ["get_many", "delete"])
async def test_what_cannot_be_taken_back_is_logged(failing: str, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(failing=(failing,))
    await bench.memory.set(KEY, "tc", 1000)
    assert await bench.layers.take_back([IP], Verdict.TIMEOUT_CONNECT) == 0
    assert "verdicts tc on 1 addresses: not taken back" in caplog.text
