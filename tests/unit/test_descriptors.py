"""The limit of open files, with the system's answers made up."""

import resource

import pytest

from mxcheck_service.descriptors import ENOUGH, raise_limit

ANY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "asked", "found"),
    [
        pytest.param((1024, 4096), (4096, 4096), 4096, id="up-to-what-may-be-had"),
        pytest.param((1024, 1_000_000), (ENOUGH, 1_000_000), ENOUGH, id="no-more-than-enough"),
        pytest.param((1024, ANY), (ENOUGH, ANY), ENOUGH, id="the-hard-limit-stays"),
        pytest.param((1024, 1024), None, 1024, id="no-more-to-be-had"),
        pytest.param((100_000, 200_000), None, 100_000, id="never-lowered"),
        pytest.param((ANY, ANY), None, ENOUGH, id="none-at-all"),
    ],
)
def test_the_limit_is_raised_and_never_lowered(
    limits: tuple[int, int], asked: tuple[int, int] | None, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: calls.append(wanted))
    assert raise_limit() == found
    assert calls == ([] if asked is None else [asked])
