"""A library of maps on a clock of its own, as tests keep it."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from mxcheck_service.core.settings import MxCheckSettings
from mxcheck_service.maps.library import Library, SourceState
from mxcheck_service.settings import MapsSettings
from tests.unit.fakes import FakeClock

if sys.version_info >= (3, 14):
    pass
else:
    pass

TEXT = b"mx.example 3\n"
OTHER = b"mx.example 5\n"


class Kept:
    """A library with the settings it keeps maps for."""

    def __init__(self, bound: MapsSettings | None = None, **settings: Any) -> None:
        self.wanted = replace(MxCheckSettings(), **settings)
        self.bound = bound or MapsSettings()
        self.clock = FakeClock()
        self.library = Library(self.clock, uniform=lambda low, high: high)

    async def refresh(self, *, due: bool = False) -> bool:
        return await self.library.refresh(self.wanted, self.bound, due=due)

    def value(self, key: str = "mx.example", setting: str = "bad_mxs") -> str | None:
        hit = getattr(self.library.maps(self.wanted).maps, setting).get(key)
        return None if hit is None else str(hit.value)

    def state(self, setting: str = "bad_mxs") -> SourceState:
        (state,) = self.library.states(self.wanted)[setting]
        return state


def rewrite(path: Path, content: bytes) -> None:
    """Put another file in place, as editors and deployments do."""
    path.with_suffix(".new").write_bytes(content)
    path.with_suffix(".new").replace(path)
