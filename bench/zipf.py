"""Whether memory stays flat: a Zipf mix of a million domains through a near cache of 100,000 entries.

    python -m bench.zipf [--requests 10000000] [--domains 1000000] [--near 100000] [--seconds 15] [--json FILE]

wrk asks for domains by Zipf's law (the n-th most frequent one 1/n times as often as the first), from one core; the
service has the other. All are in Redis, so that only the near cache churns. Memory is read after each --seconds; the
first million requests, or half of fewer than two million, are the warm-up. Before and after, a thousand domains must be
answered right and out of the cache. Needs redis-server and wrk.
"""

import json
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from typing import Final, NamedTuple

import uvloop

from bench import report
from bench.load import WARM, ask, varied, wrk
from bench.stage import ALL_IN_REDIS, OTHER_CORE, SERVER_CORE, ZONE, cpu_seconds, domain, fill, on_core, resident_bytes
from tests.lab.redis import RedisServer
from tests.lab.service import Service

_CONNECTIONS: Final = 32
_SAMPLE: Final = 1_000
_WARM_UP: Final = 1_000_000
_MIB: Final = 2**20


class Sample(NamedTuple):
    """How it stood after so many requests."""

    requests: int
    resident_mib: float
    cpu_microseconds: float
    """Of each request since the sample before."""


def zipf(domains: int, seed: int) -> str:
    """A script of wrk: the sums of 1/n up to each n, and of each random number the first sum that is not below it."""
    return varied(
        f"""
        math.randomseed({seed})
        local sums, sum = {{}}, 0
        for n = 1, {domains} do
          sum = sum + 1 / n
          sums[n] = sum
        end
        return function()
          local wanted, low, high = math.random() * sum, 1, {domains}
          while low < high do
            local middle = math.floor((low + high) / 2)
            if sums[middle] < wanted then low = middle + 1 else high = middle end
          end
          return string.format('{{"sender": "x@d%d.{ZONE}"}}', low - 1)
        end"""
    )


def measure(requests: int, domains: int, near: int, seconds: int) -> list[Sample]:
    with ExitStack() as stack:
        with on_core(OTHER_CORE):
            redis = stack.enter_context(RedisServer())
        fill(redis, domains)
        with on_core(SERVER_CORE):
            service = stack.enter_context(Service(ALL_IN_REDIS | {"cache": {"url": redis.url, "near_entries": near}}))
        _verify(service, domains)
        samples = [Sample(0, resident_bytes(service.pid) / _MIB, 0.0)]
        started = time.monotonic()
        for seed in count():
            before = cpu_seconds(service.pid)
            load = wrk(service.url, zipf(domains, seed), connections=_CONNECTIONS, seconds=seconds)
            cpu = (cpu_seconds(service.pid) - before) / load.requests * 1e6
            done = samples[-1].requests + load.requests
            samples.append(Sample(done, resident_bytes(service.pid) / _MIB, cpu))
            left = (time.monotonic() - started) / done * max(0, requests - done)
            print(
                f"{done:>12,} requests  {samples[-1].resident_mib:8.1f} MiB  {cpu:6.0f} µs CPU a request"
                f"  {left / 60:5.1f} min left",
                flush=True,
            )
            if done >= requests:
                break
        _verify(service, domains)
    return samples


def summary(samples: Sequence[Sample]) -> dict[str, float]:
    """The relation of the last tenth's memory to that of the first one after the warm-up, and the slope in between."""
    requests = samples[-1].requests
    begin = min(_WARM_UP, requests / 2)
    warm = [sample for sample in samples if sample.requests >= begin]
    tenth = (requests - begin) / 10
    first = statistics.median(s.resident_mib for s in warm if s.requests <= max(begin + tenth, warm[0].requests))
    last = statistics.median(s.resident_mib for s in warm if s.requests >= requests - tenth)
    steps = [sample.requests / 1e6 for sample in warm]
    # A single sample has no slope.
    slope = statistics.linear_regression(steps, [s.resident_mib for s in warm]).slope if len(warm) > 1 else 0.0
    return {
        "requests": requests,
        "first_mib": first,
        "last_mib": last,
        "last_of_first": last / first,
        "mib_per_million_requests": slope,
    }


def _verify(service: Service, domains: int) -> None:
    """Some of all of them, answered right and out of the cache."""
    bodies = (
        json.dumps({"sender": f"x@{domain(number)}"}).encode()
        for number in range(0, domains, max(1, domains // _SAMPLE))
    )
    with on_core(OTHER_CORE):
        uvloop.run(ask(service.url, bodies, connections=4, wanted=WARM)).all_right()


def main() -> None:
    parser = report.options("zipf", __doc__)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--domains", type=int, default=1_000_000)
    parser.add_argument("--near", type=int, default=100_000, help="cache.near_entries")
    parser.add_argument("--seconds", type=int, default=15, help="between two looks at the memory")
    arguments = parser.parse_args()
    samples = measure(arguments.requests, arguments.domains, arguments.near, arguments.seconds)
    found = summary(samples)
    report.save(arguments, {"samples": [sample._asdict() for sample in samples], "summary": found})
    head = ["requests", "first MiB", "last MiB", "last of first", "MiB a million requests"]
    row = [
        f"{found['requests']:,}",
        f"{found['first_mib']:.1f}",
        f"{found['last_mib']:.1f}",
        f"{found['last_of_first']:.3f}",
        f"{found['mib_per_million_requests']:+.2f}",
    ]
    print(report.table(head, [row]))


if __name__ == "__main__":
    main()
