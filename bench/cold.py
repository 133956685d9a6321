"""What a check costs that finds nothing in the cache: MX, A, connect probe, lock and three writes.

    python -m bench.cold [--domains 20000] [--rounds 5] [--json FILE]

Every check is about a domain, a host and an address that were never seen. Beside it the service with its batching off,
and the floor: a script that does just the two DNS queries and the connection. They take turns within each round, each
alone on one core; Redis, the DNS server, the SMTP peers and the caller share the other. Answers that are not a probe's
and entries that are not in Redis afterwards are counted. Needs redis-server and knot.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import uvloop

from bench import report
from bench.load import Answers, ask
from bench.stage import (
    OTHER_CORE,
    QUIET,
    SERVER_CORE,
    ZONE,
    Program,
    cpu_seconds,
    domain,
    entries,
    in_turn,
    on_core,
    zone,
)
from mxcheck_service.settings import CacheSettings
from tests.lab.knot import KnotServer
from tests.lab.redis import RedisServer
from tests.lab.service import UNLIMITED, Service

AT_ONCE: Final = (64, 256)
SERVICE, UNBATCHED, FLOOR = "service", "batching off", "floor"
# A service without that setting can be measured too.
_CAN_UNBATCH: Final = "batching" in CacheSettings.model_fields
OVERLAYS: Final[Mapping[str, Mapping[str, Any]]] = {SERVICE: {}} | (
    {UNBATCHED: {"batching": False}} if _CAN_UNBATCH else {}
)
_WARM_UP: Final = 200
_TOLERATED: Final = 0.01
"""Share of the answers that may be wrong: on a machine that others keep busy some time out."""
_TAIL: Final = 0.2
"""Seconds for the service to hear from Redis what it has just written."""


@dataclass(frozen=True)
class Cost:
    """Of one candidate in one round."""

    rate: float
    cpu_microseconds: float
    wrong: int = 0
    """Answers that were no probe's verdict, for want of time or of Redis."""
    missing: int = 0
    """Entries that are not in Redis."""


class Numbers:
    """Hands out numbers of domains, each once."""

    def __init__(self) -> None:
        self.next = 0

    def take(self, count: int) -> range:
        taken = range(self.next, self.next + count)
        self.next += count
        return taken


@dataclass(frozen=True)
class Stage:
    redis: RedisServer
    knot: KnotServer
    peers: Program
    services: dict[str, Service]

    def floor(self, numbers: range, concurrency: int) -> Cost:
        count = len(numbers) - _WARM_UP
        words = (self.knot.nameserver, self.peers.port, numbers.start, count, concurrency)
        argv = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "bench.floor", *map(str, words)]
        run = subprocess.run(argv, capture_output=True, text=True, check=True)
        found = json.loads(run.stdout)
        return _cost(count, found["seconds"], found["cpu"], wrong=found["failed"])

    def service(self, name: str, numbers: range, concurrency: int) -> Cost:
        service = self.services[name]
        warm_up, measured = numbers[:_WARM_UP], numbers[_WARM_UP:]
        _check(service, warm_up, concurrency)
        before = cpu_seconds(service.pid)
        answers = _check(service, measured, concurrency)
        time.sleep(_TAIL)
        cpu = cpu_seconds(service.pid) - before
        missing = self._missing(name, measured)
        return _cost(len(measured), answers.seconds, cpu, wrong=len(answers.wrong), missing=missing)

    def _missing(self, name: str, numbers: range) -> int:
        expected = {key: value for number in numbers for key, value in entries(number, prefix=_prefix(name)).items()}
        with self.redis.client() as client:
            found: Any = client.mget(list(expected))
        return sum(value != expected[key] for key, value in zip(expected, found, strict=True))


def _cost(checks: int, seconds: float, cpu: float, *, wrong: int, missing: int = 0) -> Cost:
    return Cost(checks / seconds, cpu / checks * 1e6, wrong, missing)


def _prefix(name: str) -> str:
    """Keys of its own for each service: Redis tells each one of its own writes only."""
    return name.replace(" ", "-")


def _check(service: Service, numbers: range, concurrency: int) -> Answers:
    bodies: Iterator[bytes] = iter([json.dumps({"sender": f"x@{domain(number)}"}).encode() for number in numbers])
    return uvloop.run(ask(service.url, bodies, connections=concurrency, wanted=[b'"MX_GOOD"', b'"cached":false']))


