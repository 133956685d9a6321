"""What is left of a service that is offered more than it can do: one, two and five times its peak.

    python -m bench.overload [--seconds 4] [--rounds 5] [--deadline-ms 2000] [--json FILE]

Cold: every check is about a domain that was never seen. The peak is what a closed loop gets; then so much is offered
by a caller that does not wait, and an answer counts that tells a verdict within the deadline. Warm: the answer is in
memory, and takes hardly longer to give than to refuse; wrk has five times the connections, and then a thousand.
Refusal: what 503 costs the processor beside a warm check. Fairness: one-domain checks at a third of the peak, alone,
and beside callers that keep asking for a hundred domains each. The service has a core; callers, Redis, the DNS server
and the mail hosts share the other. Needs redis-server, knot and wrk.
"""

import asyncio
import itertools
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import aiohttp
import uvloop

from bench import report
from bench.load import cost, same, wrk
from bench.pacing import RAMP, Offered, offer, saturate
from bench.stage import OTHER_CORE, QUIET, SERVER_CORE, ZONE, Program, cpu_seconds, domain, on_core, zone
from tests.lab.knot import KnotServer
from tests.lab.redis import RedisServer
from tests.lab.service import UNLIMITED, Service

FACTORS: Final = (1, 2, 5)
_AT_ONCE: Final = 128
"""Cold checks under way while the peak is looked for; more of them get no more."""
_CONNECTIONS: Final = 1500
"""Of the caller that does not wait: more than lookups may be under way."""
_WARM_CONNECTIONS: Final = (64, 128, 320, 1000)
_REFUSED_CONNECTIONS: Final = (64, 1000)
_MANY: Final = 100
_MANY_CALLERS: Final = 16
_SHARE: Final = 3
_LOOK: Final = 0.1
_WATCHED: Final = ("/healthz", "/readyz", "/metrics")


class Stage:
    """A service whose mail hosts all accept, and names that nobody has asked for."""

    def __init__(self, service: Service, domains: int, deadline_ms: int) -> None:
        self.service = service
        self.deadline = deadline_ms / 1000
        # What is asked for all the time is the last one.
        self._numbers = iter(range(domains - 1))
        self.known = f"a@{domain(domains - 1)}"

    def bodies(self) -> Iterator[bytes]:
        """Checks of one domain each."""
        while True:
            name = domain(next(self._numbers))
            yield json.dumps({"sender": f"x@{name}", "deadline_ms": self.deadline * 1000}).encode()

    def large_bodies(self) -> Iterator[bytes]:
        """Checks of so many domains that there is no end of it."""
        while True:
            names = [f"x@{domain(next(self._numbers))}" for _ in range(_MANY)]
            yield json.dumps({"mime_from": names}).encode()

    def told(self, offered: Offered, cpu: float) -> dict[str, float]:
        """The figures of a load; `cpu`: what the service used of the time, in seconds."""
        good = offered.good(self.deadline)
        statuses = offered.statuses()
        answered = sum(statuses.values())
        refused = [answer.seconds for answer in offered.counted() if answer.status == 503]
        return {
            "offered": offered.sent / (offered.seconds + RAMP),
            "goodput": len(good) / offered.seconds,
            "refused": statuses[503] / offered.seconds,
            "late": (answered - len(good) - statuses[503]) / offered.seconds,
            "p99": report.percentile(good, 99) if len(good) > 1 else float("nan"),
            "p99_refused": report.percentile(refused, 99) if len(refused) > 1 else 0.0,
            "cores": cpu / (offered.seconds + RAMP),
        }


@contextmanager
def staged(domains: int, deadline_ms: int) -> Iterator[Stage]:
    with ExitStack() as stack:
        with on_core(OTHER_CORE):
            redis = stack.enter_context(RedisServer())
            knot = stack.enter_context(KnotServer({ZONE: zone(range(domains))}))
            peers = stack.enter_context(Program("acceptor"))
        with on_core(SERVER_CORE):
            settings = {
                "cache": {"url": redis.url},
                "dns": {"nameservers": [knot.nameserver]},
                "improvements": UNLIMITED,
                "mx_check": {"test_mode": True, "port": peers.port},
                "server": QUIET,
            }
            service = stack.enter_context(Service(settings))
        stack.enter_context(on_core(OTHER_CORE))
        yield Stage(service, domains, deadline_ms)


async def watched(url: str, waits: list[float]) -> None:
    """Ask how the service is, again and again, and note how long that takes."""
    async with aiohttp.ClientSession() as session:
        for path in itertools.cycle(_WATCHED):
            begin = time.perf_counter()
            async with session.get(url + path) as response:
                await response.read()
                if response.status != 200:
                    raise RuntimeError(f"{path}: {response.status}")
            waits.append(time.perf_counter() - begin)
            await asyncio.sleep(_LOOK)


