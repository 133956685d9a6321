"""What happens to the resolver: it is gone, slow, or answers what it should not."""

import random
import struct
from collections.abc import Callable, Sequence
from typing import Final

import dnslib

from tests.hostile.harness import Fault, Targets
from tests.hostile.scene import Scene
from tests.lab.dns_behaviours import (
    DROP,
    GARBAGE,
    NXDOMAIN,
    SERVFAIL,
    Answer,
    Behaviour,
    Delayed,
    Raw,
    Swollen,
    Truncated,
    WrongId,
)
from tests.lab.dnsd import Forged
from tests.lab.load import Load

_SLOW: Final = 0.4
"""Seconds: more than c-ares gives the first try, and less than a question may take (dns.timeout times dns.tries)."""
_TOO_SLOW: Final = 3.0
"""Seconds: more than that."""
_FORGED_FIRST: Final = 0.02
"""Seconds that a forged answer is there before the true one."""


ALL_KNOWN: Final = Targets(not_known=0)


class Dead(Fault):
    name = "DNS dead (nothing listens)"

    async def begin(self, scene: Scene, load: Load) -> None:
        await scene.dns.stop()

    async def end(self, scene: Scene, load: Load) -> None:
        await scene.dns.start()


class WithoutTcp(Fault):
    name = "DNS truncated, and TCP is refused"

    async def begin(self, scene: Scene, load: Load) -> None:
        await scene.dns.stop()
        await scene.dns.start(tcp=False)
        scene.dns.through = lambda behaviour: Truncated(_answer(behaviour))

    async def end(self, scene: Scene, load: Load) -> None:
        scene.dns.through = _as_it_is
        await scene.dns.stop()
        await scene.dns.start()


class Odd(Fault):
    """Every answer is made another one."""

    def __init__(self, name: str, through: Callable[[Behaviour], Behaviour], targets: Targets = Fault.targets) -> None:
        self.name = name
        self.targets = targets
        self._through = through

    async def begin(self, scene: Scene, load: Load) -> None:
        scene.dns.through = self._through

    async def end(self, scene: Scene, load: Load) -> None:
        scene.dns.through = _as_it_is


class Spoofed(Fault):
    """The true answers, and before each of them several that say that there is no such name."""

    targets = ALL_KNOWN

    def __init__(self, name: str, forge: Callable[[bytes], Sequence[Forged]]) -> None:
        self.name = name
        self._forge = forge

    async def begin(self, scene: Scene, load: Load) -> None:
        scene.dns.forge = self._forge
        scene.dns.through = lambda behaviour: Delayed(behaviour, seconds=_FORGED_FIRST)

    async def end(self, scene: Scene, load: Load) -> None:
        scene.dns.forge = None
        scene.dns.through = _as_it_is


def _as_it_is(behaviour: Behaviour) -> Behaviour:
    return behaviour


def _answer(behaviour: Behaviour) -> Answer:
    assert isinstance(behaviour, Answer)
    return behaviour


def _no_such_name(packet: bytes) -> bytes:
    query = dnslib.DNSRecord.parse(packet)
    reply = query.reply()
    reply.header.rcode = dnslib.RCODE.NXDOMAIN
    return bytes(reply.pack())


def _wrong_ids(packet: bytes) -> list[Forged]:
    denial = _no_such_name(packet)
    wrong = (struct.pack("!H", (denial[0] << 8 | denial[1]) ^ difference) for difference in (1, 0x5555, 0xFFFF))
    return [Forged(each + denial[2:], own_port=True) for each in wrong]


def _from_another_port(packet: bytes) -> list[Forged]:
    return [Forged(_no_such_name(packet), own_port=False)]


_random: Final = random.Random(8)
_GARBAGE: Final = (
    GARBAGE,
    Raw(b"", keep_id=True),
    Raw(b"\x81\x80" + b"\xff" * 40, keep_id=True),
    Raw(b"\x81\x80\0\1\xff\xff\0\0\0\0\xc0\x0c\xc0\x0c", keep_id=True),
    *(Raw(_random.randbytes(length), keep_id=True) for length in (10, 100, 1000)),
)

FAULTS: Final = (
    Dead(),
    Odd("DNS dead (everything is dropped)", lambda _: DROP),
    Odd("DNS fails (SERVFAIL to everything)", lambda _: SERVFAIL),
    Odd(f"DNS slow ({_SLOW:g} s for each answer)", lambda behaviour: Delayed(behaviour, seconds=_SLOW), ALL_KNOWN),
    Odd(f"DNS too slow ({_TOO_SLOW:g} s, of which 2 s are waited)", lambda b: Delayed(b, seconds=_TOO_SLOW)),
    Odd("DNS garbage", lambda _: _random.choice(_GARBAGE)),
    Odd("DNS truncated, whole over TCP", lambda behaviour: Truncated(_answer(behaviour)), ALL_KNOWN),
    WithoutTcp(),
    Odd("DNS answers with wrong ids only", lambda _: WrongId(NXDOMAIN)),
    Spoofed("DNS answers forged with wrong ids, before the true ones", _wrong_ids),
    Spoofed("DNS answers forged from another port, before the true ones", _from_another_port),
    Odd("DNS answers huge (64 KB, thousands of records)", lambda behaviour: Swollen(_answer(behaviour)), ALL_KNOWN),
)