def measure(domains: int, rounds: int, at_once: Sequence[int]) -> dict[str, dict[str, list[Cost]]]:
    """The cost of each round, by concurrency and candidate; each meets so many domains at each concurrency."""
    names = [*OVERLAYS, FLOOR]
    each = domains // rounds + _WARM_UP
    numbers = Numbers()
    found: dict[str, dict[str, list[Cost]]] = {}
    with ExitStack() as stack:
        with on_core(OTHER_CORE):
            redis = stack.enter_context(RedisServer())
            everything = range(each * rounds * len(names) * len(at_once))
            knot = stack.enter_context(KnotServer({ZONE: zone(everything)}))
            peers = stack.enter_context(Program("acceptor"))
        with on_core(SERVER_CORE):
            services = {
                name: stack.enter_context(
                    Service(
                        {
                            "cache": {"url": redis.url, **overlay},
                            "dns": {"nameservers": [knot.nameserver]},
                            "improvements": UNLIMITED,
                            "mx_check": {"test_mode": True, "port": peers.port, "key_prefix": _prefix(name)},
                            "server": QUIET,
                        },
                        name=_prefix(name),
                    )
                )
                for name, overlay in OVERLAYS.items()
            }
        stage = Stage(redis, knot, peers, services)
        stack.enter_context(on_core(OTHER_CORE))
        for concurrency in at_once:
            costs: dict[str, list[Cost]] = {name: [] for name in names}
            for number in range(rounds):
                for name in in_turn(names, number):
                    taken = numbers.take(each)
                    costs[name].append(
                        stage.floor(taken, concurrency) if name == FLOOR else stage.service(name, taken, concurrency)
                    )
            found[str(concurrency)] = costs
    return found


def summary(found: dict[str, dict[str, list[Cost]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Medians, and their relations to the floor's CPU and to the rate with batching off."""
    summed: dict[str, dict[str, dict[str, float]]] = {}
    for concurrency, costs in found.items():
        rates = {name: [cost.rate for cost in each] for name, each in costs.items()}
        cpu = {name: [cost.cpu_microseconds for cost in each] for name, each in costs.items()}
        summed[concurrency] = {
            name: {
                "rate": statistics.median(rates[name]),
                "cpu_microseconds": statistics.median(cpu[name]),
                "cpu_of_floor": report.relation(cpu[name], cpu[FLOOR]),
                "wrong": sum(cost.wrong for cost in each),
                "missing": sum(cost.missing for cost in each),
            }
            for name, each in costs.items()
        }
        if UNBATCHED in costs:
            for name, median in summed[concurrency].items():
                median["rate_of_unbatched"] = report.relation(rates[name], rates[UNBATCHED])
    return summed


def main() -> None:
    parser = report.options("cold", __doc__)
    parser.add_argument("--domains", type=int, default=20_000, help="for each candidate and concurrency")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, nargs="+", default=AT_ONCE, help="checks under way")
    arguments = parser.parse_args()
    found = measure(arguments.domains, arguments.rounds, arguments.at_once)
    medians = summary(found)
    rounds = {at: {name: [vars(cost) for cost in costs] for name, costs in each.items()} for at, each in found.items()}
    report.save(arguments, {"rounds": rounds, "medians": medians})
    rows = [
        [
            concurrency,
            name,
            f"{median['rate']:,.0f}",
            f"{median['cpu_microseconds']:.0f}",
            f"{median['cpu_of_floor']:.2f}",
            f"{median['rate_of_unbatched']:.2f}" if "rate_of_unbatched" in median else "-",
            f"{median['wrong']}, {median['missing']}",
        ]
        for concurrency, each in medians.items()
        for name, median in each.items()
    ]
    head = ["at once", "", "checks a second", "CPU µs a check", "of the floor's CPU", "of the rate with batching off"]
    head.append("wrong answers, entries missing")
    print(report.table(head, rows))
    if any(median["wrong"] > _TOLERATED * arguments.domains for each in medians.values() for median in each.values()):
        sys.exit("More than 1% of the answers are wrong: the machine is too busy for these figures to mean anything.")


if __name__ == "__main__":
    main()