async def idle(service: Service) -> None:
    """Wait until nothing of a load is left."""
    while (await service.metrics()).value("mxcheck_background_tasks"):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(_LOOK)


def cold(stage: Stage, seconds: float) -> dict[str, dict[str, float]]:
    """The peak, and what so many times it come to."""
    url, pid = stage.service.url, stage.service.pid
    before = cpu_seconds(pid)
    closed = uvloop.run(saturate(url, stage.bodies(), connections=_AT_ONCE, seconds=seconds))
    found = {"peak": stage.told(closed, cpu_seconds(pid) - before)}
    if not found["peak"]["goodput"]:
        sys.exit("No check has ended within its deadline: the machine is too busy.")
    for factor in FACTORS:
        before, waits = cpu_seconds(pid), list[float]()

        async def load(rate: float = found["peak"]["goodput"] * factor, waits: list[float] = waits) -> Offered:
            watching = asyncio.create_task(watched(url, waits))
            try:
                return await offer(url, stage.bodies(), rate=rate, seconds=seconds, connections=_CONNECTIONS)
            finally:
                watching.cancel()

        offered = uvloop.run(load())
        told = stage.told(offered, cpu_seconds(pid) - before)
        told["of_peak"] = told["goodput"] / found["peak"]["goodput"]
        told["of_peak_by_cpu"] = (told["goodput"] / told["cores"]) / (found["peak"]["goodput"] / found["peak"]["cores"])
        told["health_max"] = max(waits, default=float("nan"))
        found[f"{factor}x"] = told
        asyncio.run(idle(stage.service))
    # A closed loop gets more than any load that does not wait, so what those make of each other is told, too.
    best = max(each["goodput"] for each in loads(found))
    for each in loads(found):
        each["of_best"] = each["goodput"] / best
    return found


def warm(stage: Stage, seconds: int) -> dict[str, dict[str, float]]:
    """What wrk gets with so many connections; nothing is refused, or it is counted."""
    body = {"sender": stage.known, "deadline_ms": int(stage.deadline * 1000)}
    for _ in range(2):
        asyncio.run(stage.service.check(body))
    found: dict[str, dict[str, float]] = {}
    for connections in _WARM_CONNECTIONS:
        load = wrk(stage.service.url, same(body), connections=connections, seconds=seconds, refusals=True)
        found[str(connections)] = {
            "goodput": (load.requests - load.refused) / load.seconds,
            "refused": load.refused / load.seconds,
            "p99": load.p99,
        }
    peak = found[str(_WARM_CONNECTIONS[0])]["goodput"]
    return {name: each | {"of_peak": each["goodput"] / peak} for name, each in found.items()}


def refusal(stage: Stage, seconds: int) -> dict[str, dict[str, float]]:
    """CPU microseconds, by connections, of a refusal in place of a lookup, of a warm check, and of what HTTP costs in
    this language: of a bare aiohttp handler that has the refusal's body at hand."""
    with ExitStack() as stack:
        nobody = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        nobody.bind(("127.0.0.1", 0))
        # The one lookup that may be made waits for its answer.
        silent = {"nameservers": [f"127.0.0.1:{nobody.getsockname()[1]}"], "timeout": 60, "tries": 10}
        settings = {"dns": silent, "server": QUIET | {"max_concurrent_requests": 1}}
        fixed = stack.enter_context(tempfile.NamedTemporaryFile("w"))
        with on_core(SERVER_CORE):
            full = stack.enter_context(Service(settings, name="full"))
            stack.callback(full.kill)  # asked to end, it would wait for the lookup
            asyncio.run(full.check({"sender": "a@one.test", "deadline_ms": 1}))
            fixed.write(json.dumps(asyncio.run(full.check({"sender": "a@two.test"})).body))
            fixed.flush()
            bare = stack.enter_context(Program("bare", fixed.name))
        asked, found = same({"sender": "a@two.test"}), {}
        for connections in _REFUSED_CONNECTIONS:
            warm = cost(stage.service, same({"sender": stage.known}), connections=connections, seconds=seconds)
            http = cost(bare, asked, connections=connections, seconds=seconds)
            before = cpu_seconds(full.pid)
            load = wrk(full.url, asked, connections=connections, seconds=seconds, refusals=True)
            if load.refused != load.requests:
                raise RuntimeError(f"{load.requests - load.refused} of {load.requests} were not refused")
            refused = (cpu_seconds(full.pid) - before) / load.requests * 1e6
            found[str(connections)] = {
                "refused": refused,
                "warm": warm.cpu_microseconds,
                "bare": http.cpu_microseconds,
            }
    return found


