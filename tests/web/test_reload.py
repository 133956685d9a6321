"""POST /-/reload, of a service in this process: who may, what it answers, and what a request under way sees."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from mxcheck_service.app import application, load_maps
from mxcheck_service.config import ConfigError, Loaded, parse
from mxcheck_service.web.gate import STATE, Phase
from tests.lab import dns_behaviours as dns
from tests.lab.dnsd import DnsServer
from tests.lab.map_server import MapServer
from tests.web.conftest import Client, StartService


async def reload(client: Client, token: str | None = None) -> tuple[int, Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with client.post("/-/reload", headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def symbols(client: Client, sender: str) -> list[str]:
    async with client.post("/v1/check", json={"sender": sender}) as response:
        return list((await response.json())["symbols"])


@pytest.mark.parametrize(
    ("tokens", "given", "status"),
    [
        ({}, None, 200),
        ({"admin_token": "root"}, None, 401),
        ({"admin_token": "root"}, "rooT", 401),
        ({"admin_token": "root"}, "root", 200),
        ({"auth_token": "user"}, None, 401),
        ({"auth_token": "user"}, "user", 200),
        ({"auth_token": "user", "admin_token": "root"}, "user", 401),
        ({"auth_token": "user", "admin_token": "root"}, "root", 200),
    ],
)
async def test_who_may(start: StartService, tokens: dict[str, str], given: str | None, status: int) -> None:
    client = await start(server=tokens)
    assert (await reload(client, given))[0] == status


async def test_admin_token_does_not_open_the_checks(start: StartService) -> None:
    client = await start(server={"auth_token": "user", "admin_token": "root"})
    async with client.get("/v1/check", headers={"Authorization": "Bearer root"}) as response:
        assert response.status == 401


async def test_not_while_draining(client: Client) -> None:
    assert client.app
    client.app[STATE].phase = Phase.DRAINING
    assert (await reload(client))[0] == 503


async def test_get_is_not_allowed(client: Client) -> None:
    async with client.get("/-/reload") as response:
        assert response.status == 405


async def test_what_is_told(start: StartService, tmp_path: Path) -> None:
    file = tmp_path / "bad"
    file.write_text("mx.good.test 2\n")
    client = await start(mx_check={"bad_mxs": ["x.test", str(file)], "exclude_ips": []}, maps={"watch": 0})
    assert await symbols(client, "a@good.test") == ["MX_BAD"]
    status, told = await reload(client)
    age = told["maps"]["bad_mxs"]["sources"][1].pop("age")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert 0 <= age < 60
    assert (status, told) == (
        200,
        {
            "problems": [],
            "warnings": [],
            "settings": {"changed": [], "restart_needed": []},
            "maps": {
                "exclude_ips": {"entries": 0, "sources": []},
                "bad_mxs": {
                    "entries": 2,
                    "sources": [
                        {
                            "source": "mx_check.bad_mxs",
                            "entries": 1,
                            "sha256": None,
                            "age": 0.0,
                            "changed": False,
                            "error": None,
                        },
                        {"source": str(file), "entries": 1, "sha256": sha256, "changed": False, "error": None},
                    ],
                },
            },
        },
    )
    file.write_text("nobody.test\n")
    status, told = await reload(client)
    assert [place["changed"] for place in told["maps"]["bad_mxs"]["sources"]] == [False, True]
    assert await symbols(client, "a@good.test") == ["MX_GOOD"]


async def test_broken_map_is_a_problem_document_and_a_metric(start: StartService, tmp_path: Path) -> None:
    file = tmp_path / "bad"
    file.write_text("mx.good.test 2\n")
    client = await start(mx_check={"bad_mxs": str(file)}, maps={"watch": 0})
    file.write_bytes(b"\x1f\x8b\x08")
    status, told = await reload(client)
    assert (status, told["status"], told["title"]) == (500, 500, "Internal Server Error")
    (problem,) = told["problems"]
    assert problem.startswith(f"mx_check.bad_mxs: cannot read {file}: cannot be decompressed")
    assert "the last good one stays in use: 1 entry" in problem
    assert told["maps"]["bad_mxs"]["sources"][0]["error"].startswith("cannot be decompressed")
    assert await symbols(client, "a@good.test") == ["MX_BAD"]
    async with client.get("/metrics") as response:
        text = await response.text()
    for line in (
        'mxcheck_reloads_total{result="error"} 1.0',
        'mxcheck_map_entries{map="bad_mxs"} 1.0',
        'mxcheck_map_errors{map="bad_mxs"} 1.0',
    ):
        assert line in text.splitlines()


async def test_request_under_way_keeps_its_snapshot(start: StartService, tmp_path: Path, dns_server: DnsServer) -> None:
    """It was asked while the map knew the host, and its DNS answer comes when the map no longer does."""
    answer = asyncio.Event()
    dns_server.set("slow.test", "MX", dns.Delayed(dns.mx((10, "mx.good.test.")), until=answer))
    file = tmp_path / "bad"
    file.write_text("mx.good.test 2\n")
    client = await start(mx_check={"bad_mxs": str(file)}, maps={"watch": 0}, dns={"timeout": 30.0})
    asking = asyncio.create_task(symbols(client, "a@slow.test"))
    await dns_server.wait_asked("slow.test", "MX")
    file.write_text("nobody.test\n")
    assert (await reload(client))[0] == 200
    assert await symbols(client, "a@good.test") == ["MX_GOOD"]
    answer.set()
    assert await asking == ["MX_BAD"]
    assert await symbols(client, "a@slow.test") == ["MX_GOOD"]


class TestSettings:
    """`tree` is what the settings file says next."""

    @pytest.fixture
    def tree(self) -> dict[str, Any]:
        return {"cache": {"max_entries": 10}}

    @pytest.fixture
    async def client(self, tree: dict[str, Any]) -> AsyncIterator[Client]:
        settings = parse(tree).settings

        def reread() -> Loaded:
            return parse(tree)

        async with TestClient(TestServer(application(settings, (await load_maps(settings))[0], reread))) as client:
            yield client

    async def test_change_is_taken(self, client: Client, tree: dict[str, Any]) -> None:
        assert await symbols(client, "a@[192.0.2.1]") == []
        tree |= {
            "mx_check": {"check_authorized": True, "expire": 5},
            "server": {"deadline": 1.5},
            "preset": "reference",
        }
        status, told = await reload(client)
        assert status == 200
        assert {"mx_check.check_authorized", "mx_check.expire", "server.deadline", "preset"} <= set(
            told["settings"]["changed"]
        )
        assert "improvements.probe_attempts" in told["settings"]["changed"]
        assert told["settings"]["restart_needed"] == []
        async with client.post("/v1/check", json={"sender": "a@[192.0.2.1]", "authenticated": True}) as response:
            assert not (await response.json())["is_skipped"]
        assert (await reload(client))[1]["settings"] == {"changed": [], "restart_needed": []}

    async def test_what_needs_a_restart_is_told_and_left_alone(self, client: Client, tree: dict[str, Any]) -> None:
        tree |= {
            "server": {"port": 1, "workers": 2, "auth_token": "t"},
            "cache": {"url": "redis://127.0.0.1:1/0"},
            "dns": {"timeout": 3.0},
            "mx_check": {"key_prefix": "other", "expire": 5},
        }
        status, told = await reload(client)
        assert status == 200
        assert told["settings"] == {
            "changed": ["mx_check.expire"],
            "restart_needed": [
                "server.port",
                "server.workers",
                "server.auth_token",
                "cache.url",
                "cache.max_entries",
                "dns.timeout",
                "mx_check.key_prefix",
            ],
        }
        assert (await reload(client))[0] == 200

    async def test_broken_settings_are_all_told_and_none_is_taken(
        self, client: Client, tree: dict[str, Any], tmp_path: Path
    ) -> None:
        tree |= {"mx_check": {"expire": -1, "exprie_dns": 3, "check_authorized": True}}
        with pytest.raises(ConfigError) as expected:
            parse(tree)
        status, told = await reload(client)
        assert status == 500
        assert told["problems"] == expected.value.problems
        assert len(told["problems"]) == 2
        assert told["settings"]["changed"] == []
        async with client.post("/v1/check", json={"sender": "a@b.test", "authenticated": True}) as response:
            assert (await response.json())["is_skipped"]

    async def test_settings_whose_maps_are_not_to_be_had_are_not_taken(
        self, client: Client, tree: dict[str, Any]
    ) -> None:
        tree |= {"mx_check": {"exclude_domains": "/nonexistent/map", "bad_ips": "nothing", "check_authorized": True}}
        status, told = await reload(client)
        assert status == 500
        assert "'nothing' is neither" in told["problems"][0]
        del tree["mx_check"]["bad_ips"]
        status, told = await reload(client)
        assert (status, told["problems"]) == (
            500,
            ["mx_check.exclude_domains: cannot read /nonexistent/map: No such file or directory"],
        )
        assert told["settings"]["changed"] == []
        assert told["maps"] == {}

    async def test_new_map_from_a_url(self, client: Client, tree: dict[str, Any]) -> None:
        async with MapServer(b"white.test\n") as server:
            tree |= {"mx_check": {"exclude_domains": server.url}}
            assert (await reload(client))[0] == 200
            assert await symbols(client, "a@white.test") == ["MX_WHITE"]
