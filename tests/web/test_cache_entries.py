"""GET and DELETE /v1/cache/: the entry as Redis holds it, purged wherever it is kept, and nothing else touched."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest
from yarl import URL

from mxcheck_service.web.gate import STATE
from tests.lab.dnsd import DnsServer
from tests.lab.redis import RedisServer
from tests.web.conftest import Client, StartService

JSON = dict[str, Any]


async def get(client: Client, path: str, status: int = 200) -> JSON:
    async with client.get(URL(path, encoded=True)) as response:
        assert response.status == status, await response.text()
        reply: JSON = await response.json()
        return reply


async def delete(client: Client, path: str, status: int = 204) -> None:
    async with client.delete(URL(path, encoded=True)) as response:
        assert response.status == status, await response.text()
        if status == 204:
            assert await response.read() == b""


async def verdict(client: Client) -> tuple[str, bool]:
    domain = (await get(client, "/v1/check?sender=a@good.test"))["domains"][0]
    return domain["verdict"], domain["cached"]


async def kept_near(client: Client, path: str) -> None:
    """Check until this process answers from its own memory: nothing is kept before Redis tells of changes."""
    async with asyncio.timeout(30):
        while not (await get(client, path))["near"]:
            await verdict(client)


@pytest.fixture
async def shared(start: StartService, redis_server: RedisServer) -> Client:
    """A service on Redis that has checked good.test."""
    client = await start(cache={"url": redis_server.url}, mx_check={"expire_dns": 500, "expire": 700})
    assert await verdict(client) == ("gd", False)
    return client


async def test_an_entry_is_shown_raw_decoded_and_with_its_age(shared: Client, redis_server: RedisServer) -> None:
    redis_server.ask("PEXPIRE", "rmx:d:good.test", 400_000)
    entry = await get(shared, "/v1/cache/d/GOOD.test")
    assert entry.pop("near") in (True, False)
    assert 99.9 < entry.pop("age_s") < 110
    assert 390 < entry.pop("left_s") <= 400
    assert entry == {
        "layer": "d",
        "key": "rmx:d:good.test",
        "value": redis_server.ask("GET", "rmx:d:good.test"),
        "meaning": "MX hosts, best first: mx.good.test (10)",
    }
    assert (await get(shared, "/v1/cache/m/mx.good.test"))["meaning"].startswith("addresses: 127.")


async def test_an_entry_without_an_end_has_no_age(shared: Client, redis_server: RedisServer) -> None:
    redis_server.ask("SET", "rmx:i:11.0.0.1", "\x1b[31m")
    entry = await get(shared, "/v1/cache/i/11.0.0.1")
    assert (entry["value"], entry["age_s"], entry["left_s"]) == ("\x1b[31m", None, None)


async def test_a_purged_entry_is_gone_everywhere_and_asked_for_anew(
    shared: Client, redis_server: RedisServer, dns_server: DnsServer
) -> None:
    await kept_near(shared, "/v1/cache/d/good.test")
    asked = dns_server.count("good.test", "MX")
    await verdict(shared)
    assert dns_server.count("good.test", "MX") == asked
    await delete(shared, "/v1/cache/d/good.test")
    assert redis_server.ask("EXISTS", "rmx:d:good.test") == 0
    assert (await get(shared, "/v1/cache/d/good.test", 404))["status"] == 404
    await verdict(shared)
    assert redis_server.ask("EXISTS", "rmx:d:good.test") == 1
    await delete(shared, "/v1/cache/d/nothing.test")


async def test_a_purge_reaches_the_memory_of_another_process(
    shared: Client, start: StartService, redis_server: RedisServer
) -> None:
    """The verdict of the probe: purged here, it is probed anew there."""
    other = await start(cache={"url": redis_server.url})
    (key,) = redis_server.ask("KEYS", "rmx:i:*")
    path = f"/v1/cache/i/{key.removeprefix('rmx:i:')}"
    await kept_near(other, path)
    redis_server.ask("SET", key, "rf", "EX", 60)
    async with asyncio.timeout(30):
        while await verdict(other) != ("rf", True):
            pass
    await delete(shared, path)
    async with asyncio.timeout(30):
        while (await verdict(other))[0] != "gd":
            pass


async def test_the_embedded_cache_is_shown_and_purged_too(client: Client, dns_server: DnsServer) -> None:
    await get(client, "/v1/cache/d/good.test", 404)
    await verdict(client)
    assert (await get(client, "/v1/cache/d/good.test"))["near"] is True
    assert await verdict(client) == ("gd", True)
    await delete(client, "/v1/cache/d/good.test")
    await get(client, "/v1/cache/d/good.test", 404)
    await verdict(client)
    assert await get(client, "/v1/cache/d/good.test")


WRONG_KEYS = ["*", "?", "a b", "a:b", "d:good.test", "good.test\n", "good.test\r\nDEL x", "\0", "[ab]", "x/y", "../d",
              "\x1b", "good.test rmx:d:null.test", "\ufffd"]  # fmt: skip


@pytest.mark.parametrize("key", WRONG_KEYS)
@pytest.mark.parametrize("layer", ["d", "m", "i"])
async def test_what_is_no_name_reaches_no_key(shared: Client, redis_server: RedisServer, layer: str, key: str) -> None:
    """Neither by its characters nor by being a pattern; the commands that came to Redis are counted."""
    redis_server.ask("CONFIG", "RESETSTAT")
    keys = set(redis_server.ask("KEYS", "*"))
    path = f"/v1/cache/{layer}/{quote(key, safe='')}"
    problem = await get(shared, path, 422)
    assert [error["field"] for error in problem["errors"]] == ["key"]
    await delete(shared, path, 422)
    assert set(redis_server.ask("KEYS", "*")) == keys
    commands = redis_server.ask("INFO", "commandstats")
    assert not {name for name in ("del", "get", "pttl", "scan", "unlink") if f"cmdstat_{name}:" in commands}


@pytest.mark.parametrize("path", ["/v1/cache/d/", "/v1/cache/d", "/v1/cache/x/good.test", "/v1/cache/r/good.test",
                                  "/v1/cache/d/a/b", "/v1/cache/D/good.test", "/v1/cache/d/{a}"])  # fmt: skip
async def test_other_paths_lead_nowhere(client: Client, path: str) -> None:
    await get(client, path, 404)
    await delete(client, path, 404)


async def test_other_methods_are_not_allowed(client: Client) -> None:
    async with client.put("/v1/cache/d/good.test") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,DELETE,HEAD"


async def test_a_lost_redis_is_told(shared: Client, redis_server: RedisServer) -> None:
    redis_server.stop()
    assert "Redis" in (await get(shared, "/v1/cache/d/good.test", 503))["detail"]
    async with shared.delete("/v1/cache/d/good.test") as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize(
    ("tokens", "allowed"),
    [
        ({}, {None, "auth", "admin"}),
        ({"auth_token": "auth"}, {"auth"}),
        ({"admin_token": "admin"}, {"admin"}),
        ({"auth_token": "auth", "admin_token": "admin"}, {"admin"}),
    ],
)
async def test_the_operators_token_is_asked_for(
    start: StartService, tokens: dict[str, str], allowed: set[str | None]
) -> None:
    client = await start(server=tokens)
    for token in (None, "auth", "admin", "admi", "adminn"):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with client.get("/v1/cache/d/good.test", headers=headers) as response:
            assert response.status == (404 if not tokens or token in allowed else 401), token
        async with client.delete("/v1/cache/d/good.test", headers=headers) as response:
            assert response.status == (204 if not tokens or token in allowed else 401), token


async def test_the_admin_token_is_not_asked_for_elsewhere(start: StartService) -> None:
    client = await start(server={"admin_token": "admin"})
    assert await verdict(client) == ("gd", False)


async def test_the_operator_is_served_however_busy_the_service_is(start: StartService) -> None:
    client = await start(server={"max_concurrent_requests": 1})
    app = client.server.app  # type: ignore[attr-defined]
    app[STATE].active = 2
    await get(client, "/v1/check?sender=a@good.test", 503)
    await get(client, "/v1/cache/d/good.test", 404)
    app[STATE].active = 0
