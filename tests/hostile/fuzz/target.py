"""A parser as those see it who feed it: what to begin with, and what raises when something does not hold."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parents[1] / "corpus"
"""A folder for each target: what a long run came by, and what once broke something (`finding-...`)."""
SEPARATOR: Final = b"\x1e"
"""Between the parts of an input that has several."""
MOST_CPU_SECONDS: Final = 2.0
"""For one input of at most `longest` octets, under coverage too, which is ten times as slow: a linear parser needs
milliseconds, what grows faster takes minutes."""

Check = Callable[[bytes], None]
"""Feeds a parser; raises AssertionError, or whatever the parser must not raise."""


class Slow(AssertionError):
    """An input took too long for its length."""


@dataclass(frozen=True)
class Target:
    """A parser under attack.

    `opened` sets up what the parser needs and yields the check. `longest`: octets of an input. `words`: what its
    language is made of, for those who make inputs.
    """

    name: str
    opened: Callable[[], AbstractContextManager[Check]]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()
    longest: int = 4096

    @contextmanager
    def timed(self) -> Iterator[Check]:
        """As `opened`, with a bound on the CPU time of each input."""
        with self.opened() as check:

            def timed(data: bytes) -> None:
                began = time.process_time()
                check(data)
                taken = time.process_time() - began
                if taken > MOST_CPU_SECONDS:
                    raise Slow(f"{len(data)} octets took {taken:.1f} s of CPU")

            yield timed

    def corpus(self) -> list[bytes]:
        """Return the seeds, and what stands in the folder."""
        files = sorted((CORPUS / self.name).glob("*"))
        return [*self.seeds, *(file.read_bytes() for file in files)]


def pure(check: Check) -> Callable[[], AbstractContextManager[Check]]:
    """Return `opened` for a check that needs nothing."""
    return lambda: nullcontext(check)


def parts(data: bytes, count: int) -> list[bytes]:
    """Return so many parts of an input; what is not there is empty, the last one may have separators."""
    found = data.split(SEPARATOR, count - 1)
    return found + [b""] * (count - len(found))


def text(data: bytes) -> str:
    """Return the text of octets, in which any may stand for themselves (lone surrogates)."""
    return data.decode("utf-8", "surrogateescape")
