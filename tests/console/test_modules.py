"""The scripts themselves: their types, and their tests that need no browser."""

import subprocess
from pathlib import Path

from tests.lab.process import find_program, missing

ROOT = Path(__file__).parents[2]


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_their_own_tests_pass() -> None:
    tests = sorted(str(path) for path in Path(__file__).parent.glob("*.test.mjs"))
    assert tests
    run(find_program("node"), "--test", *tests)


def test_types_fit() -> None:
    compiler = ROOT / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.exists():
        missing("TypeScript (npm ci)")
    run(find_program("node"), str(compiler), "-p", str(ROOT))


def test_what_is_shipped_of_others_is_what_the_lock_has() -> None:
    """`make console-vendor` copies it."""
    package = ROOT / "node_modules" / "uplot"
    if not package.exists():
        missing("uPlot (npm ci)")
    vendor = ROOT / "mxcheck_service" / "console" / "vendor"
    assert (vendor / "uPlot.iife.min.js").read_bytes() == (package / "dist" / "uPlot.iife.min.js").read_bytes()
    assert (vendor / "uPlot.LICENSE").read_bytes() == (package / "LICENSE").read_bytes()
