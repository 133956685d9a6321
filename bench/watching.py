"""What a process uses, looked at from outside while a benchmark goes on."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.stage import cpu_seconds, resident_bytes

LOOK: Final = 0.2
"""Seconds between two looks."""


@dataclass
class Samples:
    """What the process used, looked at five times a second."""

    resident: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)


@contextmanager
def sampled(pid: int) -> Iterator[Samples]:
    samples, over = Samples(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            samples.resident.append(resident_bytes(pid))
            samples.files.append(open_files(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True)
class Moment:
    """What the clock and the process tell at a time."""

    time: float
    cpu: float
    waited: float
    """Seconds that the process had to wait for its core, since others had it (proc(5): schedstat)."""

    @classmethod
    def of(cls, pid: int) -> "Moment":
        waited = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
        return cls(time.monotonic(), cpu_seconds(pid), waited)

    def until(self, end: "Moment") -> dict[str, float]:
        """How long it took, and for which part of it the process was running, or would have liked to."""
        seconds = end.time - self.time
        return {
            "seconds": seconds,
            "running": (end.cpu - self.cpu) / seconds,
            "kept_waiting": (end.waited - self.waited) / seconds,
        }


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
