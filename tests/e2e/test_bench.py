"""Every benchmark runs to its end, prints a table and leaves a result file that can be drawn. No time is asserted."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import hostile_http, hostile_peers, overload, report
from tests.lab.process import find_program, missing
from tests.parity.lua_rspamd import reference_path

ROOT = Path(__file__).parents[2]


def bench(name: str, *words: str) -> str:
    """What `python -m bench.NAME` prints."""
    argv = [sys.executable, "-m", f"bench.{name}", *words]
    run = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def results(folder: Path, name: str, *words: str) -> dict[str, Any]:
    """The results in the result file, once it is known to tell what they are of; and a table was printed."""
    path = folder / f"{name}.json"
    assert "| --- |" in bench(name, *words, "--json", str(path))
    content = json.loads(path.read_text())
    assert content["date"]
    assert content["machine"]["cores"] >= 1
    assert content["options"]
    found: dict[str, Any] = content["results"]
    return found


@pytest.fixture(autouse=True)
def components() -> None:
    """Skip, or fail, here: the benchmarks themselves are told by pytest's environment that they are tests."""
    for program in ("redis-server", "wrk", "taskset"):
        find_program(program)


def test_hot(tmp_path: Path) -> None:
    medians = results(tmp_path, "hot", "--seconds", "1", "--rounds", "1")["medians"]
    assert medians.keys() == {"1 domain", "3 domains"}
    assert all(cost["rate"] > 0 for each in medians.values() for cost in each.values())


def test_hostile_http(tmp_path: Path) -> None:
    words = ("--connections", "50", "--seconds", "0.5", "--rounds", "1")
    found = results(tmp_path, "hostile_http", *words)
    assert list(found) == ["default", "50"]
    assert all(each["quiet"]["requests"] == each["attacked"]["requests"] == 50 for (each,) in found.values())


def test_the_page_has_the_figures_of_hostile_callers() -> None:
    results = json.loads((report.RESULTS / "hostile_http.json").read_text())["results"]
    text = hostile_http.PAGE.read_text(encoding="utf-8")
    assert hostile_http.page(text, results) == text
    assert hostile_http.page(text, {"default": results["default"]}) != text


@pytest.mark.parametrize("bench", [hostile_peers, overload])
def test_the_page_has_the_tables_of_the_result_file(bench: Any) -> None:
    name = bench.__name__.rpartition(".")[2]
    results = json.loads((report.RESULTS / f"{name}.json").read_text())["results"]
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert all(table in page for table in bench.tables(results))


def test_redis_size(tmp_path: Path) -> None:
    sizes = results(tmp_path, "redis_size", "--domains", "100", "10000")
    assert [size["keys"] for size in sizes.values()] == [300, 30_000]
    # Its tables have a size of their own, so the server has grown by more than its entries are told to take.
    entries = sum(sizes["10000"]["bytes_an_entry"].values())
    assert entries < sizes["10000"]["bytes_a_domain"] < 3 * entries


def test_cold(tmp_path: Path) -> None:
    find_program("knotd")
    medians = results(tmp_path, "cold", "--domains", "100", "--rounds", "1", "--at-once", "8", "16")["medians"]
    assert medians.keys() == {"8", "16"}
    assert {"service", "floor"} <= medians["8"].keys()


def test_rspamd(tmp_path: Path) -> None:
    find_program("rspamd")
    if not reference_path().exists():
        missing("the reference plugin: MXCHECK_REFERENCE")
    added = results(tmp_path, "rspamd", "--messages", "50")["added"]
    assert added.keys() == {"1 domain", "3 domains"}
    assert len(added["1 domain"]) == 5


def test_scale(tmp_path: Path) -> None:
    small = ("--seconds", "1", "--rounds", "1", "--largest", "1000", "--largest-map", "1000")
    found = results(tmp_path, "scale", *small)
    assert {name: list(each) for name, each in found.items()} == {
        "near": ["1000"],
        "concurrency": ["1", "10", "100", "1000"],
        "domains": ["1", "2", "3", "5", "10"],
        "maps": ["literal", "wildcard", "cidr"],
    }
    assert found["near"]["1000"]["redis_commands_per_hit"] < 0.1


def test_overload(tmp_path: Path) -> None:
    find_program("knotd")
    found = results(
        tmp_path, "overload", "--seconds", "1", "--rounds", "1", "--domains", "50000", "--deadline-ms", "4000"
    )
    assert found["cold"].keys() == {"peak", "1x", "2x", "5x"}
    assert found["cold"]["peak"]["goodput"] > 0
    assert found["fairness"].keys() == {"alone", "beside many"}
    assert all(cost > 0 for each in found["refusal"].values() for cost in each.values())


def test_reload(tmp_path: Path) -> None:
    words = ("--entries", "1000", "--rate", "50", "--seconds", "0.5", "--rounds", "1")
    found = results(tmp_path, "reload", *words)
    assert found["p99_of_idle"].keys() == {"exclude_domains", "bad_ips"}
    assert found["rounds"]["bad_ips"][0]["reload"]["requests"] > 0


def test_faults(tmp_path: Path) -> None:
    found = results(tmp_path, "faults", "--only", "flushed", "--before", "0.2", "--during", "0.5", "--after", "1")
    (row,) = found["faults"].values()
    assert row["requests"] > 0
    assert row["missed"] == []


def test_zipf(tmp_path: Path) -> None:
    found = results(tmp_path, "zipf", "--requests", "1000", "--domains", "2000", "--near", "500", "--seconds", "1")
    assert found["summary"]["requests"] >= 1000
    assert len(found["samples"]) >= 2


def test_the_committed_results_are_drawn_the_same_each_time(tmp_path: Path) -> None:
    drawn = []
    for folder in (tmp_path / "1", tmp_path / "2"):
        bench("plot", "--out", str(folder))
        drawn.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert drawn[0] == drawn[1]
    assert all(b"<svg" in image for image in drawn[0].values())
