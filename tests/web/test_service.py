"""What holds for every request: health, errors, tokens, shedding, kept-alive connections."""

import asyncio

import pytest
from aiohttp import web

from mxcheck_service.ports import CacheError
from mxcheck_service.web import schema
from mxcheck_service.web.gate import STATE, Phase
from tests.lab import dns_behaviours as dns
from tests.lab.dnsd import DnsServer
from tests.lab.redis import RedisServer
from tests.web.conftest import Client, StartService


def app_of(client: Client) -> web.Application:
    app = client.server.app  # type: ignore[attr-defined]
    assert isinstance(app, web.Application)
    return app


async def test_healthz_is_alive(client: Client) -> None:
    async with client.get("/healthz") as response:
        assert response.status == 200
        assert await response.json() == {"status": "ok"}


async def test_readyz_tells_the_state_of_the_components(client: Client) -> None:
    async with client.get("/readyz") as response:
        assert response.status == 200
        components = {"cache": {"status": "ok"}, "resolver": {"status": "ok"}, "egress": {"status": "ok"}}
        assert await response.json() == {"status": "ready", "components": components}


async def test_a_way_out_that_nobody_watches_is_no_component(start: StartService) -> None:
    client = await start(improvements={"circuit_breaker": False})
    async with client.get("/readyz") as response:
        assert list((await response.json())["components"]) == ["cache", "resolver"]


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.DRAINING])
async def test_while_starting_and_draining_it_is_unready_but_alive(client: Client, phase: Phase) -> None:
    app_of(client)[STATE].phase = phase
    async with client.get("/readyz") as response:
        assert response.status == 503
        assert (await response.json())["status"] == phase.value
    async with client.get("/healthz") as response:
        assert response.status == 200
    async with client.get("/v1/check?sender=a@good.test") as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
        assert (await response.json())["detail"] == f"the service is {phase.value}"


async def test_a_lost_redis_degrades_but_does_not_unready(start: StartService, redis_server: RedisServer) -> None:
    client = await start(cache={"url": redis_server.url})
    redis_server.stop()
    async with client.get("/readyz") as response:
        assert response.status == 200
        state = (await response.json())["components"]["cache"]
    assert state["status"] == "down"
    assert "Redis" in state["detail"]
    async with client.get("/v1/check?sender=a@good.test") as response:
        assert response.status == 200
        assert list((await response.json())["symbols"]) == ["MX_REDIS_ERROR"]


async def test_replies_tell_that_the_connection_is_kept(start: StartService) -> None:
    """rspamd keeps a connection only when the reply says so."""
    client = await start(server={"keepalive_seconds": 33})
    async with client.post("/v1/check", json={}) as response:
        assert response.headers["Connection"] == "keep-alive"
        assert response.headers["Keep-Alive"] == "timeout=33"
    async with client.post("/v1/check", json={}, headers={"Connection": "close"}) as response:
        assert response.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/v1/check", 405), ("POST", "/healthz", 405)]
)
async def test_unknown_paths_and_methods_are_problem_documents(
    client: Client, method: str, path: str, status: int
) -> None:
    async with client.request(method, path) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        assert (await response.json())["status"] == status
        assert ("Allow" in response.headers) == (status == 405)


async def test_a_token_is_asked_for_when_one_is_set(start: StartService) -> None:
    client = await start(server={"auth_token": "s3cret"})
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
        async with client.get("/v1/check", headers=headers) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert response.content_type == "application/problem+json"
    async with client.get("/v1/check", headers={"Authorization": "Bearer s3cret"}) as response:
        assert response.status == 200
    async with client.get("/healthz") as response:
        assert response.status == 200


async def test_beyond_the_limit_requests_are_shed_at_once(start: StartService, dns_server: DnsServer) -> None:
    client = await start(server={"max_concurrent_requests": 1})
    answer = asyncio.Event()
    dns_server.set("slow.test", "MX", dns.Delayed(dns.NXDOMAIN, until=answer))
    slow = asyncio.create_task(client.get("/v1/check?sender=a@slow.test"))
    await dns_server.wait_asked("slow.test", "MX")
    async with client.get("/v1/check?sender=a@null.test") as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
    answer.set()
    async with await slow as response:
        assert response.status == 200
    async with client.get("/v1/check?sender=a@null.test") as response:
        assert response.status == 200


async def test_a_defect_is_a_500_without_its_details(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(schema, "reply", explode)
    async with client.get("/v1/check") as response:
        assert response.status == 500
        assert response.content_type == "application/problem+json"
        assert "secret detail" not in await response.text()
    assert "secret detail" in caplog.text


async def test_a_cache_error_message_is_shown_by_readyz(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: object) -> None:
        raise CacheError("no route to the moon")

    monkeypatch.setattr(type(app_of(client)[STATE].cache), "ping", fail)
    async with client.get("/readyz") as response:
        assert (await response.json())["components"]["cache"] == {"status": "down", "detail": "no route to the moon"}