def fairness(stage: Stage, rate: float, seconds: float) -> dict[str, dict[str, float]]:
    """Checks of one domain at this rate, alone and beside callers that ask for many each, all the time."""
    url = stage.service.url

    def one() -> Coroutine[None, None, Offered]:
        return offer(url, stage.bodies(), rate=rate, seconds=seconds, connections=_CONNECTIONS // 4)

    async def both() -> tuple[Offered, Offered]:
        many = saturate(url, stage.large_bodies(), connections=_MANY_CALLERS, seconds=seconds)
        return await asyncio.gather(one(), many)

    pid = stage.service.pid
    before = cpu_seconds(pid)
    alone = stage.told(uvloop.run(one()), cpu_seconds(pid) - before)
    before = cpu_seconds(pid)
    few, many = uvloop.run(both())
    beside = stage.told(few, cpu_seconds(pid) - before)
    beside["p99_of_alone"] = beside["p99"] / alone["p99"]
    beside["many"] = many.statuses()[200] / many.seconds
    return {"alone": alone, "beside many": beside}


def main() -> None:
    parser = report.options("overload", __doc__)
    parser.add_argument("--seconds", type=int, default=4, help="of each load")
    parser.add_argument("--rounds", type=int, default=5, help="of the peak and its multiples")
    parser.add_argument("--domains", type=int, default=400_000, help="in the zone; each is asked for once")
    parser.add_argument("--deadline-ms", type=int, default=2000, help="of each check")
    arguments = parser.parse_args()
    with staged(arguments.domains, arguments.deadline_ms) as stage:
        rounds = [cold(stage, arguments.seconds) for _ in range(arguments.rounds)]
        found_cold = medians(rounds)
        found_fair = fairness(stage, found_cold["peak"]["goodput"] / _SHARE, arguments.seconds)
        found_warm = warm(stage, arguments.seconds)
        found_cost = refusal(stage, arguments.seconds)
    results = {"rounds": rounds, "cold": found_cold, "fairness": found_fair, "warm": found_warm, "refusal": found_cost}
    report.save(arguments, results)
    print(*tables(results), sep="\n\n")


def tables(results: Mapping[str, Any]) -> Iterator[str]:
    """The tables of docs/reliability.md, and a line on what else was seen."""
    found_cold, found_fair = results["cold"], results["fairness"]
    rows = [[f"cold, {name}", *_row(each)] for name, each in found_cold.items()]
    rows += [[f"cold, a third of the peak, {name}", *_row(each)] for name, each in found_fair.items()]
    head = [
        "",
        "offered",
        "goodput",
        "of the peak",
        "of the best load",
        "refused",
        "late",
        "p99 of the good",
        "p99 of the refused",
        "cores",
    ]
    yield report.table(head, rows)
    yield report.table(
        ["warm, connections", "goodput", "of the peak", "refused", "p99"],
        [
            [name, f"{each['goodput']:,.0f}", f"{each['of_peak']:.2f}", f"{each['refused']:,.0f}", _ms(each["p99"])]
            for name, each in results["warm"].items()
        ],
    )
    yield report.table(
        ["connections", "CPU µs of a refusal", "of a warm check", "of a bare handler"],
        [
            [name, f"{each['refused']:.0f}", f"{each['warm']:.0f}", f"{each['bare']:.0f}"]
            for name, each in results["refusal"].items()
        ],
    )
    yield (
        f"The slowest look at the service's health took {_ms(max(each['health_max'] for each in loads(found_cold)))}. "
        f"Beside many, the p99 of one is {found_fair['beside many']['p99_of_alone']:.1f} times that alone."
    )


def medians(rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """The median of each figure over the rounds, in each of which the load was a multiple of that round's own peak."""
    return {
        load: {name: statistics.median(found[load][name] for found in rounds) for name in figures}
        for load, figures in rounds[0].items()
    }


def loads(found: Mapping[str, dict[str, float]]) -> list[dict[str, float]]:
    return [found[f"{factor}x"] for factor in FACTORS]


def _row(each: Mapping[str, float]) -> list[str]:
    return [
        f"{each['offered']:,.0f}",
        f"{each['goodput']:,.0f}",
        *(f"{each[name]:.2f}" if name in each else "-" for name in ("of_peak", "of_best")),
        f"{each['refused']:,.0f}",
        f"{each['late']:,.0f}",
        _ms(each["p99"]),
        _ms(each["p99_refused"]),
        f"{each['cores']:.2f}",
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


if __name__ == "__main__":
    main()
