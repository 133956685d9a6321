"""A short soak: everything at once, and every request accounted for. Long ones are `python -m bench.soak`'s."""

import json

from bench import soak as bench
from tests.hostile.soak import Sample, Soak
from tests.lab.load import Judged

SECONDS = 20
SEED = 5


async def test_everything_at_once_and_nobody_is_answered_wrong() -> None:
    soak = Soak(SEED)
    await soak.run(SECONDS)
    assert soak.bad() == {}
    for name, account in soak.accounts.items():
        assert account.counts[Judged.TRUE] > 0, name
    assert soak.happened
    assert any(sample.calm for sample in soak.samples)


def grown(**more: int) -> list[Sample]:
    """Samples of an hour, at whose end there is so much more."""
    steady = {"parent": 60 << 20, "worker": 90 << 20, "descriptors": 60, "threads": 6, "tasks": 2, "lingering": 1}
    return [
        Sample(
            at=float(at), calm=True, **{name: value + more.get(name, 0) * at // 3600 for name, value in steady.items()}
        )
        for at in range(0, 3600, 10)
    ]


def test_what_grows_is_told() -> None:
    assert bench.growth(grown()).keys() == {"parent", "worker", "descriptors", "threads", "tasks", "lingering"}
    assert not any(row["grows"] for row in bench.growth(grown()).values())
    for name, more in {"parent": 60 << 20, "worker": 60 << 20, "descriptors": 60, "threads": 12, "tasks": 60}.items():
        found = bench.growth(grown(**{name: more}))
        assert [each for each, row in found.items() if row["grows"]] == [name]


def test_the_course_of_each_resource_is_told_by_the_minute() -> None:
    found = bench.course(grown(descriptors=60))
    assert {len(minutes) for minutes in found.values()} == {60}
    assert found["parent"] == [60.0] * 60, "in MiB"
    assert (found["descriptors"][0], found["descriptors"][-1]) == (60, 119)


def test_the_page_says_what_the_last_run_found() -> None:
    text = bench.PAGE.read_text(encoding="utf-8")
    found = json.loads(bench.FILE.read_text()) if bench.FILE.exists() else None
    assert bench.page(text, found) == text, "python -m bench.soak writes it"
