"""GET /v1/stats: what the console shows."""

import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import hdrs

from tests.lab import dns_behaviours as dns
from tests.lab.dnsd import DnsServer
from tests.lab.openapi import Interface
from tests.lab.redis import RedisServer
from tests.web.conftest import Client, StartService


async def stats(client: Client, query: str = "") -> Any:
    """Return what is told, which is as documented."""
    async with client.get("/openapi.json") as response:
        interface = Interface(await response.json())
    async with client.get(f"/v1/stats{query}") as response:
        assert response.status == 200
        operation = interface.document["paths"]["/v1/stats"]["get"]
        interface.check(operation, response.status, response.headers, await response.read())
        return await response.json()


async def check(client: Client, *senders: str) -> None:
    for sender in senders:
        async with client.get("/v1/check", params={"sender": sender}) as response:
            assert response.status == 200


async def test_a_service_that_nobody_has_asked_has_nothing_to_tell(client: Client) -> None:
    told = await stats(client)
    assert told["hour"]["checks"] == told["hour"]["shed"] == 0
    assert told["hour"]["latency_ms"] == {"p50": None, "p90": None, "p99": None}
    assert told["hour"]["cache"]["d"]["hit_ratio"] is None
    assert told["recent"] == []
    assert told["workers"] == 1
    assert told["in_flight"]["checks"] == 0, "what asks is no check"
    assert "settings" not in told


async def test_it_tells_what_became_of_checks(client: Client) -> None:
    await check(client, "a@good.test", "b@good.test", "a@null.test", "a@nowhere.test")
    told = await stats(client)
    hour = told["hour"]
    assert hour["checks"] == 4
    assert hour["verdicts"] == {"gd": 2, "null": 1, "no": 1}
    assert hour["probes"] == {"v4": {"gd": 1}, "v6": {}}
    assert hour["dns"] == {"MX": {"found": 2, "nxdomain": 1}, "A": {"found": 1, "nxdomain": 1}, "AAAA": {}}
    assert hour["cache"]["d"] == {"near": 1, "redis": 0, "miss": 3, "error": 0, "hit_ratio": 0.25}
    assert 0 < hour["latency_ms"]["p50"] <= hour["latency_ms"]["p90"] <= hour["latency_ms"]["p99"]
    history = told["history"]
    assert sum(history["checks"]) == 4
    assert {verdict: sum(counts) for verdict, counts in history["verdicts"].items()} == hour["verdicts"]
    lengths = {len(history[name]) for name in ("times", "checks", "shed", "p50_ms", "p99_ms")}
    assert lengths == {len(counts) for counts in history["verdicts"].values()}
    assert history["times"] == sorted(history["times"])
    assert history["times"][-1] == pytest.approx(time.time(), abs=60)


async def test_what_redis_knows_is_a_hit(start: StartService, redis_server: RedisServer) -> None:
    redis_server.ask_all([("SET", "rmx:d:known.test", "null")])
    client = await start(cache={"url": redis_server.url})
    await check(client, "a@known.test")
    reads = (await stats(client))["hour"]["cache"]["d"]
    assert (reads["near"], reads["redis"], reads["hit_ratio"]) == (0, 1, 1.0)


async def test_the_latest_verdicts_that_were_not_good(client: Client) -> None:
    await check(client, "a@null.test", "a@good.test", "a@nowhere.test", "b@null.test")
    recent = (await stats(client))["recent"]
    assert [(each["domain"], each["verdict"], each["source"], each["count"]) for each in recent] == [
        ("null.test", "null", "from", 2), ("nowhere.test", "no", "from", 1),
    ]  # fmt: skip


async def test_rspamds_own_protocol_is_remembered_too(client: Client) -> None:
    async with client.post("/checkv2", data=b"From: a@null.test\r\n\r\n") as response:
        assert response.status == 200
    told = await stats(client)
    assert [(each["domain"], each["source"]) for each in told["recent"]] == [("null.test", "mime_from")]
    assert told["hour"]["checks"] == 1


async def test_a_setting_keeps_no_verdicts(start: StartService) -> None:
    client = await start(server={"recent_verdicts": 0})
    await check(client, "a@null.test")
    told = await stats(client)
    assert told["recent"] is None
    assert told["hour"]["verdicts"] == {"null": 1}


