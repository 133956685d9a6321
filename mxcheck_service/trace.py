"""What a lookup read, saw and did: for `?explain=1` and `mxcheck check --explain`, and for telling whether the same
lookup would end the same again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mxcheck_service.ports import Clock

Fact = str | int | float | bool | None | list[str]
StepName = Literal[
    "cache", "dns", "ip_class", "map", "lock", "shared", "limit", "probe", "deadline", "crash", "verdict"
]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: seconds since the lookup began when it was over, what it was, and what was seen. What takes time has
    `took_ms` among its facts, the milliseconds from its begin."""

    at: float
    name: StepName
    facts: Mapping[str, Fact]


class Trace:
    """Collects the steps of one lookup, in order; with `explain` off, only what it read from the cache.

    `reads` is the text under each cache key that the lookup has read, None for an absent one. As long as `repeatable`,
    nothing but these texts and the settings decided how it ended.
    """

    def __init__(self, clock: Clock, *, explain: bool = True) -> None:
        self._clock = clock
        self._start = clock.monotonic()
        self.explain = explain
        self.steps: list[Step] = []
        self.reads: dict[str, str | None] = {}
        self.repeatable = True

    def read(
        self, layer: str, name: str, key: str, text: str | None, *, since: float | None = None, **facts: Fact
    ) -> None:
        """Note what the cache held for a name, with more about it. Reading the same again is not worth a step."""
        if key in self.reads and self.reads[key] == text:
            return
        self.repeatable = self.repeatable and key not in self.reads
        self.reads[key] = text
        if self.explain:
            self._add("cache", {"layer": layer, "key": name, "value": text, **facts}, since)

    def saw(self, name: StepName, **facts: Fact) -> None:
        """Note what followed from what was read and from the settings."""
        if self.explain:
            self._add(name, facts)

    def did(self, name: StepName, *, since: float | None = None, **facts: Fact) -> None:
        """Note what the outside was asked, or another lookup has answered: it may end otherwise next time.

        `since`: what `elapsed` returned when the step began.
        """
        self.repeatable = False
        if self.explain:
            self._add(name, facts, since)

    def elapsed(self) -> float:
        """Return seconds since the lookup began."""
        return self._clock.monotonic() - self._start

    def _add(self, name: StepName, facts: Mapping[str, Fact], since: float | None = None) -> None:
        at = self.elapsed()
        took = {} if since is None else {"took_ms": round((at - since) * 1000, 3)}
        self.steps.append(Step(at, name, {**facts, **took}))
