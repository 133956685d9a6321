"""What `mxcheck doctor` says of real Redis servers that are down, hang, refuse, or are several."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.doctoring import FAILURES, GOOD, WARNINGS, examine
from tests.lab.redis import RedisServer
from tests.lab.redis_cluster import RedisCluster
from tests.lab.redis_sentinel import RedisSentinel
from tests.lab.sockets import free_port

_RULES = re.compile(r"`ACL SETUSER mxcheck on >PASSWORD (.*?)`", re.DOTALL)
LEAST_RIGHTS = " ".join(_RULES.findall((Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()))
"""Those that the manual gives to the service's user."""


class TestRedis:
    async def test_down(self, well: Callable[..., Path], redis_server: RedisServer) -> None:
        redis_server.stop()
        found = await examine(well(cache={"url": redis_server.url}))
        assert (found.code, found.bad()) == (FAILURES, {"cache": "redis-is-lost"})
        assert "start it" in next(row["advice"] for row in found.rows if row["area"] == "cache")

    async def test_hanging(self, well: Callable[..., Path], redis_server: RedisServer) -> None:
        with redis_server.paused():
            found = await examine(well(cache={"url": redis_server.url, "timeout": 0.3}))
        assert (found.code, found.bad()) == (FAILURES, {"cache": "redis-is-lost"})
        assert "hangs" in next(row["advice"] for row in found.rows if row["area"] == "cache")

    async def test_wrong_password(self, well: Callable[..., Path], redis_with_password: RedisServer) -> None:
        url = f"redis://:hunter2@127.0.0.1:{redis_with_password.port}/0"
        for wrong in (url, url.replace(":hunter2@", "")):
            found = await examine(well(cache={"url": wrong}))
            assert (found.code, found.bad()) == (FAILURES, {"cache": "redis-is-lost"})
            assert "check user and password" in next(row["advice"] for row in found.rows if row["area"] == "cache")
            assert "hunter2" not in str(found.rows)
        assert (await examine(well(cache={"url": redis_with_password.url}))).code == GOOD

    @pytest.mark.parametrize(
        ("rights", "area_rows", "see"),
        [
            ("~rmx:* &* +@all -client", ["ok", "warn"], "tracking-is-refused"),
            ("~rmx:* resetchannels +@all", ["ok", "warn"], "tracking-is-refused"),
            ("~rmx:* &* +@all -set -del", ["ok", "ok", "fail", "fail"], "redis-refuses-commands"),
            ("~rmx:* &* +@all -incrby", ["ok", "ok", "fail"], "redis-refuses-commands"),
            ("~other:* &* +@all", ["ok", "ok", *["fail"] * 5], "redis-refuses-commands"),
            ("~rmx:* &* +@all -info -dbsize -time", ["ok", "ok"], None),
            (LEAST_RIGHTS, ["ok", "ok"], None),
        ],
    )
    async def test_access_lists(
        self,
        well: Callable[..., Path],
        redis_server: RedisServer,
        rights: str,
        area_rows: list[str],
        see: str | None,
    ) -> None:
        assert "~" in rights
        redis_server.ask("ACL", "SETUSER", "checker", "reset", "on", ">word", *rights.split())
        try:
            found = await examine(well(cache={"url": f"redis://checker:word@127.0.0.1:{redis_server.port}/0"}))
        finally:
            redis_server.ask("ACL", "DELUSER", "checker")
        assert [status for status, _ in found.of("cache")] == area_rows, found.rows
        assert found.bad().get("cache") == see

    async def test_a_memory_that_refuses_when_full(self, well: Callable[..., Path], redis_server: RedisServer) -> None:
        redis_server.ask("CONFIG", "SET", "maxmemory", "100mb")
        try:
            found = await examine(well(cache={"url": redis_server.url}))
            redis_server.ask("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
            mended = await examine(well(cache={"url": redis_server.url}))
        finally:
            redis_server.ask("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")
        assert (found.code, found.bad()) == (WARNINGS, {"cache": "redis-refuses-commands"})
        assert "100 MiB" in found.of("cache")[2][1]
        assert mended.code == GOOD

    async def test_a_replica_cannot_be_written_to(self, well: Callable[..., Path], redis_server: RedisServer) -> None:
        redis_server.ask("REPLICAOF", "127.0.0.1", str(free_port()))
        try:
            found = await examine(well(cache={"url": redis_server.url}))
        finally:
            redis_server.ask("REPLICAOF", "NO", "ONE")
        assert found.code == FAILURES
        assert any("refuses SET: " in text and "replica" in text for _, text in found.of("cache"))

    async def test_every_primary_of_a_cluster(self, well: Callable[..., Path], redis_cluster: RedisCluster) -> None:
        found = await examine(well(cache={"url": redis_cluster.url}))
        assert found.code == GOOD, found.rows
        assert len([text for _, text in found.of("cache") if "tells of changes" in text]) == 3

    async def test_what_sentinels_watch(self, well: Callable[..., Path], redis_sentinel: RedisSentinel) -> None:
        found = await examine(well(cache={"url": redis_sentinel.url}))
        assert found.code == GOOD, found.rows
        wrong = await examine(
            well(cache={"url": redis_sentinel.url.replace(f"/{redis_sentinel.service}/", "/nobody/")})
        )
        assert (wrong.code, wrong.bad()) == (FAILURES, {"cache": "redis-is-lost"})
