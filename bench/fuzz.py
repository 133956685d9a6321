"""Feeds every parser with whatever breaks it, if anything does, for a long time: libFuzzer by way of atheris.

Besides, schemathesis drives the running service (`bench.interface`).

    pip install -e '.[fuzz]'
    python -m bench.fuzz [--seconds 600] [--targets headers dns] [--jobs 1] [--corpus DIR] [--json FILE]

It sees which lines of the service an input reaches, and keeps those inputs that reach new ones. What has to hold is in
tests/hostile/fuzz. Each target runs in a process of its own at the lowest priority, for so many seconds of the clock;
the result file gets a row for each run, the CPU seconds among it. What breaks something lies in DIR/NAME-findings
afterwards: it belongs into tests/hostile/corpus/NAME, and the run goes on without it.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench import interface, report
from tests.hostile.fuzz.target import CORPUS
from tests.hostile.fuzz.targets import TARGETS

EVERYTHING: Final = (*TARGETS, interface.NAME)
_NICE: Final = 19
_LONGEST_INPUT_SECONDS: Final = 30
"""Of the clock, for one input: a process that hangs does not come to the bound of CPU seconds that a target has."""
_MOST_MEMORY: Final = 1024
"""MiB of a process that is being fed."""
_LAST_WORDS: Final = 2000
_DONE: Final = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)


def fuzz(name: str, seconds: int, folder: Path) -> dict[str, Any]:
    """Run a target to the end of its time and return its row of the result file."""
    if name == interface.NAME:
        return interface.fuzz(seconds, folder)
    target = TARGETS[name]
    grown, findings, seeds = (folder / f"{name}{suffix}" for suffix in ("", "-findings", "-seeds"))
    for each in (grown, findings, seeds):
        each.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (seeds / str(number)).write_bytes(seed)
    kept = CORPUS / name
    words = folder / f"{name}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    process = subprocess.Popen(
        [
            "nice", "-n", str(_NICE), sys.executable, "-m", "bench.fuzzer", name, str(findings), str(grown), str(seeds),
            *([str(kept)] if kept.is_dir() else []),
            f"-max_total_time={seconds}", f"-max_len={target.longest}", f"-timeout={_LONGEST_INPUT_SECONDS}",
            f"-rss_limit_mb={_MOST_MEMORY}", f"-artifact_prefix={findings}/", f"-dict={words}", "-print_final_stats=1",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )  # fmt: skip
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    (folder / f"{name}.log").write_text(said)
    done = _DONE.search(said)
    found = sorted(path.name for path in findings.iterdir())
    if not done and not found:
        raise SystemExit(f"{name}: libFuzzer ended with {process.returncode}: {said[-_LAST_WORDS:]}")
    return {
        "target": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": report.commit(),
        "seconds": int(done[2]) if done else None,
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime),
        "executions": int(done[1]) if done else None,
        "corpus": len(list(grown.iterdir())),
        "findings": found,
    }


def _escaped(word: bytes) -> str:
    return "".join(map("\\x{:02x}".format, word))


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """The table of docs/reliability.md: all runs of each target together."""
    rows = []
    for name in EVERYTHING:
        of_it = [run for run in runs if run["target"] == name]
        found = {finding for run in of_it for finding in run["findings"]}
        rows.append(
            [
                name,
                f"{sum(run['seconds'] or 0 for run in of_it) / 60:.0f}",
                f"{sum(run['cpu_seconds'] for run in of_it) / 60:.1f}",
                f"{sum(run['executions'] or 0 for run in of_it):,}",
                str(len(found)),
                str(len(of_it[-1]["findings"])) if of_it else "",
            ]
        )
    return report.table(["target", "minutes", "of CPU", "inputs", "kinds of errors", "in the last run"], rows)


def main() -> None:
    parser = report.options("fuzz", __doc__)
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--targets", nargs="+", choices=EVERYTHING, default=EVERYTHING, metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--corpus", type=Path, help="where to keep the inputs that reach something new")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mxcheck-fuzz-") as temporary:
        folder = (arguments.corpus or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(arguments.jobs) as pool:
            for row in pool.map(lambda name: fuzz(name, arguments.seconds, folder), arguments.targets):
                report.append(arguments.json, row)
                print(row, flush=True)
    print(table(json.loads(arguments.json.read_text())["runs"]))


if __name__ == "__main__":
    main()
