"""The disk is full on which the log is, the files of map settings, and what is temporary."""

import asyncio
import gzip
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Self

from tests.hostile.harness import Fault
from tests.hostile.scene import Scene
from tests.lab.load import Load
from tests.lab.process import find_program, missing, run
from tests.lab.service import Reply

EXCLUDED: Final = "excluded.test"
"""A domain that the map names from the start."""
ADDED: Final = "added.test"
"""One that a map names which was written while the disk was full, on another one."""
_SIZE: Final = "2m"
_ENTRIES: Final = 2000


class DiskScene(Scene):
    """A scene whose service writes its log to a small file system of its own, and has its maps and TMPDIR there."""

    def __init__(self) -> None:
        self._stack_of_disk = ExitStack()
        if os.geteuid():
            missing("root, to mount a file system")
        self.disk = Path(self._stack_of_disk.enter_context(tempfile.TemporaryDirectory(prefix="mxcheck-disk-")))
        self.elsewhere = Path(self._stack_of_disk.enter_context(tempfile.TemporaryDirectory(prefix="mxcheck-map-")))
        self.log = self.disk / "service.log"
        self.map = self.disk / "domains.map.gz"
        self.other_map = self.elsewhere / "domains.map"
        run([find_program("mount"), "-t", "tmpfs", "-o", f"size={_SIZE}", "mxcheck-lab", str(self.disk)], "mount")
        self._stack_of_disk.callback(run, [find_program("umount"), "--lazy", str(self.disk)], "umount")
        self.map.write_bytes(gzip.compress(f"{EXCLUDED}\n".encode()))
        self.other_map.write_text("# nobody yet\n")
        # Standard error as a service manager leaves it: a file on that disk.
        script = f'TMPDIR={self.disk} exec "$@" 2>>{self.log}'
        maps = {"exclude_domains": [str(self.map), str(self.other_map)]}
        super().__init__(settings={"mx_check": maps, "maps": {"watch": 0}}, under=("sh", "-c", script, "sh"))

    async def __aexit__(self, *error: Any) -> None:
        try:
            await super().__aexit__(*error)
        finally:
            self._stack_of_disk.close()

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except BaseException:
            self._stack_of_disk.close()
            raise

    def fill(self) -> None:
        """Leave not one octet free."""
        with (self.disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
            while ballast.write(b"\0" * 4096):
                pass

    def empty(self) -> None:
        """Make room again."""
        (self.disk / "ballast").unlink()


class Full(Fault):
    """`cut` and `changed` are the replies to reloads while it is full: of a map that found no room when it was written
    anew, and of one on another disk; `said`, what was logged after the end."""

    name = "disk full (log, maps, TMPDIR)"

    def scene(self) -> Scene:
        return DiskScene()

    async def begin(self, scene: Scene, load: Load) -> None:
        scene = _disk(scene)
        await asyncio.to_thread(scene.fill)
        names = "".join(f"{EXCLUDED}.{os.urandom(16).hex()}\n" for _ in range(_ENTRIES))
        whole = gzip.compress(names.encode())
        with suppress(OSError), scene.map.open("wb", buffering=0) as file:
            # What there was of it made room for some of it.
            for first in range(0, len(whole), 512):
                file.write(whole[first : first + 512])
        assert 0 < scene.map.stat().st_size < len(whole)
        self.cut: Reply = await scene.service.reload()
        scene.other_map.write_text(f"{ADDED}\n")
        self.changed: Reply = await scene.service.reload()
        self.verdicts = {name: await _verdict(scene, name) for name in (EXCLUDED, ADDED)}

    async def end(self, scene: Scene, load: Load) -> None:
        scene = _disk(scene)
        size = scene.log.stat().st_size
        scene.empty()
        await _verdict(scene, "after.test")
        with scene.log.open("rb") as log:
            log.seek(size)
            self.said = log.read().decode()


async def _verdict(scene: Scene, domain: str) -> str:
    reply = await scene.service.check({"sender": f"user@{domain}"})
    (told,) = _told(reply.body)
    return str(told["verdict"])


def _told(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(body["domains"])


def _disk(scene: Scene) -> DiskScene:
    assert isinstance(scene, DiskScene)
    return scene


FAULTS: Final = (Full(),)
