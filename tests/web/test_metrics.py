"""GET /metrics of a running service."""

import asyncio

from mxcheck_service.web.routes import ENDPOINTS
from tests.lab.exposition import Exposition
from tests.lab.redis import RedisServer
from tests.web.conftest import Client, StartService


async def scrape(client: Client) -> Exposition:
    async with client.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return Exposition(await response.text())


async def test_requests_are_counted_by_route_never_by_what_was_asked(client: Client) -> None:
    async with client.post("/v1/check", json={"sender": "a@good.test"}):
        pass
    async with client.post("/v1/check", json={"sendr": "a@good.test"}):
        pass
    async with client.get("/v1/check?sender=a@good.test"):
        pass
    async with client.get("/v1/check/good.test"):
        pass
    async with client.delete("/v1/check"):
        pass
    told = await scrape(client)
    served = {
        (dict(labels)["endpoint"], dict(labels)["code"]): value
        for (name, labels), value in told.samples.items()
        if name == "mxcheck_requests_total"
    }
    assert served == {("/v1/check", "200"): 2, ("/v1/check", "422"): 1, ("other", "404"): 1, ("other", "405"): 1}
    assert told.value("mxcheck_request_duration_seconds_count", endpoint="/v1/check") == 3
    assert 0 < told.value("mxcheck_request_duration_seconds_sum", endpoint="/v1/check") < 5
    assert "good.test" not in str(told.samples)


def test_every_route_is_counted_by_its_path(client: Client) -> None:
    """One that were not would be counted as `other`, with what leads nowhere."""
    paths = {resource.canonical for resource in client.server.app.router.resources()}  # type: ignore[attr-defined]
    assert paths - {"/{path}"} == set(ENDPOINTS)


async def test_the_near_cache_tells_what_it_does(start: StartService, redis_server: RedisServer) -> None:
    client = await start(cache={"url": redis_server.url})
    async with asyncio.timeout(30):
        # Nothing is kept before Redis tells of changes.
        while (told := await scrape(client)).value("mxcheck_near_cache_entries") == 0:
            async with client.post("/v1/check", json={"sender": "a@good.test"}):
                pass
    assert told.value("mxcheck_near_cache_misses_total") > 0
    before = told.value("mxcheck_near_cache_hits_total")
    async with asyncio.timeout(30):
        while (await scrape(client)).value("mxcheck_near_cache_hits_total") == before:
            # Explained, so that entries are read again though the lookup is remembered.
            async with client.post("/v1/check?explain=1", json={"sender": "a@good.test"}):
                pass


async def test_a_scrape_is_counted_in_the_next_one(client: Client) -> None:
    assert (await scrape(client)).value("mxcheck_requests_total", endpoint="/metrics", code="200") == 0
    assert (await scrape(client)).value("mxcheck_requests_total", endpoint="/metrics", code="200") == 1


async def test_refused_requests_are_counted_too(start: StartService) -> None:
    client = await start(server={"auth_token": "sesame"})
    async with client.get("/v1/check"):
        pass
    assert (await scrape(client)).value("mxcheck_requests_total", endpoint="/v1/check", code="401") == 1