async def test_a_resolver_that_answers_nothing_is_down(client: Client, dns_server: DnsServer) -> None:
    for name in ("one.test", "two.test", "three.test"):
        dns_server.set(name, "MX", dns.SERVFAIL)
        await check(client, f"a@{name}")
    state = (await stats(client))["components"]["resolver"]
    assert state == {"status": "down", "detail": "the last 3 questions were not answered"}
    await check(client, "a@null.test")
    assert (await stats(client))["components"]["resolver"] == {"status": "ok"}


async def test_settings_are_told_without_their_secrets(start: StartService, tmp_path: Path) -> None:
    (tmp_path / "bad.map").write_text("192.0.2.1 # <script>\n")
    client = await start(
        server={"admin_token": "s3cret"},
        mx_check={"bad_ips": str(tmp_path / "bad.map"), "exclude_mxs": ["http://u:p4ss@127.0.0.1:1/map"]},
    )
    told = await stats(client, "?settings=1")
    assert told["settings"]["server"]["admin_token"] == "**********"
    assert "s3cret" not in str(told)
    assert "p4ss" not in str(told)
    assert "mx_check.bad_ips" in told["changed"]
    assert "mx_check.connect_timeout" not in told["changed"]
    (place,) = told["maps"]["bad_ips"]["sources"]
    assert (place["source"], place["entries"], place["error"]) == (str(tmp_path / "bad.map"), 1, None)
    (place,) = told["maps"]["exclude_mxs"]["sources"]
    assert place["error"]


async def test_a_reload_shows_in_the_settings(start: StartService, tmp_path: Path) -> None:
    path = tmp_path / "bad.map"
    path.write_text("192.0.2.1\n")
    client = await start(mx_check={"bad_ips": str(path)})
    path.write_text("192.0.2.1\n192.0.2.2\n")
    async with client.post("/-/reload") as response:
        assert response.status == 200
    assert (await stats(client, "?settings=1"))["maps"]["bad_ips"]["entries"] == 2


async def test_other_parameters_are_refused(client: Client) -> None:
    async with client.get("/v1/stats?setings=1") as response:
        assert response.status == 422
        assert (await response.json())["errors"] == [{"field": "setings", "message": "unknown query parameter"}]


async def test_the_ordinary_token_is_asked_for(start: StartService) -> None:
    client = await start(server={"auth_token": "ordinary", "admin_token": "admin"})
    for token, status in ((None, 401), ("admin", 401), ("ordinary", 200)):
        headers = {} if token is None else {hdrs.AUTHORIZATION: f"Bearer {token}"}
        async with client.get("/v1/stats", headers=headers) as response:
            assert response.status == status


OWN = {"Sec-Fetch-Site": "same-origin", "Host": "127.0.0.1:11340"}


class TestOtherSites:
    """Without a token a browser is trusted for being on this host, and so would be every page in it."""

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            pytest.param({}, 200, id="no-browser"),
            pytest.param(OWN, 200, id="the-console"),
            pytest.param(OWN | {"Sec-Fetch-Site": "none"}, 200, id="the-address-bar"),
            pytest.param(OWN | {"Host": "localhost:11340"}, 200, id="localhost"),
            pytest.param(OWN | {"Host": "[::1]:11340"}, 200, id="ipv6"),
            pytest.param(OWN | {"Host": "[::1]"}, 200, id="no-port"),
            pytest.param(OWN | {"Sec-Fetch-Site": "cross-site"}, 403, id="a-page-of-another-site"),
            pytest.param(OWN | {"Sec-Fetch-Site": "same-site"}, 403, id="another-port"),
            pytest.param(OWN | {"Host": "rebound.example:11340"}, 403, id="dns-rebinding"),
            pytest.param(OWN | {"Host": "localhost.example:11340"}, 403, id="nearly-localhost"),
            pytest.param(OWN | {"Host": "[::1:11340"}, 403, id="no-host"),
        ],
    )
    @pytest.mark.parametrize(("method", "path"), [("GET", "/v1/stats"), ("POST", "/-/reload")])
    async def test_a_page_of_another_site_may_not_ask(
        self, client: Client, headers: dict[str, str], status: int, method: str, path: str
    ) -> None:
        async with client.request(method, path, headers=headers) as response:
            assert response.status == status
            if status == 403:
                assert "server.auth_token" in (await response.json())["detail"]

    async def test_who_has_a_token_may_ask_from_anywhere(self, start: StartService) -> None:
        client = await start(server={"auth_token": "t"})
        headers = {"Authorization": "Bearer t", "Sec-Fetch-Site": "same-origin", "Host": "console.example"}
        async with client.get("/v1/stats", headers=headers) as response:
            assert response.status == 200
