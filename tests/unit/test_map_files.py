"""Maps in files: how changes are seen, and what is no file to read."""

import gzip
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mxcheck_service.maps.errors import MapError
from mxcheck_service.settings import MapsSettings
from tests.unit.map_keeping import OTHER, TEXT, Kept, rewrite

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
async def test_file_is_read_however_it_is_compressed(tmp_path: Path, pack: Any) -> None:
    file = tmp_path / "map"
    file.write_bytes(pack(TEXT))
    kept = Kept(bad_mxs=str(file))
    await kept.refresh()
    assert kept.value() == "3"


class TestFile:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "map"
        file.write_bytes(TEXT)
        return file

    async def changes(self, kept: Kept) -> bool:
        """Whether a look at what is due finds anything new."""
        kept.clock.now += kept.bound.watch
        return await kept.refresh(due=True)

    async def test_change_is_seen(self, file: Path) -> None:
        kept = Kept(bad_mxs=str(file))
        await kept.refresh()
        kept.library.settle(kept.wanted)
        assert not await self.changes(kept)
        rewrite(file, OTHER)
        assert not await kept.refresh(due=True)  # it is not due
        assert await self.changes(kept)
        assert kept.value() == "5"

    async def test_change_that_keeps_size_and_time_is_seen(self, file: Path) -> None:
        os.utime(file, ns=(1, 1))
        kept = Kept(bad_mxs=str(file))
        await kept.refresh()
        rewrite(file, OTHER)
        os.utime(file, ns=(1, 1))
        assert await self.changes(kept)
        assert kept.value() == "5"

    async def test_touch_is_no_change(self, file: Path) -> None:
        kept = Kept(bad_mxs=str(file))
        await kept.refresh()
        kept.library.settle(kept.wanted)
        os.utime(file, ns=(1, 1))
        assert not await self.changes(kept)

    async def test_broken_file_keeps_the_last_good_one(self, file: Path) -> None:
        kept = Kept(bad_mxs=str(file))
        await kept.refresh()
        kept.library.settle(kept.wanted)
        for spoil, words in (
            (file.unlink, "No such file"),
            (file.mkdir, "Is a directory"),
        ):
            spoil()
            assert await self.changes(kept)
            assert not await self.changes(kept)
            assert words in (kept.state().error or "")
            assert kept.value() == "3"
        file.rmdir()  # noqa: ASYNC240
        rewrite(file, gzip.compress(OTHER)[:-2])
        assert await self.changes(kept)
        assert not await self.changes(kept)
        assert "cannot be decompressed" in (kept.state().error or "")
        rewrite(file, OTHER)
        assert await self.changes(kept)
        assert (kept.value(), kept.state().error) == ("5", None)

    async def test_pipe_is_refused_without_waiting_for_a_writer(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        kept = Kept(bad_mxs=str(tmp_path / "pipe"))
        await kept.refresh()
        with pytest.raises(MapError, match="no regular file"):
            kept.library.maps(kept.wanted)

    async def test_text_that_has_no_network_at_all_is_no_map_of_networks(self, tmp_path: Path) -> None:
        file = tmp_path / "ips"
        file.write_text("11.0.0.1\n")
        kept = Kept(bad_ips=str(file))
        await kept.refresh()
        rewrite(file, b"<html>\n<title>Sign in</title>\n")
        assert await self.changes(kept)
        assert "no address and no network" in (kept.state("bad_ips").error or "")
        assert kept.value("11.0.0.1", "bad_ips") == "1"

    async def test_text_that_has_no_usable_glob_is_no_map_of_names(self, tmp_path: Path) -> None:
        file = tmp_path / "names"
        file.write_text("*" + "a" * 2000)
        kept = Kept(bad_mxs=str(file))
        await kept.refresh()
        with pytest.raises(MapError, match=r"no name in any of its 1 entries, such as .*more than 1024 characters"):
            kept.library.maps(kept.wanted)

    async def test_globs_that_are_left_out_are_told(self, tmp_path: Path) -> None:
        file = tmp_path / "names"
        file.write_text(f"*{'a' * 2000}\n*.example 3\n")
        kept = Kept(bad_mxs=str(file))
        await kept.refresh()
        (problem,) = kept.library.maps(kept.wanted).problems
        assert problem == f"{file}:1: a glob of more than 1024 characters; the entry is left out"

    async def test_with_watch_0_only_a_reload_looks_at_it(self, file: Path) -> None:
        kept = Kept(MapsSettings(watch=0), bad_mxs=str(file))
        await kept.refresh()
        rewrite(file, OTHER)
        kept.clock.now += 1e6
        await kept.refresh(due=True)
        assert kept.value() == "3"
        await kept.refresh()
        assert kept.value() == "5"
