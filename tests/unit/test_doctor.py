"""The doctor's judgement of facts that no test machine has: clocks that go wrong, cores, slow servers, odd ports."""

import dataclasses
from typing import Any

import pytest

from mxcheck_service.doctor.facts import (
    CacheFacts,
    ClockFacts,
    Facts,
    Listening,
    PortFacts,
    ProcessFacts,
    RedisServer,
)
from mxcheck_service.doctor.judgement import judge
from mxcheck_service.doctor.rows import Row, Status
from mxcheck_service.settings import CacheSettings, ServerSettings, Settings

WELL = Facts(
    nameservers=(),
    cache=CacheFacts(),
    targets=(),
    clock=ClockFacts(slept=0.05, monotonic=0.051, wall=0.051, now=2e9),
    process=ProcessFacts(files_soft=4096, files_hard=None, files_open=20, cpus=2),
    port=PortFacts(Listening.FREE),
)
REDIS = Settings(cache=CacheSettings(url="redis://:hunter2@127.0.0.1/0"))
SERVER = RedisServer("redis", version="7.0.15", round_trip=0.0002, keys=1)


def rows(area: str, settings: Settings | None = None, **facts: Any) -> list[Row]:
    return [row for row in judge(settings or Settings(), dataclasses.replace(WELL, **facts)) if row.area == area]


def only(area: str, settings: Settings | None = None, **facts: Any) -> Row:
    (row,) = rows(area, settings, **facts)
    return row


@pytest.mark.parametrize(
    ("clock", "status", "words"),
    [
        ({}, Status.OK, "evenly"),
        ({"monotonic": 0.04}, Status.FAIL, "saw 0.040 s of 0.05 s"),
        ({"monotonic": 0.7, "wall": 0.7}, Status.WARN, "took 0.7 s"),
        ({"wall": 3600.05}, Status.WARN, "jumped by +3600.0 s"),
        ({"wall": -60}, Status.WARN, "jumped by -60.1 s"),
        ({"now": 5.0}, Status.WARN, "years behind"),
    ],
)
def test_clock(clock: dict[str, float], status: Status, words: str) -> None:
    row = only("clock", clock=dataclasses.replace(WELL.clock, **clock))
    assert row.status is status
    assert words in row.found


@pytest.mark.parametrize(("ahead", "said"), [(0.9, False), (-0.9, False), (1.5, True), (-90.0, True), (None, False)])
def test_a_clock_that_is_off_the_one_of_redis(ahead: float | None, said: bool) -> None:
    server = dataclasses.replace(SERVER, ahead=ahead)
    warned = [row.found for row in rows("clock", REDIS, cache=CacheFacts((server,))) if row.status is Status.WARN]
    assert bool(warned) is said
    if ahead and said:
        assert f"{ahead:+.1f} s off ours" in warned[0]


@pytest.mark.parametrize(
    ("process", "status"),
    [
        ({"files_soft": 2064}, Status.OK),
        ({"files_soft": 2063}, Status.WARN),
        ({"files_soft": None}, Status.OK),
        ({"files_soft": 84}, Status.WARN),
        ({"files_soft": 83}, Status.FAIL),
    ],
)
def test_files(process: dict[str, Any], status: Status) -> None:
    assert only("limits", process=dataclasses.replace(WELL.process, **process)).status is status


def test_redis_connections_are_files_too() -> None:
    process = dataclasses.replace(WELL.process, files_soft=2064)
    assert only("limits", REDIS, process=process).status is Status.WARN


def test_more_workers_than_cores() -> None:
    settings = Settings(server=ServerSettings(workers=3), cache=REDIS.cache)
    assert [row.status for row in rows("limits", settings)] == [Status.OK, Status.WARN]
    assert [row.status for row in rows("limits", settings, process=dataclasses.replace(WELL.process, cpus=3))] == [
        Status.OK
    ]


def test_a_slow_redis() -> None:
    row, _ = rows("cache", REDIS, cache=CacheFacts((dataclasses.replace(SERVER, round_trip=0.02),)))
    assert (row.status, row.see) == (Status.WARN, "latency-near-the-deadline")
    assert "20.00 ms" in row.found


def test_a_redis_that_is_too_old_to_tell_of_changes() -> None:
    server = dataclasses.replace(SERVER, version="5.0.14", tracking="unknown subcommand")
    _, row = rows("cache", REDIS, cache=CacheFacts((server,)))
    assert row.status is Status.WARN
    assert "from version 6" in row.advice
    assert "5 s at most" in row.found


def test_the_near_cache_may_be_off() -> None:
    settings = Settings(cache=CacheSettings(url="redis://127.0.0.1/0", near_entries=0))
    assert [row.status for row in rows("cache", settings, cache=CacheFacts((SERVER,)))] == [Status.OK, Status.OK]


def test_no_nameserver_at_all() -> None:
    assert only("dns").status is Status.FAIL


def test_any_port_will_do() -> None:
    assert only("port", Settings(server=ServerSettings(port=0))).status is Status.SKIP


@pytest.mark.parametrize(
    ("host", "said"), [("127.0.0.1", False), ("127.8.8.8", False), ("::1", False), ("::", True), ("127.example", True)]
)
def test_who_may_ask(host: str, said: bool) -> None:
    settings = Settings(server=ServerSettings(host=host))
    assert (only("settings", settings).status is Status.WARN) is said
    guards: list[dict[str, Any]] = [
        {"auth_token": "x"},
        {"allow": ["10.0.0.0/8"]},
        {"tls_cert": "c", "tls_client_ca": "c"},
        {"port": None, "unix_socket": "s"},
    ]
    for guard in guards:
        settings = Settings(server=ServerSettings.model_validate({"host": host, **guard}))
        assert only("settings", settings).status is Status.OK


def test_a_certificate_that_is_no_use() -> None:
    row = only("settings", tls="server.tls_cert: x.pem is not PEM")
    assert (row.status, row.found, row.see) == (Status.FAIL, "server.tls_cert: x.pem is not PEM", "it-does-not-start")
