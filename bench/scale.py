"""How cost grows with size.

    python -m bench.scale [NAME ...] [--seconds 3] [--rounds 3] [--largest 1000000] [--json FILE]

    near         the near cache with 1,000 to 1,000,000 domains in it (three entries each): memory, and time of a hit
    concurrency  1 to 1,000 requests at once
    domains      1 to 10 domains a message
    maps         look-ups in maps of 10 to 1,000,000 entries, in this process

Without a name: all of them. The service has one core; wrk and Redis share the other. Sizes take turns in each round. A
near cache for which the memory is not there is left out, and said so. Needs redis-server and wrk.
"""

import json
import statistics
import time
import timeit
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final, TypeVar

import psutil
import uvloop

from bench import report
from bench.load import WARM, Cost, ask, cost, same, varied, wrk
from bench.stage import (
    ALL_IN_REDIS,
    OTHER_CORE,
    SERVER_CORE,
    ZONE,
    address,
    domain,
    fill,
    in_turn,
    on_core,
    resident_bytes,
)
from mxcheck_service.core.maplist import GlobMap, MapEntry, RadixMap
from tests.lab.redis import RedisServer
from tests.lab.service import Service

T = TypeVar("T")
Found = dict[str, dict[str, float]]

NEAR_SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
CONCURRENCY: Final = (1, 10, 100, 1000)
DOMAINS: Final = (1, 2, 3, 5, 10)
MAP_SIZES: Final = (10, 1_000, 100_000, 1_000_000)
WILDCARD_SIZES: Final = (10, 100, 1_000, 10_000)
"""Each is a pattern to be tried, one after the other: larger maps of them are nothing to be used."""

_ENTRIES_EACH: Final = 3
_BYTES_EACH: Final = 3_000
"""Room for a domain in Redis and in the service, amply."""
_CONNECTIONS: Final = 16
_AT_A_TIME: Final = 100
_WARM_UP: Final = 50
_SOME: Final = 1_000
_LOOKUPS: Final = 1_000


def rounds(sizes: Iterable[int], count: int, measure: Callable[[int], T]) -> dict[int, list[T]]:
    """Measure each size once a round."""
    names = {str(size): size for size in sizes}
    found: dict[int, list[T]] = {size: [] for size in names.values()}
    for number in range(count):
        for name in in_turn(list(names), number):
            found[names[name]].append(measure(names[name]))
    return found


def near(options: Namespace) -> Found:
    available = psutil.virtual_memory().available
    sizes = [size for size in NEAR_SIZES if size <= options.largest and size * _BYTES_EACH * 2 < available]
    found: Found = {str(size): {} for size in sizes}
    with ExitStack() as stack:
        redis, services = _start(stack, {size: size * _ENTRIES_EACH for size in sizes}, filled=sizes[-1])
        for size, service in services.items():
            # Memory that every service comes to use is none of the entries'.
            for _ in range(_WARM_UP):
                _ask_about(service, range(_AT_A_TIME))
            before = resident_bytes(service.pid)
            started = time.perf_counter()
            _ask_about(service, range(size))
            found[str(size)]["fill_seconds"] = time.perf_counter() - started
            grown = resident_bytes(service.pid) - before
            found[str(size)]["bytes_per_entry"] = grown / ((size - _AT_A_TIME) * _ENTRIES_EACH)
        commands: dict[int, list[float]] = {size: [] for size in sizes}

        def hits(size: int) -> Cost:
            before = _commands(redis)
            each = cost(services[size], _any_of(size), connections=_CONNECTIONS, seconds=options.seconds)
            commands[size].append((_commands(redis) - before) / each.rate / options.seconds)
            return each

        for size, costs in rounds(sizes, options.rounds, hits).items():
            found[str(size)]["cpu_microseconds"] = statistics.median(each.cpu_microseconds for each in costs)
            found[str(size)]["redis_commands_per_hit"] = statistics.median(commands[size])
    return found


def concurrency(options: Namespace) -> Found:
    with ExitStack() as stack:
        _, services = _start(stack, {1: _SOME}, filled=1)
        body = same({"sender": f"x@{domain(0)}"})
        loads = rounds(
            CONCURRENCY,
            options.rounds,
            lambda connections: wrk(services[1].url, body, connections=connections, seconds=options.seconds),
        )
    return {
        str(size): {
            "rate": statistics.median(load.rate for load in each),
            "p50_milliseconds": statistics.median(load.p50 for load in each) * 1e3,
            "p99_milliseconds": statistics.median(load.p99 for load in each) * 1e3,
        }
        for size, each in loads.items()
    }


def domains(options: Namespace) -> Found:
    with ExitStack() as stack:
        _, services = _start(stack, {1: _SOME}, filled=max(DOMAINS))

        def message(size: int) -> Cost:
            body = same({"mime_from": [f"x@{domain(number)}" for number in range(size)]})
            return cost(services[1], body, connections=_CONNECTIONS, seconds=options.seconds)

        costs = rounds(DOMAINS, options.rounds, message)
    return {
        str(size): {"cpu_microseconds": statistics.median(each.cpu_microseconds for each in found)}
        for size, found in costs.items()
    }


