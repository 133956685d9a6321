"""What faults under load cost: everything around the service, and in it, is broken and mended again.

    python -m bench.faults [--only REGEX] [--before 2] [--during 4] [--after 5] [--rate 50] [--json FILE]

Each of `tests.hostile.faults` in a scene of its own: real redis-server, scripted mail hosts and DNS, a service with its
default settings, and a steady load whose every reply is held to the truth. Takes about a quarter of a minute for each.
Writes the result file and the table of docs/reliability.md made from it; with --only the file that --json names, if
any, and no page. Ends with 1 when a target was missed.
"""

import asyncio
import dataclasses
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench import report
from tests.hostile import harness
from tests.hostile.harness import DEADLINE, Cost, Fault, Pace

PAGE: Final = Path(__file__).parents[1] / "docs" / "reliability.md"
_BLOCK: Final = re.compile(r"(?<=^<!-- faults -->).*?(?=^<!-- end -->$)", re.MULTILINE | re.DOTALL)
_HEAD: Final = (
    "fault", "requests", "failed", "p99", "recovery", "wrong verdicts", "stuck locks", "told “not known”", "it lasted",
)  # fmt: skip


async def measure(faults: Sequence[Fault], pace: Pace) -> dict[str, dict[str, Any]]:
    """Return the row of each fault by its name; prints it, and what was wrong with requests that failed."""
    found = {}
    for fault in faults:
        async with fault.scene() as scene:
            cost, load = await harness.run(fault, scene, pace)
        found[fault.name] = row = _row(cost, fault)
        print(_table([row]).splitlines()[-1], flush=True)
        for miss in row["missed"]:
            print(f"  {miss}; such as {harness.odd(load, 3)}", flush=True)
    return found


def _row(cost: Cost, fault: Fault) -> dict[str, Any]:
    figures = {
        name: value if isinstance(value, str) or math.isfinite(value) else None
        for name, value in dataclasses.asdict(cost).items()
    }
    return figures | {"missed": cost.missed(fault.targets), "why": fault.targets.why}


def page(text: str, results: Mapping[str, Any]) -> str:
    """Return the page with the table of these results in its marked place."""
    rows = results["results"]["faults"].values()
    whys = "".join(f"\n- {row['fault']}: {row['why']}" for row in rows if row["why"])
    written = f"\n\n{_table(rows)}\n{whys and whys + chr(10)}\n"
    return _BLOCK.sub(lambda _: written, text)


def _table(rows: Any) -> str:
    return report.table(_HEAD, [_cells(row) for row in rows])


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["fault"],
        f"{row['requests']:,}",
        str(row["failed"]),
        _seconds(row["p99"]),
        _seconds(row["recovery"]),
        str(row["wrong"]),
        str(row["stuck_locks"]),
        str(row["not_known"]),
        _seconds(row["lasted"]),
    ]


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"


def main() -> int:
    parser = report.options("faults", __doc__)
    default = parser.get_default("json")
    parser.add_argument("--only", help="those whose name has a match of this regular expression, whatever its case")
    parser.add_argument("--before", type=float, default=2.0, help="seconds of load before each fault")
    parser.add_argument("--during", type=float, default=4.0, help="seconds of load with it")
    parser.add_argument("--after", type=float, default=5.0, help="seconds of load after its end")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    arguments = parser.parse_args()
    wanted = re.compile(arguments.only or "", re.IGNORECASE)
    faults = [fault for fault in harness.registered() if wanted.search(fault.name)]
    if not faults:
        parser.error(f"no fault has a match of {arguments.only!r}: {[fault.name for fault in harness.registered()]}")
    pace = Pace(arguments.rate, arguments.before, arguments.during, arguments.after)
    found = asyncio.run(measure(faults, pace))
    print(f"\nEach request had {DEADLINE:g} s.\n\n{_table(found.values())}")
    complete = not arguments.only
    if complete or arguments.json != default:
        report.save(arguments, {"deadline": DEADLINE, "faults": found})
    if complete and arguments.json == default:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), json.loads(default.read_text())), encoding="utf-8")
    return 1 if any(row["missed"] for row in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
