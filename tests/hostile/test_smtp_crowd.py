"""Hundreds of hostile mail hosts at once: nobody else is hurt by them, and nobody blamed who was not met.

`python -m bench.hostile_peers` does the same with ten thousand, and measures.
"""

import asyncio
import itertools
import resource
import time
from collections import Counter
from typing import Final

import pytest

from tests.hostile.mail_hosts import DEADLINE, Asked, Lab
from tests.lab.service import UNLIMITED
from tests.lab.smtp_farm import HOSTILE, SmtpFarm
from tests.lab.waiting import poll_until

SEATS: Final = 40
PEERS: Final = 300
LEAVING: Final = 40
"""Connections that are being closed, each for one that took its seat, when a look at the process comes between."""
GROWTH: Final = 40 << 20
"""Bytes: what a process comes to use for its first hundreds of checks, whoever answers them."""
HASTY: Final = UNLIMITED | {"slow_greeting": 1.0, "greeting_patience": 2.0, "probes_at_once": SEATS}
_A_MESSAGE: Final = 30
_LOOK: Final = 0.2


async def verdicts(asked: Asked, names: list[str]) -> Counter[str]:
    """Ask about all of them at once, some in each message."""
    parts = [names[first : first + _A_MESSAGE] for first in range(0, len(names), _A_MESSAGE)]
    found = await asyncio.gather(*(asked.domains(*part) for part in parts))
    return Counter(str(domain["verdict"]) for domain in itertools.chain.from_iterable(found))


def most_open(farm: SmtpFarm, kind: str) -> int:
    """Return how many connections to peers of a kind are open at once, when they are no longer becoming more."""
    last = -1
    while (now := farm.seen()[kind].open) > last or not now:
        last = now
        time.sleep(_LOOK)
    return last


async def test_hundreds_at_once(lab: Lab) -> None:
    hostile = [lab.domain(HOSTILE[number % len(HOSTILE)], number // len(HOSTILE)) for number in range(PEERS)]
    warm, cold = lab.domain("good", 1), iter([lab.domain("good", number) for number in range(2, 240)])
    # So patient, and so few seats, that these fill even where a slow machine meets the hosts one after the other.
    patient = HASTY | {"slow_greeting": 4.0, "greeting_patience": 5.0, "probes_at_once": SEATS // 2}
    async with lab.service("recommended", patient, verify=True, quit_after=True) as asked:
        assert await asked.verdict(warm) == "gd"
        before, resident = len(asked.files()), asked.resident()
        attack = asyncio.create_task(verdicts(asked, hostile))
        good: Counter[str] = Counter()
        most = 0
        while not attack.done():
            assert await asked.verdict(warm) == "gd"
            good[await asked.verdict(next(cold, warm))] += 1
            most = max(most, asked.sockets())
        # Not known is no blame; anything but that and the truth would be.
        assert good["gd"] > 0
        assert set(good) <= {"gd", "unavailable"}
        assert (await attack)["unavailable"] > 0, "it was a crowd"
        assert most <= before + PEERS // _A_MESSAGE + 2 + SEATS // 2 + LEAVING
        assert asked.resident() < resident + GROWTH
        # Nothing was remembered of those who had no seat: each has its verdict in the end.
        async with asyncio.timeout(60):
            while (await verdicts(asked, hostile))["unavailable"]:
                pass
        told = await asked.service.metrics()
        assert told.value("mxcheck_probes_crowded_out_total") > 0
        async with asyncio.timeout(15):
            while (await asked.service.metrics()).value("mxcheck_open_probes"):
                pass
        await asyncio.to_thread(poll_until, lambda: len(asked.files()) <= before, 15, "all is closed again")
        assert asked.service.log.count("\n") < 5, asked.service.log


async def test_a_network_of_silent_hosts_leaves_room_for_others(lab: Lab) -> None:
    silent = [lab.domain("silent", 256 * number) for number in range(2 * SEATS)]
    good = [lab.domain("good", number) for number in range(SEATS // 2)]
    # So patient that no seat of theirs becomes spare before the checks end.
    patient = HASTY | {"slow_greeting": DEADLINE, "greeting_patience": 2 * DEADLINE}
    async with lab.service("recommended", patient, verify=True, quit_after=True, read_timeout=DEADLINE) as asked:
        attack = asyncio.create_task(verdicts(asked, silent))

        def held() -> int:
            return lab.farm.seen()["silent"].open

        await asyncio.to_thread(poll_until, lambda: held() >= SEATS // 2, 20, "half of the seats taken")
        for name in good:
            assert await asked.verdict(name) == "gd"
        assert held() == SEATS // 2
        assert not attack.done()
        attack.cancel()


@pytest.mark.parametrize("kind", ["silent", "no answer to QUIT"])
async def test_who_has_a_verdict_gives_way_to_who_has_none(kind: str, lab: Lab) -> None:
    """One is waited for until its greeting comes, the other until it has answered QUIT, both for long."""
    waiting = [lab.domain(kind, number) for number in range(SEATS)]
    patient = HASTY | {"greeting_patience": 300.0}
    async with lab.service("recommended", patient, verify=True, quit_after=True) as asked:
        before = asked.sockets()
        # In two parts, so that there are seats enough for the attempts on each.
        for part in (waiting[: SEATS // 2], waiting[SEATS // 2 :]):
            assert await verdicts(asked, part) == Counter(gd=len(part))
        held = asked.sockets() - before
        found = await asyncio.gather(*(asked.verdict(lab.domain("good", number)) for number in range(SEATS)))
        assert found == ["gd"] * len(found)
        assert held > SEATS // 2, "most seats were taken"


async def test_there_are_descriptors_left_for_everybody_else(lab: Lab) -> None:
    """With few of them, of which the soft limit allows even fewer."""
    silent = [lab.domain("silent", number) for number in range(200)]
    few = ("prlimit", "--nofile=64:128")
    # So patient that none of the seats is spare before all are taken, on a slow machine, too.
    wish = HASTY | {"slow_greeting": 6.0, "greeting_patience": 8.0, "probes_at_once": 1000}
    async with lab.service("recommended", wish, verify=True, quit_after=True, under=few, read_timeout=6.0) as asked:
        assert resource.prlimit(asked.service.pid, resource.RLIMIT_NOFILE) == (128, 128)
        before = len(asked.files())
        attack = asyncio.create_task(verdicts(asked, silent))
        held = await asyncio.to_thread(most_open, lab.farm, "silent")
        # Who asks is answered, and whose host is known to be good has no need of a seat.
        assert await asked.verdict(lab.domain("good", 250)) == "gd"
        found = await attack
        assert held == 42, "a third of them are for connections to mail hosts"
        assert set(found) == {"gd", "unavailable"}
        # Those that have their verdict make room for others.
        assert await asked.verdict(lab.domain("good", 1)) == "gd"
        await asyncio.to_thread(poll_until, lambda: len(asked.files()) <= before, 15, "all is closed again")
        assert "Too many open files" not in asked.service.log
