"""What a reload of a large map costs the requests of the meantime: warm checks beside a reload, and without one.

    python -m bench.reload [--entries 1000000] [--rate 400] [--seconds 4] [--rounds 3] [--json FILE]

A map of domains is replaced by another one that is as large, and POST /-/reload is asked for; from then until its reply
checks are sent at a fixed rate, whatever becomes of those before, and each is measured from when it was due. As many
seconds without a reload are measured right before and right after. Nothing is pinned: where the map is compiled is for
the kernel to decide, and is part of what is measured. Needs redis-server.
"""

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp

from bench import report
from bench.stage import domain, fill
from tests.lab.redis import RedisServer
from tests.lab.service import Service

DOMAINS: Final = 1_000
IDLE, RELOAD = "no reload", "reload"
_KINDS: Final[dict[str, Callable[[int, int], str]]] = {
    "exclude_domains": lambda number, edition: f"e{edition}.d{number}.example",
    "bad_ips": lambda number, edition: f"11.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/{32 - edition % 2}",
}


def write(path: Path, setting: str, entries: int, edition: int) -> None:
    """Put another map in place."""
    line = _KINDS[setting]
    path.with_suffix(".new").write_text("".join(f"{line(number, edition)}\n" for number in range(entries)))
    path.with_suffix(".new").replace(path)


async def latencies(
    session: aiohttp.ClientSession, url: str, rate: float, until: Callable[[float], bool]
) -> list[float]:
    """Send checks at this rate until `until(seconds since the first)`; return the seconds from when each was due."""
    found: list[float] = []

    async def ask(due: float) -> None:
        body = {"sender": f"a@{domain(random.randrange(DOMAINS))}"}
        async with session.post(f"{url}/v1/check", json=body) as response:
            reply = await response.read()
        if response.status != 200 or b"MX_GOOD" not in reply:
            raise RuntimeError(f"wrong answer: {reply!r}")
        found.append(time.perf_counter() - due)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as asking:
        number = 0
        while not until(time.perf_counter() - start):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asking.create_task(ask(due))
            number += 1
    return found


async def measure(setting: str, entries: int, rate: float, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """What each round saw."""
    found = []
    with tempfile.TemporaryDirectory() as folder, RedisServer() as redis:
        path = Path(folder) / "map"
        write(path, setting, 10, 0)
        fill(redis, DOMAINS)
        settings = {
            "cache": {"url": redis.url},
            "mx_check": {"test_mode": True, setting: str(path)},
            "maps": {"watch": 0},
        }
        with Service(settings) as service:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:

                async def reload() -> None:
                    async with session.post(f"{service.url}/-/reload") as response:
                        told = await response.json()
                    if response.status != 200 or told["maps"][setting]["entries"] < entries / 2:
                        raise RuntimeError(f"the reload failed: {told}")

                async def idle() -> list[float]:
                    return await latencies(session, service.url, rate, lambda past: past >= seconds)

                await idle()
                for edition in range(1, rounds + 1):
                    write(path, setting, entries, edition)
                    before = await idle()
                    reloading = asyncio.create_task(reload())
                    during = await latencies(session, service.url, rate, lambda _: reloading.done())  # noqa: B023
                    await reloading
                    after = await idle()
                    found.append({IDLE: _told(before + after), RELOAD: _told(during)})
    return found


def _told(found: Sequence[float]) -> dict[str, float]:
    return {
        "requests": len(found),
        "p50": statistics.median(found),
        "p99": report.percentile(found, 99),
        "longest": max(found),
    }


def main() -> None:
    parser = report.options("reload", __doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=400.0)
    parser.add_argument("--seconds", type=float, default=4.0, help="of the load before and after a reload")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rounds = {
        setting: asyncio.run(measure(setting, arguments.entries, arguments.rate, arguments.seconds, arguments.rounds))
        for setting in _KINDS
    }
    ratios = {
        setting: report.relation([one[RELOAD]["p99"] for one in found], [one[IDLE]["p99"] for one in found])
        for setting, found in rounds.items()
    }
    report.save(arguments, {"rounds": rounds, "p99_of_idle": ratios})
    rows = [
        [
            f"{setting}, {kind}",
            f"{statistics.median(one[kind]['requests'] for one in found):,.0f}",
            *(
                f"{statistics.median(one[kind][figure] for one in found) * 1e3:.1f}"
                for figure in ("p50", "p99", "longest")
            ),
            f"{ratios[setting]:.2f}" if kind == RELOAD else "1",
        ]
        for setting, found in rounds.items()
        for kind in (IDLE, RELOAD)
    ]
    print(report.table(["", "requests", "p50, ms", "p99, ms", "longest, ms", "p99 of that without"], rows))


if __name__ == "__main__":
    main()