def maps(options: Namespace) -> dict[str, Found]:
    """Nanoseconds of a look-up, half of them hits all over the map and half of them misses."""
    kinds: dict[str, tuple[Iterable[int], Callable[[int], GlobMap | RadixMap], Callable[[int], str]]] = {
        "literal": (MAP_SIZES, lambda size: GlobMap.of(_map_entries(size, domain)), domain),
        "wildcard": (
            WILDCARD_SIZES,
            lambda size: GlobMap.of(_map_entries(size, lambda number: f"*.{domain(number)}")),
            lambda number: f"mx.{domain(number)}",
        ),
        "cidr": (
            MAP_SIZES,
            lambda size: RadixMap.of(_map_entries(size, _network)),
            lambda number: address(number * 256),
        ),
    }
    found: dict[str, Found] = {}
    for kind, (sizes, build, key) in kinds.items():
        tables = {size: build(size) for size in sizes if size <= options.largest_map}

        def lookup(size: int, tables: Mapping[int, Any] = tables, key: Callable[[int], str] = key) -> float:
            get = tables[size].get
            # Every other one of these lies past the end of the map.
            step = max(1, 2 * size // _LOOKUPS)
            keys = [key(number * step) for number in range(_LOOKUPS)]
            return min(timeit.repeat(lambda: [get(text) for text in keys], number=1, repeat=5)) / _LOOKUPS * 1e9

        for size, nanoseconds in rounds(tables, options.rounds, lookup).items():
            found.setdefault(kind, {})[str(size)] = {"nanoseconds": statistics.median(nanoseconds)}
    return found


def _map_entries(size: int, key: Callable[[int], str]) -> Iterator[MapEntry]:
    return (MapEntry(key(number), "", f"map:{number}") for number in range(size))


def _network(number: int) -> str:
    """Networks of some sizes, as lists of them are; no two overlap."""
    return f"{address(number * 256)}/{(24, 26, 28, 32)[number % 4]}"


def _start(stack: ExitStack, near_entries: Mapping[int, int], *, filled: int) -> tuple[RedisServer, dict[int, Service]]:
    """Start a Redis with the entries of so many domains, and a service for each size of the near cache."""
    with on_core(OTHER_CORE):
        redis = stack.enter_context(RedisServer())
    fill(redis, filled)
    with on_core(SERVER_CORE):
        services = {
            size: stack.enter_context(Service(ALL_IN_REDIS | {"cache": {"url": redis.url, "near_entries": entries}}))
            for size, entries in near_entries.items()
        }
    return redis, services


def _ask_about(service: Service, numbers: range) -> None:
    """Ask about all of them, many domains a request."""
    bodies = (
        json.dumps({"mime_from": [f"x@{domain(number)}" for number in numbers[first : first + _AT_A_TIME]]}).encode()
        for first in range(0, len(numbers), _AT_A_TIME)
    )
    with on_core(OTHER_CORE):
        uvloop.run(ask(service.url, bodies, connections=4, wanted=WARM)).all_right()


def _any_of(size: int) -> str:
    """A script of wrk that asks about any of the first domains."""
    return varied(
        f"""
        math.randomseed(1)
        return function()
          return string.format('{{"sender": "x@d%d.{ZONE}"}}', math.random(0, {size - 1}))
        end"""
    )


def _commands(redis: RedisServer) -> int:
    with redis.client() as client:
        info: Any = client.info("stats")
    return int(info["total_commands_processed"])


BENCHMARKS: Final[Mapping[str, Callable[[Namespace], Any]]] = {
    "near": near,
    "concurrency": concurrency,
    "domains": domains,
    "maps": maps,
}


def tables(results: Mapping[str, Any]) -> Iterator[str]:
    if found := results.get("near"):
        smallest = next(iter(found.values()))["cpu_microseconds"]
        rows = [
            [f"{int(size):,}", f"{each['bytes_per_entry']:.0f}", f"{each['cpu_microseconds'] / smallest:.2f}"]
            for size, each in found.items()
        ]
        yield report.table(["domains in the near cache", "bytes of memory an entry", "CPU time of a hit"], rows)
    if found := results.get("concurrency"):
        slowest = next(iter(found.values()))["rate"]
        rows = [
            [
                f"{int(size):,}",
                f"{each['rate'] / slowest:.2f}",
                f"{each['p99_milliseconds'] / each['p50_milliseconds']:.1f}",
            ]
            for size, each in found.items()
        ]
        yield report.table(["requests at once", "rate", "p99 of p50"], rows)
    if found := results.get("domains"):
        one = next(iter(found.values()))["cpu_microseconds"]
        rows = [[size, f"{each['cpu_microseconds'] / one:.2f}"] for size, each in found.items()]
        yield report.table(["domains a message", "CPU time"], rows)
    for kind, found in results.get("maps", {}).items():
        smallest = next(iter(found.values()))["nanoseconds"]
        rows = [
            [f"{int(size):,}", f"{each['nanoseconds']:.0f}", f"{each['nanoseconds'] / smallest:.2f}"]
            for size, each in found.items()
        ]
        yield report.table([f"{kind} entries", "ns a look-up", "of the smallest"], rows)


def main() -> None:
    parser = report.options("scale", __doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", default="all", choices=["all", *BENCHMARKS])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=1_000_000, help="near cache, in domains")
    parser.add_argument("--largest-map", type=int, default=1_000_000, help="entries")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    for name in BENCHMARKS if "all" in arguments.names else arguments.names:
        results[name] = BENCHMARKS[name](arguments)
        print(*tables({name: results[name]}), sep="\n\n", end="\n\n", flush=True)
        report.save(arguments, results)
    if left_out := [size for size in NEAR_SIZES if "near" in results and str(size) not in results["near"]]:
        print(f"Left out, for want of memory or by --largest: {left_out}")


if __name__ == "__main__":
    main()
