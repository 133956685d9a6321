"""Preset `reference` decides exactly as the reference plugin does."""

import asyncio
import json
from dataclasses import replace

import pytest

from tests.parity import census, service, vectors
from tests.parity.generate import COUNT, scenario
from tests.parity.lua_rspamd import Reference, reference_path
from tests.parity.vectors import Vector
from tests.parity.virtual_time import VirtualTimeLoop
from tests.parity.world import Hit, Outcome, Scenario

CHUNK = 120
SHOWN = 3

chunks = pytest.mark.parametrize(
    "numbers", [pytest.param(range(n, min(n + CHUNK, COUNT)), id=f"{n}-") for n in range(0, COUNT, CHUNK)]
)
with_reference = pytest.mark.skipif(
    not reference_path().exists(),
    reason="the reference is not there: set MXCHECK_REFERENCE to the path of mx_check.lua",
)


@pytest.fixture(scope="module")
def recorded() -> list[Vector]:
    """The vectors, one for each scenario."""
    found = vectors.load()
    assert len(found) == COUNT, "generator and vectors differ: python -m tests.parity.record"
    return found


@chunks
def test_service_decides_as_recorded(numbers: range, recorded: list[Vector]) -> None:
    """Symbols, weights, options, action, message, cache content and probes are those of the reference."""
    differences = Differences()
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        for number in numbers:
            checked = scenario(number)
            assert checked.digest() == recorded[number].digest, (
                "the generator has changed: python -m tests.parity.record"
            )
            differences.note(number, checked, recorded[number].outcome, runner.run(service.run(checked)))
    differences.check()


@with_reference
@chunks
def test_reference_decides_as_recorded(numbers: range, recorded: list[Vector]) -> None:
    """The vectors are what the reference says today."""
    differences = Differences()
    reference = Reference(reference_path())
    for number in numbers:
        checked = scenario(number)
        differences.note(number, checked, recorded[number].outcome, reference.run(checked))
    differences.check()


@with_reference
@pytest.mark.timeout(300)
def test_scenarios_reach_every_line_of_the_reference() -> None:
    """No branch of the reference goes untested but those that nothing can reach."""
    lines = census.executable_lines(reference_path().read_bytes().decode("latin-1"))
    assert lines - census.lines_reached(range(COUNT)).keys() == census.UNREACHABLE.keys()


class Differences:
    """Collects what differs and shows the first few in full."""

    def __init__(self) -> None:
        self._count = 0
        self._shown: list[str] = []

    def note(self, number: int, checked: Scenario, expected: Outcome, got: Outcome) -> None:
        """Compare two outcomes."""
        if not differ(got, expected):
            return
        got = _in_comparable_order(got, expected)
        self._count += 1
        if self._count <= SHOWN:
            lines = [f"scenario {number}", checked.to_json()]
            before, after = expected.to_plain(), got.to_plain()
            for part in sorted(before.keys() | after.keys()):
                if before.get(part) != after.get(part):
                    lines += [f"  {part} expected: {json.dumps(before.get(part), sort_keys=True)}"]
                    lines += [f"  {part} got:      {json.dumps(after.get(part), sort_keys=True)}"]
            self._shown.append("\n".join(lines))

    def check(self) -> None:
        """Fail if anything differed."""
        if self._count:
            pytest.fail("\n".join([f"{self._count} differ", *self._shown]), pytrace=False)


def differ(got: Outcome, expected: Outcome) -> bool:
    """Tell whether two outcomes are not the same where they are defined to be."""
    return _in_comparable_order(got, expected) != expected


def _in_comparable_order(got: Outcome, expected: Outcome) -> Outcome:
    """Sort those options whose order hangs on which domain was done first."""

    def hit(name: str, found: Hit) -> Hit:
        wanted = expected.symbols.get(name)
        return found if wanted is None or wanted.ordered else Hit(found.weight, tuple(sorted(found.options)), False)

    return replace(got, symbols={name: hit(name, found) for name, found in got.symbols.items()})
