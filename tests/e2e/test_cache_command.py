"""`mxcheck cache`, and what `--explain` tells of the cache and of maps: real processes, a real Redis, real files."""

import re
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.redis import RedisServer
from tests.lab.service import Service, mxcheck, write_config
from tests.lab.smtp import SmtpPeers

FOUND, ABSENT, FAILED = 0, 1, 2
DOMAIN = "good.test"


@pytest_asyncio.fixture
async def settings(dns_server: DnsServer, smtp_peers: SmtpPeers, redis_server: RedisServer) -> dict[str, Any]:
    """Settings on Redis for a lab where good.test greets."""
    dns_server.set(DOMAIN, "MX", dns.mx((10, "mx.good.test")))
    dns_server.set("mx.good.test", "A", dns.a(smtp_peers.add(scripts.good()).address))
    return {
        "dns": {"nameservers": [dns_server.nameserver]},
        "mx_check": {"test_mode": True, "port": smtp_peers.port, "expire_dns": 500, "expire": 7000},
        "cache": {"url": redis_server.url},
    }


async def test_an_entry_is_shown_and_purged(
    settings: dict[str, Any], redis_server: RedisServer, tmp_path: Path
) -> None:
    config = str(write_config(tmp_path, settings))
    assert (await mxcheck("check", DOMAIN, "--config", config)).code == FOUND
    redis_server.ask("PEXPIRE", "rmx:d:good.test", 400_000)
    shown = await mxcheck("cache", "show", "d", "Good.TEST", "--config", config)
    assert (shown.code, shown.err) == (FOUND, "")
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines[:3] == [
        "rmx:d:good.test",
        "value mx:mx.good.test:10",
        "meaning MX hosts, best first: mx.good.test (10)",
    ]
    age, left = (re.fullmatch(rf"{name} (\d+) s", line) for name, line in zip(("age", "left"), lines[3:], strict=True))
    assert age
    assert left
    assert 100 <= int(age[1]) < 130
    assert 370 < int(left[1]) <= 400
    purged = await mxcheck("cache", "purge", "d", DOMAIN, "--config", config)
    assert (purged.code, purged.out) == (FOUND, "purged rmx:d:good.test\n")
    assert redis_server.ask("KEYS", "rmx:d:*") == []
    assert redis_server.ask("EXISTS", "rmx:m:mx.good.test") == 1
    absent = await mxcheck("cache", "show", "d", DOMAIN, "--config", config)
    assert (absent.code, absent.out) == (ABSENT, "the cache has no entry d:good.test\n")


async def test_a_purge_reaches_a_running_service(
    settings: dict[str, Any], dns_server: DnsServer, tmp_path: Path
) -> None:
    with Service(settings) as service:
        for _ in range(3):
            assert (await service.check({"sender": f"a@{DOMAIN}"})).body["domains"][0]["verdict"] == "gd"
        dns_server.set(DOMAIN, "MX", dns.mx((0, ".")))
        assert (await service.check({"sender": f"a@{DOMAIN}"})).body["domains"][0]["verdict"] == "gd"
        await mxcheck("cache", "purge", "d", DOMAIN, "--config", str(write_config(tmp_path, settings)))
        assert (await service.get(f"/v1/cache/d/{DOMAIN}")).status == 404


