"""What a warm check costs, beside a bare aiohttp handler and beside the service without its near cache.

    python -m bench.hot [--seconds 4] [--rounds 5] [--json FILE]

One domain in all three sources, and three different domains, all in the cache. wrk sends 16 connections' worth of the
same request from one core; each server in turn has the other one. The servers take turns within each round, so that a
machine whose speed drifts drifts for all of them. Needs redis-server, knot and wrk.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.lab import smtp_scripts as scripts
from tests.lab.knot import KnotServer
from tests.lab.process import Child, find_program
from tests.lab.redis import RedisServer
from tests.lab.service import Service
from tests.lab.smtp import SmtpPeers
from tests.lab.sockets import accepts_connections, free_port

CONNECTIONS = 16
SERVER_CORE, CLIENT_CORE = 0, 1
REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "1 domain": {"sender": "a@one.test", "mime_from": "Jo <jo@one.test>", "reply_to": "b@one.test"},
    "3 domains": {"sender": "a@one.test", "mime_from": "Jo <jo@two.test>", "reply_to": "b@three.test"},
}
ZONE = "@ NS ns\n" + "".join(f"{name} MX 10 mx.{name}\nmx.{name} A {{ip}}\n" for name in ("one", "two", "three"))


def rate(url: str, body: Mapping[str, Any], seconds: int) -> float:
    """Return requests a second; raises RuntimeError when a reply was not 200."""
    script = f"wrk.method = 'POST'; wrk.body = [[{json.dumps(body)}]]; wrk.headers['Content-Type'] = 'application/json'"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        argv = [find_program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", file.name, f"{url}/v1/check"]
        run = subprocess.run(["taskset", "-c", str(CLIENT_CORE), *argv], capture_output=True, text=True, check=True)
    if "Non-2xx" in run.stdout or "Socket errors" in run.stdout:
        raise RuntimeError(run.stdout)
    match = re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)
    assert match, run.stdout
    return float(match[1])


async def measure(seconds: int, rounds: int) -> dict[str, Any]:
    rates: dict[str, dict[str, list[float]]] = {}
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        peers = await stack.enter_async_context(SmtpPeers())
        peer = peers.add(scripts.good())
        knot = stack.enter_context(KnotServer({"test": ZONE.format(ip=peer.address)}))
        settings: dict[str, Any] = {
            "dns": {"nameservers": [knot.nameserver]},
            "mx_check": {"test_mode": True, "port": peers.port},
        }
        near = stack.enter_context(Service(settings | {"cache": {"url": redis.url}}, name="near"))
        far = stack.enter_context(Service(settings | {"cache": {"url": redis.url, "near_entries": 0}}, name="far"))
        for name, body in REQUESTS.items():
            reply = (await near.check(dict(body))).body
            urls = {"near cache": near.url, "no near cache": far.url}
            urls["bare aiohttp"] = stack.enter_context(_bare(json.dumps(reply).encode()))
            rates[name] = {server: [] for server in urls}
            for _ in range(rounds):
                for server, url in urls.items():
                    rates[name][server].append(await asyncio.to_thread(rate, url, body, seconds))
    return rates


class _bare:
    """The bare handler as a process of its own, pinned as the services are."""

    def __init__(self, reply: bytes) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        (folder / "reply").write_bytes(reply)
        self.port = free_port()
        argv = [sys.executable, "-m", "bench.bare", str(self.port), str(folder / "reply")]
        self._child = Child("bare", argv, folder / "log")

    def __enter__(self) -> str:
        self._child.start(lambda: accepts_connections("127.0.0.1", self.port))
        return f"http://127.0.0.1:{self.port}"

    def __exit__(self, *_: object) -> None:
        self._child.stop()
        self._folder.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    # The servers inherit the core; the client is moved to the other one.
    os.sched_setaffinity(0, {SERVER_CORE})
    rates = asyncio.run(measure(arguments.seconds, arguments.rounds))
    medians = {
        name: {server: statistics.median(found) for server, found in each.items()} for name, each in rates.items()
    }
    for name, each in medians.items():
        for server, found in each.items():
            print(f"{name:10} {server:14} {found:9.0f} requests/s  {found / each['bare aiohttp']:.2f} of bare")
    if arguments.json:
        arguments.json.write_text(json.dumps({"rates": rates, "medians": medians}, indent=2))


if __name__ == "__main__":
    main()
