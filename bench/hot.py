"""What a warm check costs, beside a bare aiohttp handler, without the near cache, without the console, and with a log
line for each check.

    python -m bench.hot [--seconds 4] [--rounds 5] [--json FILE]

One domain in all three sources, and three different domains, all in the cache. wrk sends 16 connections' worth of the
same request from one core; each server in turn has the other one. The servers take turns within each round, so that a
machine whose speed drifts drifts for all of them. Where others use the cores too, CPU time tells more than the rate:
"bare's CPU of it" is what the relation of the rates would be on a machine of one's own. Needs redis-server and wrk.
"""

import asyncio
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import report
from bench.load import Cost, Server, cost, same
from bench.stage import ALL_IN_REDIS, OTHER_CORE, QUIET, SERVER_CORE, Program, domain, fill, in_turn, on_core
from tests.lab.redis import RedisServer
from tests.lab.service import Service

CONNECTIONS = 16
REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "1 domain": {"sender": f"a@{domain(0)}", "mime_from": f"Jo <jo@{domain(0)}>", "reply_to": f"b@{domain(0)}"},
    "3 domains": {"sender": f"a@{domain(0)}", "mime_from": f"Jo <jo@{domain(1)}>", "reply_to": f"b@{domain(2)}"},
}
NEAR, PLAIN, LOGGED = "near cache", "near cache, console off", "near cache, log at info"
FAR, BARE = "no near cache", "bare aiohttp"


def measure(seconds: int, rounds: int) -> dict[str, dict[str, list[Cost]]]:
    """What each round cost, by kind of message and server."""
    costs: dict[str, dict[str, list[Cost]]] = {}
    with ExitStack() as stack:
        with on_core(OTHER_CORE):
            redis = stack.enter_context(RedisServer())
        fill(redis, 3)
        stack.enter_context(on_core(SERVER_CORE))
        settings = ALL_IN_REDIS | {"cache": {"url": redis.url}}
        info = {"server": {"log_level": "info", "log_format": "json"}}
        off = {"server": QUIET | {"console": False}}
        near = stack.enter_context(Service(settings, name="near"))
        plain = stack.enter_context(Service(settings | off, name="plain"))
        logged = stack.enter_context(Service(settings | info, name="logged"))
        far = stack.enter_context(Service(settings | {"cache": {"url": redis.url, "near_entries": 0}}, name="far"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name, body in REQUESTS.items():
            reply = asyncio.run(near.check(body)).body
            if "MX_GOOD" not in reply["symbols"] or not reply["domains"][0]["cached"]:
                raise RuntimeError(f"not a warm check: {reply}")
            fixed = folder / name
            fixed.write_text(json.dumps(reply, separators=(",", ":")))
            bare = stack.enter_context(Program("bare", str(fixed)))
            servers: dict[str, Server] = {NEAR: near, PLAIN: plain, LOGGED: logged, FAR: far, BARE: bare}
            costs[name] = {server: [] for server in servers}
            for number in range(rounds):
                for server in in_turn(list(servers), number):
                    costs[name][server].append(
                        cost(servers[server], same(body), connections=CONNECTIONS, seconds=seconds)
                    )
    return costs


def summary(costs: Mapping[str, Mapping[str, Sequence[Cost]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Medians, and the relations to the bare handler in the same round."""
    summed: dict[str, dict[str, dict[str, float]]] = {}
    for kind, each in costs.items():
        rates = {name: [one.rate for one in found] for name, found in each.items()}
        cpu = {name: [one.cpu_microseconds for one in found] for name, found in each.items()}
        summed[kind] = {
            name: {
                "rate": statistics.median(rates[name]),
                "rate_of_bare": report.relation(rates[name], rates[BARE]),
                "cpu_microseconds": statistics.median(cpu[name]),
                "bare_of_cpu": report.relation(cpu[BARE], cpu[name]),
            }
            for name in each
        }
    return summed


def main() -> None:
    parser = report.options("hot", __doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    costs = measure(arguments.seconds, arguments.rounds)
    medians = summary(costs)
    rounds = {
        kind: {name: [one._asdict() for one in found] for name, found in each.items()} for kind, each in costs.items()
    }
    report.save(arguments, {"rounds": rounds, "medians": medians})
    rows = [
        [
            kind,
            name,
            f"{median['rate']:,.0f}",
            f"{median['rate_of_bare']:.2f}",
            f"{median['cpu_microseconds']:.0f}",
            f"{median['bare_of_cpu']:.2f}",
        ]
        for kind, each in medians.items()
        for name, median in each.items()
    ]
    head = ["", "", "requests a second", "of bare", "CPU µs a request", "bare's CPU of it"]
    print(report.table(head, rows))


if __name__ == "__main__":
    main()
