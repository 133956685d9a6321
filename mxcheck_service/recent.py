"""The latest domains whose verdict was not good, for whoever looks at what the service has to complain of.

Each worker keeps its own, and publishes them once a second in its part of a memory that the workers share, so that
whichever is asked can tell of all.
"""

import mmap
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

import orjson

from mxcheck_service.core.model import DomainResult, Source
from mxcheck_service.core.words import WORDS, Kind

KEPT: Final = frozenset(verdict for verdict, words in WORDS.items() if words.kind in (Kind.BAD, Kind.UNKNOWN))
"""Verdicts that speak against a domain, or that we owe it."""
_OCTETS: Final = 768
"""Of an entry, at most: two names of 253 octets and what is around them."""
_HEAD: Final = 16
"""Octets of a part's head: its edition, which is odd while it is being written, and its length."""
_LOOKS: Final = 3
"""So often what is being written is read again."""


class Complaint(NamedTuple):
    """A domain with its verdict; `time`: when it was given last (seconds since 1970); `times`: how often so far."""

    time: float
    domain: str
    source: Source
    verdict: str
    host: str
    times: int


class Recent:
    """The latest `most` complaints of each worker; one for a domain, a source and a verdict, however often it comes."""

    def __init__(self, most: int, workers: int = 1, now: Callable[[], float] = time.time) -> None:
        self._most = most
        self._now = now
        self._own: OrderedDict[tuple[str, Source, str], Complaint] = OrderedDict()
        self._is_told = True
        size = _HEAD + most * _OCTETS
        shared = memoryview(mmap.mmap(-1, workers * size))
        self._parts = [_Part(shared[start : start + size]) for start in range(0, workers * size, size)]
        self.take_row(0)

    def take_row(self, number: int) -> None:
        """Publish in this part from now on: this process has become worker `number`, and goes on where it was left."""
        self._part = self._parts[number]
        self._own.update(((known.domain, known.source, known.verdict), known) for known in self._part.read())

    def saw(self, result: DomainResult) -> None:
        """Take in a verdict."""
        candidate, lookup, _ = result
        if lookup.outcome.verdict not in KEPT:
            return
        key = (candidate.domain, candidate.source, str(lookup.outcome))
        known = self._own.pop(key, None)
        self._own[key] = Complaint(self._now(), *key, lookup.host, known.times + 1 if known else 1)
        if len(self._own) > self._most:
            self._own.popitem(last=False)
        self._is_told = False

    def publish(self) -> None:
        """Let other workers know."""
        if not self._is_told:
            self._part.write(list(self._own.values()))
            self._is_told = True

    def latest(self) -> list[Complaint]:
        """Return those of all workers, the latest first; those of the others as of a second ago."""
        found = [complaint for part in self._parts if part is not self._part for complaint in part.read()]
        return sorted((*found, *self._own.values()), key=attrgetter("time"), reverse=True)[: self._most]


class _Part:
    """Where one worker writes, and others read."""

    def __init__(self, octets: memoryview) -> None:
        self._head = octets[:_HEAD].cast("Q")
        self._body = octets[_HEAD:]

    def write(self, complaints: Sequence[Complaint]) -> None:
        """Put these in place of what is there, the last ones if not all have room."""
        text = _text(complaints)
        while len(text) > len(self._body):
            complaints = complaints[1:]
            text = _text(complaints)
        # Odd already where a worker was killed over it.
        edition = (self._head[0] + 1) | 1
        self._head[0] = edition
        self._body[: len(text)] = text
        self._head[1] = len(text)
        self._head[0] = edition + 1

    def read(self) -> list[Complaint]:
        """Return what is there; nothing when its writer was killed over it, or is never done."""
        for _ in range(_LOOKS):
            edition, length = self._head
            text = bytes(self._body[:length])
            if edition % 2 == 0 and self._head[0] == edition:
                entries = orjson.loads(text) if text else []
                return [Complaint(at, domain, Source(source), *rest) for at, domain, source, *rest in entries]
        return []


def _text(complaints: Sequence[Complaint]) -> bytes:
    return orjson.dumps([tuple(complaint) for complaint in complaints])
