"""Globs that somebody has written, or a name that somebody has sent, to keep the service busy."""

import time

import pytest

from mxcheck_service.core.globs import LONGEST, matcher
from mxcheck_service.core.maplist import GlobMap, parse_map

MOMENT = 0.5
"""Seconds of CPU, tracing included: a matcher needs a thousandth of it. What tries everything needs years."""
NAMES = ["-" * 254, "a" * 254, "ab" * 127, ".a" * 256]


@pytest.mark.parametrize(
    "glob",
    [
        pytest.param("*-*-*-*.dyn.example", id="four-stars"),
        pytest.param("*-" * (LONGEST // 2), id="stars"),
        pytest.param("+-" * (LONGEST // 2), id="plusses"),
        pytest.param("?" * (LONGEST - 1) + "x", id="question-marks"),
        pytest.param("?a" * (LONGEST // 2 - 1) + "b", id="question-marks-apart"),
        pytest.param("*a?b+" * (LONGEST // 5), id="all-of-them"),
    ],
)
def test_no_glob_and_no_name_take_long(glob: str) -> None:
    began = time.process_time()
    matches = matcher(glob)
    for name in NAMES:
        matches(name)
    assert time.process_time() - began < MOMENT


@pytest.mark.parametrize(
    ("glob", "hits", "misses"),
    [
        pytest.param("*ab*ba*", ["abba", "xabxbax"], ["aba", "ba ab"], id="parts-do-not-overlap"),
        pytest.param("a.b", ["a.b"], ["aab", "a.b."], id="no-wildcard"),
        pytest.param("a*a", ["aa", "aba"], ["a"], id="beginning-and-end-do-not-overlap"),
        pytest.param("*+*", ["a", "ab"], [""], id="plus-among-stars"),
        pytest.param("a?*", ["a", "ab", "abc"], ["", "b"], id="question-mark-before-a-star"),
        pytest.param("?a?b?", ["ab", "xaybz", "aab"], ["xxab", "axxb"], id="question-marks"),
        pytest.param("+?a", ["xa", "xya", "aa"], ["a"], id="plus-and-question-mark"),
        pytest.param("*\n?", ["\n", "a\nb"], ["a"], id="line-ends-are-characters"),
    ],
)
def test_wildcards_side_by_side(glob: str, hits: list[str], misses: list[str]) -> None:
    assert all(matcher(glob)(name) for name in hits)
    assert not any(matcher(glob)(name) for name in misses)


def test_a_glob_that_is_longer_than_any_name_is_left_out_and_told() -> None:
    table = GlobMap.of(parse_map(f"*{'a' * LONGEST} 1\nmx.example 2\n{'b' * 2 * LONGEST} 3\n", "m"))
    (problem,) = table.problems
    assert problem == f"m:1: a glob of more than {LONGEST} characters; the entry is left out"
    assert len(table) == 2
    hit = table.get("mx.example")
    assert hit
    assert hit.value == "2"
