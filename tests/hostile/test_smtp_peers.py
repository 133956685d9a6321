"""The service against hostile mail hosts over real sockets: a verdict in time, little read, and nothing left open."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

import pytest

from mxcheck_service.core.banner import MAX_GREETING
from tests.hostile.mail_hosts import Lab
from tests.lab.service import UNLIMITED
from tests.lab.smtp_farm import HOSTILE
from tests.lab.waiting import poll_until

PATIENCE: Final = 1.5
"""Seconds that a greeting is waited for in the background, in place of five minutes."""
LOCK: Final = 4.0
"""Seconds that a probe may take all told, the lifetime of its lock."""
MOST_TAKEN: Final = MAX_GREETING + 8192 + 32_768
"""The longest greeting, a piece that goes past it, and what the kernel takes ahead of us."""

Said = str | set[str]


class Mode(NamedTuple):
    """How the service probes, and what each kind comes to; either of two where a reset races with what came before it.
    Those in `later` are something else once they were waited for in the background."""

    preset: str
    verify: bool
    quit_after: bool
    verdicts: Mapping[str, Said]
    later: Mapping[str, str] = {}


RACE: Final = {"gd", "inv"}
GREETS: Final[dict[str, Said]] = {
    "reset after QUIT": "gd",
    "lines after QUIT": "gd",
    "one line after QUIT": "gd",
    "no answer to QUIT": "gd",
    "never closing": "gd",
    "deaf": "gd",
}
RESETS: Final[dict[str, Said]] = {"reset at once": "inv", "reset after the greeting": RACE}
UNHEARING: Final = {"deaf", "line of 100 MB"}
"""These read nothing, or not before a reset ends the connection, for all that they went on to say."""
NO_GREETING: Final[dict[str, Said]] = {
    "silent": "tr",
    "octet a second": "tr",
    "line of 100 MB": "tr",
    "endless empty lines": "tr",
    "NULs": "tr",
    "no end of the line": "tr",
}
FOR_THE_TIME_BEING: Final = {"silent": "tr", "octet a second": "tr"}
MODES: Final = {
    "recommended, connect": Mode("recommended", False, False, dict.fromkeys(HOSTILE, "gd")),
    "recommended, first line": Mode(
        "recommended",
        True,
        False,
        GREETS
        | RESETS
        | dict.fromkeys(FOR_THE_TIME_BEING, "gd")
        | dict.fromkeys(["octet a centisecond", "endless lines", "line of 100 MB", "no end of the line"], "gd")
        | dict.fromkeys(["endless empty lines", "NULs"], "inv")
        | {"reset in the greeting": RACE},
        FOR_THE_TIME_BEING,
    ),
    "recommended, QUIT": Mode(
        "recommended",
        True,
        True,
        GREETS
        | RESETS
        | dict.fromkeys(FOR_THE_TIME_BEING, "gd")
        | dict.fromkeys(["octet a centisecond", "no end of the line", "line of 100 MB"], "gd")
        | dict.fromkeys(["endless empty lines", "NULs", "reset in the greeting"], "inv")
        | {"endless lines": "tr"},
        FOR_THE_TIME_BEING | {"octet a centisecond": "tr", "no end of the line": "tr"},
    ),
    "reference, connect": Mode("reference", False, False, dict.fromkeys(HOSTILE, "gd")),
    "reference, first line": Mode(
        "reference",
        True,
        False,
        GREETS
        | RESETS
        | NO_GREETING
        | {"octet a centisecond": "gd", "endless lines": "gd", "reset in the greeting": RACE},
    ),
    "reference, QUIT": Mode(
        "reference",
        True,
        True,
        GREETS
        | RESETS
        | NO_GREETING
        | {"octet a centisecond": "tr", "endless lines": "tr", "reset in the greeting": "inv"},
    ),
}


@pytest.mark.parametrize("name", MODES)
async def test_each_kind_has_its_verdict_in_time_and_nothing_is_left_open(name: str, lab: Lab) -> None:
    mode = MODES[name]
    names = {kind: lab.domain(kind) for kind in HOSTILE}
    better = UNLIMITED | {"slow_greeting": 0.5, "greeting_patience": PATIENCE} if mode.preset == "recommended" else {}
    async with lab.service(mode.preset, better, verify=mode.verify, quit_after=mode.quit_after) as asked:
        before = len(asked.files())

        async def judged(kind: str) -> tuple[str, float]:
            began = time.monotonic()
            return await asked.verdict(names[kind]), time.monotonic() - began

        found = dict(zip(HOSTILE, await asyncio.gather(*map(judged, HOSTILE)), strict=True))
        for kind, (verdict, seconds) in found.items():
            wanted = mode.verdicts[kind]
            assert verdict in (wanted if isinstance(wanted, set) else {wanted}), kind
            # A second attempt may follow the first.
            assert seconds < LOCK + 1, kind
        for kind, verdict in mode.later.items():
            async with asyncio.timeout(PATIENCE + 5):
                while await asked.verdict(names[kind]) != verdict:
                    pass
        await asyncio.to_thread(poll_until, lambda: len(asked.files()) <= before, 15, "what it opened closed again")
        assert asked.service.log.count("\n") < 10, asked.service.log
    seen = lab.farm.seen()
    print({k: v.most_taken for k, v in seen.items()})
    for kind in HOSTILE:
        assert seen[kind].connections >= 1, kind
        assert seen[kind].most_taken <= MOST_TAKEN, (kind, seen[kind])
        goodbye = mode.quit_after and mode.verdicts[kind] == "gd" and kind not in mode.later
        wanted_words = {"QUIT\r\n"} if goodbye else set()
        assert wanted_words.issuperset(seen[kind].heard), (kind, seen[kind])
        if kind not in UNHEARING and mode.verdicts[kind] is not RACE:
            assert wanted_words == set(seen[kind].heard), (kind, seen[kind])