async def test_what_is_stored_never_gets_at_the_terminal(
    settings: dict[str, Any], redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.ask("SET", "rmx:d:good.test", "\x1b[31mred\r\n")
    shown = await mxcheck("cache", "show", "d", DOMAIN, "--config", str(write_config(tmp_path, settings)))
    assert "value    \\u001b[31mred\\u000d\\u000a" in shown.out
    assert "no end" in shown.out
    assert "unknown" in shown.out


@pytest.mark.parametrize(("action", "layer", "key"), [("show", "d", "\x1b[2J"), ("purge", "i", "*")])
async def test_what_is_no_key_is_told(
    settings: dict[str, Any], tmp_path: Path, action: str, layer: str, key: str
) -> None:
    told = await mxcheck("cache", action, layer, key, "--config", str(write_config(tmp_path, settings)))
    assert (told.code, told.out) == (FAILED, "")
    assert told.err.startswith("mxcheck: ")
    assert "must be" in told.err
    assert "\x1b" not in told.err


async def test_an_unknown_layer_is_told() -> None:
    told = await mxcheck("cache", "show", "r", DOMAIN)
    assert told.code == FAILED
    assert "LAYER" in told.err


async def test_a_cache_inside_the_service_is_to_be_asked_there(settings: dict[str, Any], tmp_path: Path) -> None:
    """The command tells how, and what it tells works."""
    with Service(settings | {"cache": {"url": "memory://"}}) as service:
        config = settings | {"cache": {"url": "memory://"}, "server": {"port": int(service.url.rpartition(":")[2])}}
        told = await mxcheck("cache", "purge", "d", DOMAIN, "--config", str(write_config(tmp_path, config)))
        assert (told.code, told.out) == (FAILED, "")
        assert "memory://" in told.err
        url = re.search(r"curl (\S+),", told.err)
        assert url
        await service.check({"sender": f"a@{DOMAIN}"})
        assert (await service.get(url[1].removeprefix(service.url))).body["value"] == "mx:mx.good.test:10"


async def test_a_lost_redis_is_told(settings: dict[str, Any], redis_server: RedisServer, tmp_path: Path) -> None:
    redis_server.stop()
    told = await mxcheck("cache", "show", "d", DOMAIN, "--config", str(write_config(tmp_path, settings)))
    assert (told.code, told.out) == (FAILED, "")
    assert told.err.startswith("mxcheck: the cache cannot be asked: Redis")


async def test_explain_tells_the_age_of_what_is_cached(
    settings: dict[str, Any], redis_server: RedisServer, tmp_path: Path
) -> None:
    config = str(write_config(tmp_path, settings))
    await mxcheck("check", DOMAIN, "--config", config)
    redis_server.ask("PEXPIRE", "rmx:d:good.test", 400_000)
    redis_server.ask("PERSIST", "rmx:m:mx.good.test")
    explained = await mxcheck("check", DOMAIN, "--explain", "--config", config)
    lines = {match[1]: line for line in explained.out.splitlines() if (match := re.search(r"cache +layer=(.)", line))}
    age = re.search(r"age_s=([\d.]+)  left_s=([\d.]+)", lines["d"])
    assert age
    assert 100 <= float(age[1]) < 130
    assert float(age[1]) + float(age[2]) == pytest.approx(500)
    assert re.search(r"age_s=-  left_s=-  took_ms=[\d.]+\s*$", lines["m"])
    assert re.search(r"value=gd  age_s=[\d.]+  left_s=69\d\d", lines["i"])


async def test_explain_tells_the_line_of_the_map_that_hit(settings: dict[str, Any], tmp_path: Path) -> None:
    trusted, bad = tmp_path / "trusted.map", tmp_path / "bad.map"
    trusted.write_text("# trusted\n\nother.test\n*ood.test  # ours\n")
    bad.write_text("127.0.0.0/8 2.5\n")
    settings["mx_check"] |= {"exclude_domains": str(trusted), "bad_ips": ["11.0.0.0/8", str(bad)]}
    config = str(write_config(tmp_path, settings))
    explained = await mxcheck("check", DOMAIN, "--explain", "--config", config)
    (line,) = (line for line in explained.out.splitlines() if " map " in line)
    assert " ".join(line.split()).endswith(f'map setting=exclude_domains key={DOMAIN} value="" entry={trusted}:4')
    settings["mx_check"] |= {"exclude_domains": None}
    with Service(settings) as service:
        trace = (await service.get(f"/v1/check?sender=a@{DOMAIN}&explain=1")).body["domains"][0]["trace"]
    (hit,) = (step for step in trace if step["step"] == "map")
    assert (hit["setting"], hit["value"], hit["entry"]) == ("bad_ips", "2.5", f"{bad}:1")
