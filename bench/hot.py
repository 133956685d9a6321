"""What a warm check costs, beside a bare aiohttp handler and beside the service without its near cache.

    python -m bench.hot [--seconds 4] [--rounds 5] [--json FILE]

One domain in all three sources, and three different domains, all in the cache. wrk sends 16 connections' worth of the
same request from one core; each server in turn has the other one. The servers take turns within each round, so that a
machine whose speed drifts drifts for all of them. Needs redis-server and wrk.
"""

import asyncio
import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import report
from bench.load import same, wrk
from bench.stage import OTHER_CORE, SERVER_CORE, Program, domain, fill, in_turn, on_core
from tests.lab.redis import RedisServer
from tests.lab.service import Service

CONNECTIONS = 16
REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "1 domain": {"sender": f"a@{domain(0)}", "mime_from": f"Jo <jo@{domain(0)}>", "reply_to": f"b@{domain(0)}"},
    "3 domains": {"sender": f"a@{domain(0)}", "mime_from": f"Jo <jo@{domain(1)}>", "reply_to": f"b@{domain(2)}"},
}
BARE = "bare aiohttp"


def measure(seconds: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Requests a second of each round, by kind of message and server."""
    rates: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        with on_core(OTHER_CORE):
            redis = stack.enter_context(RedisServer())
        fill(redis, 3)
        stack.enter_context(on_core(SERVER_CORE))
        settings = {"mx_check": {"test_mode": True}}
        near = stack.enter_context(Service(settings | {"cache": {"url": redis.url}}, name="near"))
        far = stack.enter_context(Service(settings | {"cache": {"url": redis.url, "near_entries": 0}}, name="far"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name, body in REQUESTS.items():
            reply = asyncio.run(near.check(body)).body
            if "MX_GOOD" not in reply["symbols"] or not reply["domains"][0]["cached"]:
                raise RuntimeError(f"not a warm check: {reply}")
            fixed = folder / name
            fixed.write_text(json.dumps(reply, separators=(",", ":")))
            bare = stack.enter_context(Program("bare", str(fixed)))
            urls = {"near cache": near.url, "no near cache": far.url, BARE: bare.url}
            rates[name] = {server: [] for server in urls}
            for number in range(rounds):
                for server in in_turn(list(urls), number):
                    load = wrk(urls[server], same(body), connections=CONNECTIONS, seconds=seconds)
                    rates[name][server].append(load.rate)
    return rates


def main() -> None:
    parser = report.options("hot", __doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rates = measure(arguments.seconds, arguments.rounds)
    medians = {name: report.median_of(each) for name, each in rates.items()}
    report.save(arguments, {"rates": rates, "medians": medians})
    rows = [
        [name, server, f"{rate:,.0f}", f"{rate / each[BARE]:.2f}"]
        for name, each in medians.items()
        for server, rate in each.items()
    ]
    print(report.table(["", "", "requests a second", "of bare"], rows))


if __name__ == "__main__":
    main()
