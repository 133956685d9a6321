"""What a lookup did, step by step, for `?explain=1` and `mxcheck check --explain`."""

from collections.abc import Mapping
from dataclasses import dataclass

from mxcheck_service.ports import Clock

Fact = str | int | float | bool | None | list[str]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: seconds since the lookup began, what it was, and what was seen."""

    at: float
    name: str
    facts: Mapping[str, Fact]


class Trace:
    """Collects the steps of one lookup, in order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.monotonic()
        self.steps: list[Step] = []

    def add(self, name: str, **facts: Fact) -> None:
        self.steps.append(Step(self.elapsed(), name, facts))

    def elapsed(self) -> float:
        """Return seconds since the lookup began."""
        return self._clock.monotonic() - self._start
