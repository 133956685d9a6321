"""Takes the pictures of the console that README.md shows.

    python -m docs.screenshots [FOLDER]

A service in the lab of the tests is looked at in headless Chromium. The look-up is real; the hour that the other
picture shows is made up, always the same, since nobody wants to wait for one.
"""

import asyncio
import io
import math
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.async_api import Browser

from tests.console.chromium import Chromium
from tests.console.page import Console
from tests.console.world import World
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.service import Service

FOLDER: Final = Path(__file__).parent / "img"
MOST_BYTES: Final = 150_000
_WIDTH: Final = 1000
_COLOURS: Final = 64
_STEPS: Final = 240
_STEP: Final = 15.0
_DNS_SECONDS: Final = 0.012
_USUAL: Final = {"gd": 60.0, "err": 4.0, "rf": 3.0, "no": 2.5, "tc": 1.5, "df": 1.0, "skip": 2.0}
"""Verdicts in a step, about."""


async def take(console: Console, path: Path) -> None:
    """Write a picture of the whole page."""
    write(await console.page.screenshot(full_page=True), path)


def write(screenshot: bytes, path: Path) -> None:
    """Write a picture in few colours: it has no more."""
    picture = Image.open(io.BytesIO(screenshot))
    picture.convert("RGB").quantize(_COLOURS).save(path, optimize=True)
    if path.stat().st_size >= MOST_BYTES:
        raise SystemExit(f"{path} is too large: {path.stat().st_size} bytes")


async def lookup(browser: Browser, world: World, service: Service, folder: Path) -> None:
    """A first host that refuses, a second one that takes its time and answers, and a third that nobody had to ask."""
    for name, answer in {
        "mx1.shop.test": dns.a(world.peers.add_refused()),
        "mx2.shop.test": dns.a(world.peers.add(scripts.good_byte_by_byte()).address, "10.20.0.7"),
    }.items():
        world.dns.set(name, "A", dns.Delayed(answer, seconds=_DNS_SECONDS))
    records = dns.mx((10, "mx1.shop.test"), (20, "mx2.shop.test"), (30, "mx3.shop.test"))
    world.dns.set("shop.test", "MX", dns.Delayed(records, seconds=_DNS_SECONDS))
    async with Console.opened(browser, service.url, width=_WIDTH) as console:
        await console.go("/?sender=orders%40shop.test")
        await console.has_result()
        await take(console, folder / "console-lookup.png")


async def now(browser: Browser, service: Service, folder: Path) -> None:
    for name in ("nothing.test", "null.test", "bad.test"):
        await service.check({"sender": f"a@{name}"})
    stats = (await service.get("/v1/stats")).body
    async with Console.opened(browser, service.url, theme="dark", width=_WIDTH) as console:
        await console.answer("/v1/stats", 200, an_hour(stats))
        await console.go("/#now")
        await console.page.locator(".picture canvas").last.wait_for()
        await take(console, folder / "console-now.png")


def an_hour(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the service says, with an hour put in place of its own: a mail flood, and a resolver that fails."""
    chance = random.Random(1)
    verdicts: dict[str, list[int]] = {name: [] for name in _USUAL}
    latencies: list[tuple[float, float]] = []
    for step in range(_STEPS):
        flood = math.exp(-(((step - 70) / 12) ** 2))
        failing = 165 < step < 185
        for name, usual in _USUAL.items():
            mean = usual * (1 + (6 if name in ("no", "rf") else 0.4) * flood) * (30 if failing and name == "df" else 1)
            mean *= 0.5 if failing and name == "gd" else 1
            verdicts[name].append(max(0, round(chance.gauss(mean, math.sqrt(mean)))))
        latencies.append((chance.uniform(0.4, 0.7), chance.uniform(60, 120) + 500 * flood + (900 if failing else 0)))
    now = time.time()
    checks = [sum(column[step] for column in verdicts.values()) for step in range(_STEPS)]
    layers = {
        "d": {"near": 14_210, "redis": 1_984, "miss": 1_466, "error": 0, "hit_ratio": 0.917},
        "m": {"near": 15_900, "redis": 2_210, "miss": 720, "error": 0, "hit_ratio": 0.962},
        "i": {"near": 15_310, "redis": 1_702, "miss": 388, "error": 0, "hit_ratio": 0.978},
    }
    return dict(stats) | {
        "time": now,
        "workers": 2,
        "history": {
            "step_s": _STEP,
            "times": [now - _STEP * (_STEPS - 1 - step) for step in range(_STEPS)],
            "checks": checks,
            "shed": [0] * _STEPS,
            "verdicts": verdicts,
            "p50_ms": [p50 for p50, _ in latencies],
            "p99_ms": [p99 for _, p99 in latencies],
        },
        "hour": {
            "seconds": _STEP * _STEPS,
            "checks": sum(checks),
            "shed": 0,
            "verdicts": {name: sum(column) for name, column in verdicts.items()},
            "latency_ms": {"p50": 0.5, "p90": 14.2, "p99": 187.0},
            "cache": layers,
            "dns": {"MX": {"found": 1_120, "nxdomain": 262, "servfail": 41, "timeout": 43}, "A": {"found": 688}},
            "probes": {"v4": {"gd": 301, "rf": 41, "tc": 22, "err": 24}},
        },
        "in_flight": {"checks": 3, "tasks": 2, "probes": 2, "lingering": 1, "connections": 12},
    }


async def main(folder: Path) -> None:
    with Chromium() as chromium:
        async with World() as world, chromium.driven() as browser:
            with world.service() as service:
                await lookup(browser, world, service, folder)
                await now(browser, service, folder)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if sys.argv[1:] else FOLDER))
