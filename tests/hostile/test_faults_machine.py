"""Whatever the machine lacks or does to the service's processes: nobody's verdict is wrong, and nobody is lost."""

import json
import re
from datetime import datetime

import pytest

from tests.hostile import harness
from tests.hostile.faults import clock, descriptors, disk, processes
from tests.hostile.harness import SHORT, Fault
from tests.lab.load import Judged, Load

MOST_LINES = 5
"""Log lines above info that a fault of two seconds may bring."""
BUSY = 0.8
"""Share of the time. A loop that goes round for nothing has something to do all the time; the load, a fifth of it, and
more on a busy machine, where it waits for a core besides."""
_STAMP = re.compile(r"^(\S+Z) ", re.MULTILINE)
_WARNING = re.compile(r"^\S+Z (?:warning|error) ", re.MULTILINE)


async def cost_nothing(fault: Fault) -> tuple[Load, str]:
    """Let it happen in its scene, hold it to its targets, and return the load and the service's log."""
    async with fault.scene() as scene:
        cost, load = await harness.run(fault, scene, SHORT)
        assert cost.missed(fault.targets) == [], harness.odd(load)
        return load, scene.service.log if scene.service.running else ""


def failed(load: Load) -> list[str]:
    return [one.problem for one in load.requests if one.judged(load.patience) is Judged.FAILED]


async def test_without_descriptors_callers_wait_and_nobody_is_blamed() -> None:
    (fault,) = descriptors.FAULTS
    load, _ = await cost_nothing(fault)
    assert load.judged()[Judged.NOT_KNOWN] > 0, "there was no lack at all"
    assert all(reply.startswith(b"HTTP/1.1 200 ") for reply in fault.late), fault.late
    assert fault.busy < BUSY
    assert "DNS-only mode" not in fault.said, "our own fault is none of the network's"
    told = _WARNING.findall(fault.said)
    assert 1 <= len(told) <= MOST_LINES, fault.said
    assert "Too many open files" in fault.said


@pytest.mark.parametrize("fault", clock.FAULTS, ids=lambda fault: fault.name)
async def test_the_clock_jumps_and_nobody_notices(fault: clock.Jump) -> None:
    load, log = await cost_nothing(fault)
    assert load.judged()[Judged.TRUE] == len(load.requests)
    stamps = [datetime.fromisoformat(stamp) for stamp in _STAMP.findall(log)]
    assert (max(stamps) - min(stamps)).total_seconds() >= (abs(fault.hours) - 1) * 3600, "it did not jump"


async def test_a_full_disk_costs_log_lines_and_no_request() -> None:
    (fault,) = disk.FAULTS
    load, _ = await cost_nothing(fault)
    assert load.judged()[Judged.TRUE] == len(load.requests)
    assert fault.cut.status == 500
    (problem,) = fault.cut.body["problems"]
    assert "domains.map.gz: cannot be decompressed" in problem
    assert "the last good one stays in use: 1 entry" in problem
    assert fault.changed.body["maps"]["exclude_domains"]["entries"] == 2, json.dumps(fault.changed.body)
    assert fault.verdicts == {disk.EXCLUDED: "white", disk.ADDED: "white"}
    assert "after.test" in fault.said, "the log goes on when there is room again"


async def test_a_killed_worker_takes_along_what_it_had_in_hand_and_no_more() -> None:
    fault = processes.WorkerKilled()
    async with fault.scene() as scene:
        cost, load = await harness.run(fault, scene, SHORT)
        assert cost.missed(fault.targets) == [], harness.odd(load)
        assert "was killed by SIGKILL" in scene.service.log
    lost = [one for one in load.requests if one.judged(load.patience) is Judged.FAILED]
    assert all(one in fault.under_way for one in lost), [one for one in lost if one not in fault.under_way]
    assert 0 < len(lost) < len(fault.under_way), "the other worker had some in hand, too, and lost none"


async def test_a_service_that_hung_blames_nobody_for_it() -> None:
    await cost_nothing(processes.Stalled())


async def test_at_sigterm_all_that_is_under_way_is_answered() -> None:
    fault = processes.Terminated()
    await cost_nothing(fault)
    assert fault.code == 0
    assert len(fault.under_way) > 5
    assert {one.judged(6.0) for one in fault.under_way} == {Judged.TRUE}
    assert fault.seconds < fault.IN_TIME
