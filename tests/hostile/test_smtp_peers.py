"""The service against hostile mail hosts over real sockets: a verdict in time, little read, and nothing left open."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import aiohttp
import pytest

from mxcheck_service.core.banner import MAX_GREETING
from tests.lab import dns_behaviours as dns
from tests.lab.dnsd import DnsServer
from tests.lab.service import UNLIMITED, Service
from tests.lab.smtp_farm import HOSTILE, SmtpFarm
from tests.lab.waiting import poll_until

PATIENCE: Final = 1.5
"""Seconds that a greeting is waited for in the background, in place of five minutes."""
LOCK: Final = 4.0
"""Seconds that a probe may take all told, the lifetime of its lock."""
DEADLINE: Final = 10.0
MOST_TAKEN: Final = MAX_GREETING + 4096 + 32_768
"""The longest greeting, a piece that goes past it, and what the kernel takes ahead of us."""
MOST_OPEN: Final = 60
RESIDENT_GROWTH: Final = 30 << 20
"""Bytes: what a service comes to use for the first hundreds of checks, whoever answers them."""

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


@pytest.fixture
def farm() -> Iterator[SmtpFarm]:
    with SmtpFarm() as farm:
        yield farm


class Lab:
    """Domains with one mail host each, and the service that checks them."""

    def __init__(self, farm: SmtpFarm, dns_server: DnsServer) -> None:
        self.farm = farm
        self._dns = dns_server

    def domain(self, kind: str, number: int = 0) -> str:
        """A domain whose mail host is of this kind."""
        name = f"{kind.lower().replace(' ', '-')}-{number}.test"
        self._dns.set(name, "MX", dns.mx((10, f"mx.{name}")))
        self._dns.set(f"mx.{name}", "A", dns.a(self.farm.address(kind, number)))
        return name

    @asynccontextmanager
    async def service(self, mode: Mode, **improvements: Any) -> AsyncIterator["Asked"]:
        better = UNLIMITED | {"slow_greeting": 0.5, "greeting_patience": PATIENCE}
        settings = {
            "preset": mode.preset,
            "server": {"deadline": DEADLINE, "log_level": "warning"},
            "dns": {"nameservers": [self._dns.nameserver]},
            "mx_check": {
                "test_mode": True, "port": self.farm.port, "connect_timeout": 2.0, "read_timeout": 1.0,
                "verify_greeting": mode.verify, "send_quit": mode.quit_after,
            },
            "improvements": (better if mode.preset == "recommended" else {}) | improvements,
        }  # fmt: skip
        with Service(settings) as service:
            # No connection of ours stays open when it has been answered.
            calls = aiohttp.TCPConnector(limit=0, force_close=True)
            async with aiohttp.ClientSession(connector=calls, timeout=aiohttp.ClientTimeout(total=60)) as session:
                asked = Asked(service, session)
                # What it opens for good, it has open now.
                assert await asked.verdict(self.domain("good", 250)) == "gd"
                await asyncio.to_thread(poll_until, lambda: asked.sockets() <= 6, 10, "the first check over")
                yield asked


class Asked:
    """A running service that is asked."""

    def __init__(self, service: Service, session: aiohttp.ClientSession) -> None:
        self.service = service
        self._session = session

    async def domains(self, *names: str) -> list[dict[str, Any]]:
        """Check domains with one message, and return what is said of each."""
        body = {"mime_from": [f"x@{name}" for name in names]}
        async with self._session.post(f"{self.service.url}/v1/check", json=body) as response:
            reply = await response.json()
            assert response.status == 200, reply
        return list(reply["domains"])

    async def verdict(self, name: str) -> str:
        """Check a domain and return its verdict."""
        (found,) = await self.domains(name)
        return str(found["verdict"])

    def files(self) -> list[str]:
        """What the process has open."""
        folder = f"/proc/{self.service.pid}/fd"
        found = []
        for name in os.listdir(folder):
            try:
                found.append(os.readlink(f"{folder}/{name}"))
            except FileNotFoundError:
                continue  # closed meanwhile
        return found

    def sockets(self) -> int:
        """How many sockets the process has open."""
        return sum(name.startswith("socket:") for name in self.files())

    def resident(self) -> int:
        """Bytes of memory."""
        with open(f"/proc/{self.service.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def lab(farm: SmtpFarm, dns_server: DnsServer) -> Lab:
    return Lab(farm, dns_server)


@pytest.mark.parametrize("name", MODES)
async def test_each_kind_has_its_verdict_in_time_and_nothing_is_left_open(name: str, lab: Lab) -> None:
    mode = MODES[name]
    names = {kind: lab.domain(kind) for kind in HOSTILE}
    async with lab.service(mode) as asked:
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
