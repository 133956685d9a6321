"""The system's clock jumps for the service, as it does when a machine's time is set.

Redis goes by the true time, as one on another machine does: with jemalloc it cannot be run under libfaketime.
"""

import glob
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from tests.hostile.harness import Fault
from tests.hostile.scene import Scene
from tests.lab.load import Load
from tests.lab.process import missing

_LIBRARY: Final = "/usr/lib/*/faketime/libfaketimeMT.so.1"
_HOURS: Final = 5


class JumpingClock:
    """A clock that programs read which are run `under` it. What they count from an arbitrary start goes on as it is."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mxcheck-clock-")
        self._offset = Path(self._folder.name) / "offset"
        self.set(0)
        found = glob.glob(_LIBRARY) or missing("libfaketime")
        self.under = (
            "env",
            f"LD_PRELOAD={found[0]}",
            f"FAKETIME_TIMESTAMP_FILE={self._offset}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            # Its own idea of how to wait by that clock has threads wait for the interpreter for seconds.
            "FAKETIME_FORCE_MONOTONIC_FIX=0",
        )

    def set(self, hours: int) -> None:
        """Let it be so many hours later than it is."""
        whole = self._offset.with_suffix(".new")
        whole.write_text(f"{hours * 3600:+d}\n")
        whole.replace(self._offset)

    def close(self) -> None:
        self._folder.cleanup()


class ClockScene(Scene):
    """A scene whose service goes by a clock that jumps."""

    def __init__(self) -> None:
        self.clock = JumpingClock()
        super().__init__(under=self.clock.under)

    async def __aenter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self.clock.close)
            await super().__aenter__()
            stack.pop_all()
        return self

    async def __aexit__(self, *error: Any) -> None:
        try:
            await super().__aexit__(*error)
        finally:
            self.clock.close()


class Jump(Fault):
    """There and back, by so many `hours`."""

    def __init__(self, name: str, hours: int) -> None:
        self.name = name
        self.hours = hours

    def scene(self) -> Scene:
        return ClockScene()

    async def begin(self, scene: Scene, load: Load) -> None:
        _clock(scene).set(self.hours)

    async def end(self, scene: Scene, load: Load) -> None:
        _clock(scene).set(0)


def _clock(scene: Scene) -> JumpingClock:
    assert isinstance(scene, ClockScene)
    return scene.clock


FAULTS: Final = (
    Jump(f"clock {_HOURS} hours forward and back", _HOURS),
    Jump(f"clock {_HOURS} hours back and forward", -_HOURS),
)
