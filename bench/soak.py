"""A service under mixed load and random faults for long: whether an answer goes missing, is wrong, or anything grows.

    python -m bench.soak [--minutes 30] [--seed N] [--rate 25] [--json FILE]

Real redis-server, scripted mail hosts, some of them hostile, and scripted DNS; a service with two workers, which is
asked for domains that are known, new, and asked for again, for explanations, for many domains at once, and in broken
HTTP.
Every few seconds one of the faults of `tests.hostile` happens, drawn from the seed. Prints a summary; writes the result
file and its table in docs/reliability.md. Ends with 1 when an answer was missing or wrong, or a resource grew.
"""

import argparse
import asyncio
import json
import random
import re
import resource
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench import report
from tests.hostile.soak import RATE, Sample, Soak
from tests.lab.load import Judged

PAGE: Final = Path(__file__).parents[1] / "docs" / "reliability.md"
FILE: Final = report.RESULTS / "soak.json"
WARM_UP: Final = 0.2
"""Share of the run after which it is compared: every fault has happened once, if it lasts for half an hour."""
LONG_ENOUGH: Final = 300.0
"""Seconds from which on growth is told from a start."""
NAMES: Final = 20_000
"""Names that a worker is asked for before; more than it keeps of any kind (core.networks.REMEMBERED is the most)."""
_BLOCK: Final = re.compile(r"(?<=^<!-- soak -->).*?(?=^<!-- end -->$)", re.MULTILINE | re.DOTALL)
_MIB: Final = 1 << 20
_GROWTH: Final[Mapping[str, tuple[str, int, float, int]]] = {
    "parent": ("memory, the parent", _MIB, 0.1, 2 * _MIB),
    "worker": ("memory, the oldest worker", _MIB, 0.1, 8 * _MIB),
    "descriptors": ("file descriptors", 1, 0.0, 10),
    "threads": ("threads", 1, 0.0, 2),
    "tasks": ("asyncio tasks in the background", 1, 0.0, 10),
    "lingering": ("greetings waited for", 1, 0.0, 20),
}
"""What is compared: its name, the unit it is told in, and by what share and how much more it may be greater."""


def growth(samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """Return the medians of the first and the last third after the warm-up, of calm times, and whether it grows.

    Raises ValueError when there are too few samples.
    """
    first = samples[0].at + WARM_UP * (samples[-1].at - samples[0].at)
    calm = [sample for sample in samples if sample.calm and sample.at >= first]
    third = len(calm) // 3
    if not third:
        raise ValueError(f"{len(calm)} samples of calm times are too few")
    found = {}
    for name, (_, _, share, more) in _GROWTH.items():
        before = statistics.median(getattr(sample, name) for sample in calm[:third])
        after = statistics.median(getattr(sample, name) for sample in calm[-third:])
        found[name] = {"first": before, "last": after, "grows": after > before * (1 + share) + more}
    return found


def course(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Return the median of each minute's calm times, resource by resource: what levels off is no leak."""
    minutes: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.calm:
            minutes.setdefault(int(sample.at // 60), []).append(sample)
    return {
        name: [
            round(statistics.median(getattr(sample, name) for sample in each) / unit, 1) for each in minutes.values()
        ]
        for name, (_, unit, _, _) in _GROWTH.items()
    }


def page(text: str, result: Mapping[str, Any] | None) -> str:
    """Return the page with the tables of this result in its marked place; None: there is none yet."""
    written = "\n\nNo run has been recorded yet.\n\n" if result is None else f"\n\n{_summary(result)}\n\n"
    return _BLOCK.sub(lambda _: written, text)


def _summary(result: Mapping[str, Any]) -> str:
    found = result["results"]
    faults = ", ".join(f"{name} ({count})" for name, count in sorted(found["faults"].items()))
    head = (
        f"{found['seconds'] / 60:.0f} minutes, seed {result['options']['seed']}, {sum(found['faults'].values())} faults"
    )
    requests = report.table(
        ("asked", "requests", "truth", "“not known”", "wrong", "failed", "lost with a killed worker"),
        [
            (name, *(f"{row[key]:,}" for key in ("requests", "true", "not_known", "wrong", "failed", "lost")))
            for name, row in found["requests"].items()
        ],
    )
    resources = report.table(
        ("resource (median)", "first third", "last third", "grows"),
        [
            (
                label,
                f"{found['growth'][name]['first'] / unit:,.0f}{' MiB' if unit == _MIB else ''}",
                f"{found['growth'][name]['last'] / unit:,.0f}{' MiB' if unit == _MIB else ''}",
                "yes" if found["growth"][name]["grows"] else "no",
            )
            for name, (label, unit, _, _) in _GROWTH.items()
        ],
    )
    return f"{head}:\n\n{requests}\n\n{resources}\n\nThe faults: {faults}."


def _results(soak: Soak, seconds: float) -> dict[str, Any]:
    names = {Judged.TRUE: "true", Judged.NOT_KNOWN: "not_known", Judged.WRONG: "wrong", Judged.FAILED: "failed"}
    requests = {
        kind: {name: account.counts[judged] for judged, name in names.items()}
        | {"lost": account.lost, "requests": account.counts.total() + account.lost}
        for kind, account in soak.accounts.items()
    }
    return {
        "seconds": seconds,
        "requests": requests,
        "faults": dict(soak.happened),
        "growth": growth(soak.samples),
        "by_minute": course(soak.samples),
        "long_enough": seconds >= LONG_ENOUGH,
    }


def _verdict(found: Mapping[str, Any], soak: Soak) -> list[str]:
    """Return what is wrong with the run."""
    wrong = [f"{name}: {sample}" for name, samples in soak.bad().items() for sample in samples]
    if not found["long_enough"]:
        print(f"Too short to tell what grows: from {LONG_ENOUGH:g} s on it counts.")
        return wrong
    return wrong + [f"{_GROWTH[name][0]} grows: {row}" for name, row in found["growth"].items() if row["grows"]]


def main() -> int:
    parser: argparse.ArgumentParser = report.options("soak", __doc__)
    default = parser.get_default("json")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the faults and their order")
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second of the steady load")
    arguments = parser.parse_args()
    # Each mail host of the lab is a socket of this process.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    soak = Soak(arguments.seed, rate=arguments.rate)
    seconds = 60 * arguments.minutes
    print(f"seed {arguments.seed}", flush=True)
    asyncio.run(soak.run(seconds, names=NAMES if seconds >= LONG_ENOUGH else 0))
    found = _results(soak, seconds)
    report.save(arguments, found)
    print(_summary({"results": found, "options": {"seed": arguments.seed}}))
    if arguments.json == default:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), json.loads(default.read_text())), encoding="utf-8")
    wrong = _verdict(found, soak)
    print("\n".join(wrong) or "Nothing is missing, wrong or growing.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
