"""Map settings: entries in line, files, and a mix of both."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mxcheck_service.core.maplist import Maps
from mxcheck_service.core.settings import MapSetting, MxCheckSettings
from mxcheck_service.maps.errors import MapError
from mxcheck_service.maps.library import Library, LoadedMaps
from mxcheck_service.ports import SystemClock
from mxcheck_service.settings import MapsSettings

GLOB_SETTINGS = ("exclude_domains", "exclude_mxs", "bad_mxs")
RADIX_SETTINGS = ("exclude_ips", "bad_ips")


def load(**settings: Any) -> LoadedMaps:
    mx_check = replace(MxCheckSettings(), **settings)
    library = Library(SystemClock())
    asyncio.run(library.refresh(mx_check, MapsSettings(max_bytes=1000)))
    return library.maps(mx_check)


def value(loaded: LoadedMaps, setting: str, key: str) -> str | None:
    hit = getattr(loaded.maps, setting).get(key)
    return None if hit is None else str(hit.value)


def test_no_setting_no_map() -> None:
    assert load() == LoadedMaps(Maps(), ())


@pytest.mark.parametrize("setting", GLOB_SETTINGS)
def test_glob_settings_take_entries_in_line(setting: str) -> None:
    loaded = load(**{setting: ("*.example 2", "mx.test")})
    assert [value(loaded, setting, key) for key in ("a.example", "mx.test", "b.test")] == ["2", "", None]


@pytest.mark.parametrize("setting", RADIX_SETTINGS)
def test_radix_settings_take_entries_in_line(setting: str) -> None:
    loaded = load(**{setting: ("11.0.0.0/8 corp", "2606:4700::1")})
    assert [value(loaded, setting, key) for key in ("11.1.1.1", "2606:4700::1", "12.0.0.1")] == ["corp", "1", None]


@pytest.mark.parametrize("setting", GLOB_SETTINGS + RADIX_SETTINGS)
def test_empty_list_is_a_map_that_knows_nothing(setting: str) -> None:
    loaded = load(**{setting: ()})
    assert len(getattr(loaded.maps, setting)) == 0


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_file(tmp_path: Path, form: str) -> None:
    file = tmp_path / "bad_mxs"
    file.write_text("# ours\n\nmx.example 3\n*.test\n")
    loaded = load(bad_mxs=form.format(file))
    assert loaded.maps.bad_mxs is not None
    hit = loaded.maps.bad_mxs.get("mx.example")
    assert hit is not None
    assert (hit.value, hit.origin) == ("3", f"{file}:3")


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "m").write_text("a.example")
    monkeypatch.chdir(tmp_path / "maps")
    for path in ("./m", "../maps/m"):
        assert value(load(exclude_mxs=path), "exclude_mxs", "a.example") == ""


def test_files_and_entries_in_any_mix_count_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "m"
    file.write_text("*.example 2\nmx.test 2\n")
    loaded = load(bad_mxs=("mx.example 1", str(file), "mx.test 3", "last.test 4"))
    assert [value(loaded, "bad_mxs", f"{name}") for name in ("mx.example", "a.example", "mx.test", "last.test")] == [
        "1",
        "2",
        "2",
        "4",
    ]


def test_entry_in_line_tells_where_it_stands() -> None:
    loaded = load(bad_ips=("11.0.0.1", "11.0.0.2 9"))
    assert loaded.maps.bad_ips is not None
    hit = loaded.maps.bad_ips.get("11.0.0.2")
    assert hit is not None
    assert hit.origin.startswith("mx_check.bad_ips[1]")


def test_entries_that_are_left_out_are_told(tmp_path: Path) -> None:
    file = tmp_path / "ips"
    file.write_text("11.0.0.1\nmail.example.com\n")
    loaded = load(bad_ips=str(file), exclude_ips=("everything",))
    assert len(loaded.problems) == 2
    assert any(problem.startswith("mx_check.exclude_ips[0]") for problem in loaded.problems)
    assert any(problem.startswith(f"{file}:2: 'mail.example.com'") for problem in loaded.problems)
    assert value(loaded, "bad_ips", "11.0.0.1") == "1"


def test_octets_that_are_not_utf_8_spoil_their_own_entry_only(tmp_path: Path) -> None:
    file = tmp_path / "m"
    file.write_bytes(b"caf\xe9.example\nmx.example\n")
    assert value(load(bad_mxs=str(file)), "bad_mxs", "mx.example") == ""


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        pytest.param("mx.example", ["mx_check.bad_mxs", "'mx.example'", "list"], id="entry-where-a-path-belongs"),
        pytest.param("/nonexistent/map", ["mx_check.bad_mxs", "/nonexistent/map: No such file"], id="missing-file"),
        pytest.param(("a", "/nonexistent/map"), ["/nonexistent/map"], id="missing-file-in-a-list"),
        pytest.param("/", ["mx_check.bad_mxs", "/: Is a directory"], id="directory"),
    ],
)
def test_map_that_cannot_be_loaded_names_the_setting_and_the_place(setting: MapSetting, words: list[str]) -> None:
    with pytest.raises(MapError) as caught:
        load(bad_mxs=setting)
    assert all(word in str(caught.value) for word in words)


def test_file_that_is_far_too_large_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "m"
    file.write_text("a.example\n" * 101)
    with pytest.raises(MapError, match="1000 bytes"):
        load(bad_mxs=str(file))
