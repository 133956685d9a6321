"""A fault under load, and what it cost: the same objects for short tests and for `python -m bench.faults`.

A fault is a small class in a module of `tests.hostile.faults`, which lists its instances in `FAULTS`:

    class Killed(Fault):
        name = "Redis killed (-9), started again"

        async def begin(self, scene: Scene, load: Load) -> None:
            await asyncio.to_thread(scene.store.kill)

        async def end(self, scene: Scene, load: Load) -> None:
            await asyncio.to_thread(scene.store.start)

    FAULTS = (Killed(),)
"""

import importlib
import pkgutil
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.hostile.scene import Scene
from tests.lab.load import Judged, Load, Request

DEADLINE: Final = 5.0
"""Seconds for each: the service's default."""


@dataclass(frozen=True)
class Targets:
    """What a fault may cost. Whatever is weaker than the defaults has its reason in `why`.

    `not_known`: None, any number; the truth is not at hand without the part that broke, unless that goes on working.
    """

    failed: int = 0
    recovery: float = 2.0
    not_known: int | None = None
    why: str = ""


class Fault(ABC):
    """Something that breaks, and is mended.

    `begin` returns when it is broken, `end` when it is sound again as far as others than the service can tell: recovery
    is counted from there. Blocking calls belong into threads, since the load and the lab run in this event loop.
    """

    name: str
    """What the row of the table is called."""
    targets: Targets = Targets()
    ends_by_itself: bool = False
    """`end` waits for that, and is called at once."""

    def scene(self) -> Scene:
        """Make the scene it happens in, not yet entered. Faults of which this is the same may share one."""
        return Scene()

    @abstractmethod
    async def begin(self, scene: Scene, load: Load) -> None: ...

    @abstractmethod
    async def end(self, scene: Scene, load: Load) -> None: ...

    async def restore(self, scene: Scene) -> None:  # noqa: B027 # most have nothing to do here
        """Make the scene fit for another fault after this one; nothing of it is measured."""


@dataclass(frozen=True)
class Pace:
    """Requests a second, and seconds of them before the fault, with it, and after its end.

    `steady`: what comes after it may end as soon as so many replies are the truth, one after the other.
    """

    rate: float
    before: float
    during: float
    after: float
    steady: int | None = None


SHORT: Final = Pace(rate=50.0, before=0.4, during=1.0, after=4.0, steady=30)
"""For tests."""


@dataclass(frozen=True)
class Cost:
    """A row of the table. Seconds; `recovery` is infinite when the truth was not told any more.

    `p99` is of the requests that were under way while the fault was there; `longest` of all.
    """

    fault: str
    lasted: float
    requests: int
    failed: int
    wrong: int
    not_known: int
    p99: float
    longest: float
    recovery: float
    stuck_locks: int

    def missed(self, targets: Targets) -> list[str]:
        """Return the targets that were missed, with what was seen."""
        bounds = {
            "failed": targets.failed,
            "wrong": 0,
            "not_known": targets.not_known,
            "p99": DEADLINE,
            "recovery": targets.recovery,
            "stuck_locks": 0,
        }
        return [
            f"{name}: {getattr(self, name):g}, at most {most:g}"
            for name, most in bounds.items()
            if most is not None and getattr(self, name) > most
        ]


async def run(fault: Fault, scene: Scene, pace: Pace) -> tuple[Cost, Load]:
    """Let a fault happen under load in a scene that was entered; return its cost, and the load with every request.

    Raises AssertionError when the load is not answered with the truth before it.
    """
    load = Load(scene.service.url, scene.senders, rate=pace.rate, deadline=DEADLINE)
    async with load.flowing():
        # What has never been asked for, by a service that has just started, may take its time.
        assert await load.all_true(10, within=10), f"not sound before the fault: {odd(load)}"
        await load.flow(pace.before)
        began = time.monotonic()
        await fault.begin(scene, load)
        if not fault.ends_by_itself:
            await load.flow(pace.during)
        await fault.end(scene, load)
        ended = time.monotonic()
        if pace.steady is None:
            await load.flow(pace.after)
        else:
            await load.all_true(pace.steady, within=pace.after)
    return _cost(fault, load, began, ended, len(await scene.stuck_locks())), load


def _cost(fault: Fault, load: Load, began: float, ended: float, stuck_locks: int) -> Cost:
    judged = load.judged()
    assert sum(judged.values()) == len(load.requests)
    meanwhile = [one.seconds for one in load.requests if one.sent <= ended and one.sent + one.seconds >= began]
    return Cost(
        fault.name,
        ended - began,
        len(load.requests),
        judged[Judged.FAILED],
        judged[Judged.WRONG],
        judged[Judged.NOT_KNOWN],
        statistics.quantiles(meanwhile, n=100, method="inclusive")[98],
        max(one.seconds for one in load.requests),
        _recovery(load, ended),
        stuck_locks,
    )


def _recovery(load: Load, ended: float) -> float:
    """Return the seconds from the fault's end to the first request from which on all replies are the truth."""
    first = float("inf")
    for one in sorted(load.requests, key=lambda request: request.sent, reverse=True):
        if one.judged(load.patience) is not Judged.TRUE:
            break
        first = one.sent
    return max(0.0, first - ended)


def odd(load: Load, most: int = 5) -> list[Request]:
    """Return some of the requests that failed or were answered wrong, else of those that were not answered with the
    truth."""
    bad = [one for one in load.requests if one.judged(load.patience) in (Judged.FAILED, Judged.WRONG)]
    return (bad or [one for one in load.requests if one.judged(load.patience) is not Judged.TRUE])[:most]


def registered() -> Iterator[Fault]:
    """Yield every fault of every module of `tests.hostile.faults`, by the modules' names and then in their order."""
    from tests.hostile import faults

    for found in sorted(pkgutil.iter_modules(faults.__path__), key=lambda module: module.name):
        yield from importlib.import_module(f"{faults.__name__}.{found.name}").FAULTS
