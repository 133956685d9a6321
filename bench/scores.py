"""What verdicts are worth against the truth: pure, for `bench.truth` to fill in and print."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.lab.truth.kind import Truth

UNSETTLED: Final = frozenset({"inflight", "ratelimited"})
"""Verdicts that ask for another look."""


class Seen(NamedTuple):
    """One answer of the service: the verdict, the message's score, seconds, whether it came after its deadline; and the
    connections to mail hosts that went out for it, also after it, and over all of so many looks."""

    verdict: str
    score: float
    seconds: float
    late: bool = False
    connections: int = 0
    looks: int = 1

    @property
    def alarm(self) -> bool:
        return self.score > 0


@dataclass(frozen=True, slots=True)
class Answers:
    """What one set-up of the service says about a kind: to the first message, and once it is settled."""

    first: Seen
    settled: Seen


@dataclass(frozen=True, slots=True)
class Totals:
    """How a set-up did over all kinds, by name where names tell more than a number."""

    false_alarms: Sequence[str]
    true_alarms: Sequence[str]
    misses: Sequence[str]
    blamed_unknowable: Sequence[str]
    """Unknowable ones with a positive score, which is neither right nor wrong."""
    seconds_median: float
    seconds_most: float
    connections: int
    connections_most: int
    late: Sequence[str]
    """Answered after the deadline."""

    @classmethod
    def of(cls, seen: Mapping[str, Seen], truths: Mapping[str, Truth]) -> "Totals":
        def named(truth: Truth, *, alarm: bool) -> list[str]:
            return [name for name, one in seen.items() if truths[name] is truth and one.alarm is alarm]

        seconds = [one.seconds for one in seen.values()]
        connections = [one.connections for one in seen.values()]
        return cls(
            false_alarms=named(Truth.YES, alarm=True),
            true_alarms=named(Truth.NO, alarm=True),
            misses=named(Truth.NO, alarm=False),
            blamed_unknowable=named(Truth.UNKNOWABLE, alarm=True),
            seconds_median=statistics.median(seconds),
            seconds_most=max(seconds),
            connections=sum(connections),
            connections_most=max(math.ceil(one.connections / one.looks) for one in seen.values()),
            late=[name for name, one in seen.items() if one.late],
        )

    def row(self, name: str) -> list[str]:
        """Return the row of `HEAD` for a set-up of this name."""
        return [
            name,
            str(len(self.false_alarms)),
            str(len(self.true_alarms)),
            str(len(self.misses)),
            str(len(self.blamed_unknowable)),
            f"{self.seconds_median:.2f}",
            f"{self.seconds_most:.2f}",
            str(self.connections),
            str(self.connections_most),
            str(len(self.late)),
        ]


HEAD: Final = (
    "",
    "false alarms",
    "true alarms",
    "misses",
    "unknowable with a score",
    "seconds, median",
    "seconds, most",
    "connections",
    "most connections for a check",
    "after the deadline",
)


def told(seen: Seen) -> str:
    """Return an answer as a cell."""
    return f"{seen.verdict} {seen.score:+.1f} ({seen.seconds:.1f} s)"


def counted(truths: Iterable[Truth]) -> str:
    """Return how many kinds are of which truth, as a sentence's part."""
    each = list(truths)
    return ", ".join(f"{each.count(truth)} {truth}" for truth in Truth)
