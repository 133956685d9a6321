"""Limits of probes over real servers: services that know nothing of each other have one limit together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest

from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.core.limits import WINDOW
from mxcheck_service.core.settings import REFERENCE, Improvements, MxCheckSettings
from mxcheck_service.ports import CacheBackend, SystemClock
from mxcheck_service.probing import Probing
from mxcheck_service.trace import Trace
from tests.contract.caches import connect
from tests.contract.test_near_cache import bench
from tests.lab.redis import RedisServer
from tests.unit.fakes import FakeProber, judged

SETTINGS = MxCheckSettings(key_prefix="p")
HOST = "mx.one.example"
LIMITS = ("probes_per_address", "probes_per_network", "probes_per_suffix", "probes_globally")
ADDRESSES = [f"11.0.{network}.{number}" for network in range(5) for number in range(1, 11)]


Pair = tuple[CacheBackend, CacheBackend]


class HandClock(SystemClock):
    """A clock whose minutes pass when told to."""

    def __init__(self) -> None:
        self.now = WINDOW * 1_000_000.0

    def time(self) -> float:
        return self.now


class Service:
    """Probing on a cache of its own to the same servers."""

    def __init__(self, cache: CacheBackend, clock: HandClock, improvements: Improvements) -> None:
        self.cache = cache
        self.prober = FakeProber()
        self._clock = clock
        layers = CacheLayers(cache, SETTINGS, improvements)
        self._probing = Probing(SETTINGS, improvements, layers, self.prober, clock)

    async def verdict(self, ip: str) -> str:
        return await judged(self._probing, ip, Trace(self._clock), HOST)

    async def verdicts(self, ips: Sequence[str]) -> list[str]:
        """Return what they come to, all asked at once."""
        return list(await asyncio.gather(*map(self.verdict, ips)))


def improvements(**limits: int) -> Improvements:
    """Return settings without limits but these."""
    return Improvements(**(dict.fromkeys(LIMITS, 0) | limits))  # type: ignore[arg-type] # all of these are numbers


@pytest.fixture(params=["redis", "near", "cluster", "sentinel"])
async def caches(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Two ways to the same servers."""
    async with AsyncExitStack() as stack:
        if request.param == "near":
            server: RedisServer = request.getfixturevalue("redis_server")
            yield tuple([(await stack.enter_async_context(bench(server))).near for _ in range(2)])  # type: ignore[misc]
            return
        name = "redis_server" if request.param == "redis" else f"redis_{request.param}"
        url = request.getfixturevalue(name).url
        one, two = (connect(url, timeout=5, max_connections=4) for _ in range(2))
        stack.push_async_callback(one.close)
        stack.push_async_callback(two.close)
        yield one, two


@pytest.mark.parametrize(
    ("limit", "most", "made"),
    [
        pytest.param("probes_globally", 12, 12, id="globally"),
        pytest.param("probes_per_suffix", 7, 7, id="per-suffix"),
        pytest.param("probes_per_network", 3, 15, id="per-network"),
    ],
)
async def test_two_services_have_one_limit(caches: Pair, limit: str, most: int, made: int) -> None:
    clock = HandClock()
    one, two = (Service(cache, clock, improvements(**{limit: most})) for cache in caches)
    for minute in range(1, 3):
        halves = await asyncio.gather(one.verdicts(ADDRESSES[::2]), two.verdicts(ADDRESSES[1::2]))
        found = [verdict for half in halves for verdict in half]
        assert set(found) == {"gd", "ratelimited"} | ({"gd*"} if minute > 1 else set())
        probed = one.prober.probed + two.prober.probed
        assert len(probed) == len(set(probed))
        # Asked all at once, some that are refused may stand in the way of others for a moment.
        for ip in ADDRESSES:
            await one.verdict(ip)
        assert len(one.prober.probed + two.prober.probed) == made * minute
        clock.now += WINDOW


async def test_one_address_has_its_limit_whoever_asks(caches: Pair) -> None:
    clock = HandClock()
    one, two = (Service(cache, clock, improvements(probes_per_address=3)) for cache in caches)
    found = []
    for service in (one, two, one, two, one):
        found.append(await service.verdict("11.0.0.1"))
        await service.cache.delete("p:i:11.0.0.1")
        assert await service.cache.get("p:i:11.0.0.1") is None
    assert found == ["gd", "gd", "gd", "ratelimited", "ratelimited"]
    clock.now += WINDOW
    assert await two.verdict("11.0.0.1") == "gd"


async def test_what_is_known_is_not_counted_and_no_number_stays(redis_server: RedisServer) -> None:
    cache = connect(redis_server.url, timeout=5, max_connections=4)
    service = Service(cache, HandClock(), Improvements())
    assert [await service.verdict("11.0.0.1") for _ in range(3)] == ["gd", "gd*", "gd*"]
    names = ("address:11.0.0.1", "network:11.0.0.0/24", "suffix:one.example", "global")
    with redis_server.client() as client:
        keys = list(client.scan_iter("p:p:*"))
        assert sorted(keys) == sorted(f"p:p:1000000:{name}" for name in names)
        assert client.mget(keys) == ["1"] * 4
        for key in keys:
            left = client.ttl(key)
            assert isinstance(left, int)
            assert WINDOW < left <= 2 * WINDOW
    await cache.close()


async def test_the_reference_counts_nothing(redis_server: RedisServer) -> None:
    cache = connect(redis_server.url, timeout=5, max_connections=4)
    assert await Service(cache, HandClock(), REFERENCE).verdict("11.0.0.1") == "gd"
    await cache.close()
    with redis_server.client() as client:
        assert client.keys() == ["p:i:11.0.0.1"]
