"""Every parser, fed with what once broke something, with what long runs came by, and with a little more of the kind."""

import json

import pytest

from bench import fuzz, report
from tests.hostile.fuzz.mutation import mutations
from tests.hostile.fuzz.target import CORPUS, Target
from tests.hostile.fuzz.targets import TARGETS

MUTATIONS = 200
LARGEST_CORPUS = 200_000
"""Octets of all files together: it is read with every run of the tests, and by every clone."""


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_holds_for_every_input_holds_for_these(target: Target) -> None:
    corpus = target.corpus()
    assert corpus
    with target.timed() as check:
        for data in (*corpus, *mutations(corpus, target.words, target.longest, MUTATIONS, target.name)):
            try:
                check(data)
            except BaseException as error:
                error.add_note(f"the input: {data!r}")
                raise


def test_the_documented_table_is_that_of_the_result_file() -> None:
    runs = json.loads((report.RESULTS / "fuzz.json").read_text())["runs"]
    assert fuzz.table(runs) in (report.RESULTS.parents[1] / "docs" / "reliability.md").read_text()
    for name in fuzz.EVERYTHING:
        assert sum(run["seconds"] for run in runs if run["target"] == name) >= 600, name


def test_the_corpus_is_small_and_all_of_it_is_used() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST_CORPUS
    assert {path.parent for path in files} <= {CORPUS / name for name in TARGETS}
