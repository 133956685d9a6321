"""How old an entry is, as an explained lookup and a look at the entry tell: its whole lifetime less what is left."""

from dataclasses import replace

import pytest

from mxcheck_service.cache.layers import CacheLayers, Layer
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.model import Outcome, Verdict
from mxcheck_service.core.settings import RECOMMENDED, MxCheckSettings
from mxcheck_service.trace import Fact, Trace
from tests.unit.fakes import FailingCache, FakeClock

SETTINGS = MxCheckSettings(expire=1000, expire_dns=100, expire_novalid=500, expire_timeout=200)
IMPROVEMENTS = replace(RECOMMENDED, expire_dns_fail=10)
IP = "11.0.0.1"

LIFETIMES: list[tuple[Layer, str, int]] = [
    ("d", "mx:mx.example:10", 100),
    ("d", f"a:v4:{IP}", 100),
    ("d", "null", 100),
    ("d", "df", 10),
    ("m", f"v4:{IP}", 100),
    ("m", "df", 10),
    ("i", "gd", 1000),
    ("i", "tr", 1000),
    ("i", "err:554", 1000),
    ("i", "tc", 200),
    ("i", "rf", 500),
    ("i", "inv", 500),
    ("i", "l", 3),
]
NAMES = {"d": "d.example", "m": "mx.example", "i": IP}


class Bench:
    def __init__(self, failing: tuple[str, ...] | None = None) -> None:
        self.clock = FakeClock()
        self.memory = MemoryCache(100, self.clock)
        backend = self.memory if failing is None else FailingCache(self.memory, failing)
        self.layers = CacheLayers(backend, SETTINGS, IMPROVEMENTS)

    async def put(self, layer: Layer, value: str, ttl: int) -> None:
        await self.memory.set(f"rmx:{layer}:{NAMES[layer]}", value, ttl)

    async def explained(self, layer: Layer) -> dict[str, Fact]:
        """Return what an explained read of the layer tells."""
        trace = Trace(self.clock)
        match layer:
            case "d":
                await self.layers.domain(NAMES["d"], trace)
            case "m":
                await self.layers.hosts([NAMES["m"]], trace)
            case _:
                await self.layers.addresses([IP], trace)
        (step,) = trace.steps
        return dict(step.facts)


@pytest.mark.parametrize(("layer", "value", "lifetime"), LIFETIMES)
async def test_age_is_the_lifetime_of_its_kind_less_what_is_left(layer: Layer, value: str, lifetime: int) -> None:
    bench = Bench()
    await bench.put(layer, value, lifetime)
    bench.clock.now += 2
    assert await bench.explained(layer) == {
        "layer": layer, "key": NAMES[layer], "value": value, "age_s": 2.0, "left_s": lifetime - 2.0, "took_ms": 0.0
    }  # fmt: skip
    entry = await bench.layers.entry(layer, NAMES[layer])
    assert entry is not None
    assert (entry.value, entry.age, entry.left) == (value, 2.0, lifetime - 2.0)


@pytest.mark.parametrize(
    ("layer", "value", "ttl"),
    [
        pytest.param("d", "null", 101, id="lives-longer-than-we-write-it"),
        pytest.param("i", "junk", 60, id="garbage"),
        pytest.param("d", "junk", 60, id="outside-the-grammar"),
    ],
)
async def test_age_is_unknown_when_the_settings_do_not_tell_it(layer: Layer, value: str, ttl: int) -> None:
    bench = Bench()
    await bench.put(layer, value, ttl)
    assert (await bench.explained(layer)).items() >= {"age_s": None, "left_s": float(ttl)}.items()
    entry = await bench.layers.entry(layer, NAMES[layer])
    assert entry is not None
    assert (entry.age, entry.left) == (None, ttl)


async def test_a_miss_has_no_age() -> None:
    assert await Bench().explained("d") == {"layer": "d", "key": "d.example", "value": None, "took_ms": 0.0}
    assert await Bench().layers.entry("d", "d.example") is None


async def test_only_explaining_asks_for_ages() -> None:
    memory = MemoryCache(100, FakeClock())
    counting = FailingCache(memory, ("nothing",))
    layers = CacheLayers(counting, SETTINGS, IMPROVEMENTS)
    await memory.set(f"rmx:i:{IP}", "gd", 1000)
    await layers.addresses([IP], Trace(FakeClock(), explain=False))
    assert counting.calls == ["get_many"]
    await layers.addresses([IP], Trace(FakeClock()))
    assert counting.calls == ["get_many", "get_many", "seconds_left"]


async def test_an_age_that_cannot_be_asked_for_costs_nothing_else() -> None:
    bench = Bench(failing=("seconds_left",))
    await bench.put("i", "gd", 1000)
    assert await bench.explained("i") == {"layer": "i", "key": IP, "value": "gd", "took_ms": 0.0}


@pytest.mark.parametrize(
    ("verify", "slow", "value", "left", "age"),
    [
        pytest.param(True, 3.0, "gd", 50 + 8, None, id="it-may-be-provisional"),
        pytest.param(True, 3.0, "gd", 50 + 9, 1000 - 59, id="left-for-longer-than-a-provisional-one-has"),
        pytest.param(True, 3.0, "tr", 50, 950, id="never-provisional"),
        pytest.param(True, None, "gd", 50, 950, id="none-is-provisional"),
        pytest.param(False, 3.0, "gd", 50, 950, id="no-greeting-is-waited-for"),
    ],
)
async def test_nobody_knows_the_age_of_what_may_be_provisional(
    verify: bool, slow: float | None, value: str, left: int, age: float | None
) -> None:
    bench = Bench()
    settings = replace(SETTINGS, verify_greeting=verify, connect_timeout=2.0, read_timeout=5.0)
    bench.layers = CacheLayers(bench.memory, settings, replace(RECOMMENDED, slow_greeting=slow, greeting_patience=50))
    await bench.put("i", value, left)
    assert (await bench.explained("i"))["age_s"] == age


async def test_a_provisional_verdict_lives_until_its_greeting_is_given_up_and_a_little_longer() -> None:
    bench = Bench()
    settings = replace(SETTINGS, verify_greeting=True, connect_timeout=2.0, read_timeout=5.0)
    layers = CacheLayers(bench.memory, settings, replace(RECOMMENDED, greeting_patience=49.5))
    await layers.store_provisional(IP, Outcome(Verdict.GOOD))
    assert bench.memory.snapshot() == {f"rmx:i:{IP}": ("gd", 50 + 8)}
