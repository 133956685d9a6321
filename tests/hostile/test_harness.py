"""The harness sees what it is there to see, and the page says what was measured."""

import json
import math
from typing import Any

import pytest

from bench import faults as bench
from bench import report
from tests.hostile import harness
from tests.hostile.harness import Cost, Targets
from tests.hostile.scene import Scene
from tests.lab.load import Domain, Judged, Kind, Load, Request

GOOD, REFUSED = Domain("g.test", Kind.GOOD), Domain("r.test", Kind.REFUSED)
PATIENCE = 2.0
NOTHING = Cost("f", 1.0, 100, 0, 0, 0, 0.1, 0.2, 0.0, 0)


def reply(verdict: str, symbol: str, score: float, action: str) -> dict[str, Any]:
    return {"domains": [{"verdict": verdict}], "symbols": {symbol: {}}, "score": score, "action": action}


def request(
    domain: Domain = GOOD, body: Any = None, status: int = 200, sent: float = 0.0, took: float = 0.1
) -> Request:
    return Request(domain, "cold", sent, sent + took, status, reply(*domain.kind.value) if body is None else body)


NOT_KNOWN = reply("redis_error", "MX_REDIS_ERROR", 0.0, "no action")


@pytest.mark.parametrize(
    ("seen", "judged"),
    [
        (request(GOOD), Judged.TRUE),
        (request(REFUSED), Judged.TRUE),
        (request(REFUSED, NOT_KNOWN), Judged.NOT_KNOWN),
        (request(GOOD, reply("rf", "MX_REFUSED", 3.0, "greylist")), Judged.WRONG),
        (request(REFUSED, reply("gd", "MX_GOOD", -0.1, "no action")), Judged.WRONG),
        (request(GOOD, reply("redis_error", "MX_REDIS_ERROR", 0.5, "no action")), Judged.WRONG),
        (request(GOOD, reply("redis_error", "MX_REDIS_ERROR", 0.0, "greylist")), Judged.WRONG),
        (request(GOOD, reply("gd", "MX_GOOD", -0.1, "greylist")), Judged.WRONG),
        (request(GOOD, {"domains": [], "symbols": {}, "score": 0.0, "action": "no action"}), Judged.WRONG),
        (request(GOOD, []), Judged.WRONG),
        (request(GOOD, status=503), Judged.FAILED),
        (request(GOOD, took=PATIENCE + 0.1), Judged.FAILED),
        (Request(GOOD, "cold", 0.0), Judged.FAILED),
        (Request(GOOD, "cold", 0.0, 0.1, problem="refused"), Judged.FAILED),
    ],
)
def test_a_reply_is_held_to_the_truth(seen: Request, judged: Judged) -> None:
    assert seen.judged(PATIENCE) is judged


@pytest.mark.parametrize(("untrue", "seconds"), [((), 0.0), ((3,), 0.0), ((5,), 1.0), ((5, 7), 3.0), ((9,), math.inf)])
def test_recovery_is_counted_to_the_first_of_nothing_but_truths(untrue: tuple[int, ...], seconds: float) -> None:
    load = Load("http://127.0.0.1", None, deadline=1.0)  # type: ignore[arg-type] # nothing is sent
    load.requests = [request(body=NOT_KNOWN if number in untrue else None, sent=float(number)) for number in range(10)]
    assert harness._recovery(load, ended=5.0) == seconds


@pytest.mark.parametrize("name", ["failed", "wrong", "not_known", "p99", "recovery", "stuck_locks"])
def test_each_target_can_be_missed(name: str) -> None:
    assert NOTHING.missed(Targets(not_known=0)) == []
    cost = Cost(**(vars(NOTHING) | {name: 9}))
    assert [miss.partition(":")[0] for miss in cost.missed(Targets(not_known=0))] == [name]


async def test_nothing_is_lost_when_nobody_is_there_any_more() -> None:
    async with Scene() as scene:
        load = Load(scene.service.url, scene.senders, deadline=1.0)
        async with load.flowing():
            assert await load.all_true(10, within=10)
            scene.service.kill()
            assert not await load.all_true(1, within=0.3)
        assert load.judged()[Judged.FAILED] >= 10
        assert sum(load.judged().values()) == len(load.requests)
        assert all(one.ended is not None and (one.status == 200 or one.problem) for one in load.requests)
        with scene.store.client() as client:  # type: ignore[union-attr] # a single Redis
            client.set("rmx:i:192.0.2.1", "l", ex=60)
        assert await scene.stuck_locks() == ["rmx:i:192.0.2.1"]


def test_no_two_faults_have_one_name() -> None:
    names = [fault.name for fault in harness.registered()]
    assert len(names) == len(set(names)) >= 10


def test_the_page_says_what_was_measured() -> None:
    results = json.loads((report.RESULTS / "faults.json").read_text())
    page = bench.PAGE.read_text(encoding="utf-8")
    assert page == bench.page(page, results)
    for row in results["results"]["faults"].values():
        assert row["fault"] in page
        assert not row["missed"]
