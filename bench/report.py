"""What a benchmark leaves: a result file, which `bench.plot` reads, and tables in Markdown for docs/performance.md."""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results"
_PACKAGES: Final = ("aiohttp", "aiodns", "pycares", "redis", "uvloop")


def options(name: str, doc: str | None) -> argparse.ArgumentParser:
    """The options of a benchmark: `--json`, and what it adds."""
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{name}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, default=RESULTS / f"{name}.json", help="the result file")
    return parser


def save(arguments: argparse.Namespace, results: Mapping[str, Any]) -> None:
    """Write the result file: what was measured, how, when, of which commit and on which machine."""
    chosen = {name: value for name, value in vars(arguments).items() if name != "json"}
    path: Path = arguments.json
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": _machine(),
        "options": chosen,
        "results": results,
    }
    path.write_text(json.dumps(content, indent=2) + "\n")


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Put a run behind those in a result file, with the machine it ran on."""
    content = json.loads(path.read_text()) if path.exists() else {"runs": []}
    content["machine"] = _machine()
    content["runs"].append(row)
    path.write_text(json.dumps(content, indent=2) + "\n")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def relation(values: Sequence[float], others: Sequence[float]) -> float:
    """The median over the rounds of one's relation to the other: what slows a whole round down falls out of it."""
    return statistics.median(value / other for value, other in zip(values, others, strict=True))


def percentile(values: Iterable[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def commit() -> str:
    """The commit, and whether what is measured differs from it; result files and what is made of them do not count."""
    git = ("git", "-C", str(RESULTS.parents[1]))
    commit = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    measured = ("bench/*.py", "mxcheck_service", "rspamd")
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *measured], check=False).returncode
    return f"{commit} with changes" if changed else commit


def _machine() -> dict[str, Any]:
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "load_average": os.getloadavg(),
    }
