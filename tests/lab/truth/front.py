"""A name server that misbehaves about some names: `python -m tests.lab.truth.front ADDRESS [FAULTS_FILE UPSTREAM]`.

Each line of the file is `NAME TYPE BEHAVIOUR`; what behaviours there are is said in `tests.lab.truth.kinds`. All else
is answered by the upstream server; without one, everything is REFUSED. A process of its own, until it is ended.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.lab.dns_behaviours import (
    DROP,
    FORMERR,
    FORWARD,
    GARBAGE,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    Behaviour,
    Delayed,
    Forward,
    InTurn,
    OverTcp,
)
from tests.lab.dnsd import DnsServer

BEHAVIOURS: Final[Mapping[str, Callable[[], Behaviour]]] = {
    "servfail": lambda: SERVFAIL,
    "refused": lambda: REFUSED,
    "nxdomain": lambda: NXDOMAIN,
    "formerr": lambda: FORMERR,
    "drop": lambda: DROP,
    "garbage": lambda: GARBAGE,
    "servfail-once": lambda: InTurn(SERVFAIL, FORWARD),
    "slow-3": lambda: Delayed(FORWARD, seconds=3.0),
    "truncated": lambda: Forward(truncated=True),
    "truncated-only": lambda: Forward(truncated=True, tcp=OverTcp.CLOSE),
    "no-edns": lambda: Forward(edns=False),
}


async def _serve(address: str, faults: str, upstream: str | None) -> None:
    otherwise = REFUSED if upstream is None else None
    async with DnsServer(upstream=upstream, otherwise=otherwise, address=address, port=53) as server:
        for line in faults.splitlines():
            name, kind, behaviour = line.split()
            server.set(name, kind, BEHAVIOURS[behaviour]())
        await asyncio.Event().wait()


if __name__ == "__main__":
    _address, *_rest = sys.argv[1:]
    _faults, _upstream = (Path(_rest[0]).read_text(), _rest[1]) if _rest else ("", None)
    asyncio.run(_serve(_address, _faults, _upstream))
