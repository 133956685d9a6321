"""Hostile names and hosts in what a person sees of `mxcheck check`, `bulk`, `config` and `cache`: nothing moves it."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import dnslib
import pytest
import yaml

from tests.hostile.hostile_names import NAMES, NO_NAMES
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.redis import RedisServer
from tests.lab.service import mxcheck, write_config
from tests.lab.smtp import SmtpPeers

HOSTILE = "\x1b[31m\x1b]0;t\x07\x9b\u202e\u2066\u200b\u2028[bold]x[/bold]"
_CONTROL = re.compile(r"[^\n\x20-\x7e\u00a1-\uffef]|[\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""What a terminal obeys, and what turns or hides what is written; frames and dots of tables are neither."""
# No argument of a command can hold a NUL, and none that is longer than 128 KiB.
TARGETS = [
    name for name in (*NO_NAMES, *NAMES) if "\0" not in name and "\ud800" not in name and not name.startswith("-")
]


def clean(text: str) -> bool:
    found = _CONTROL.findall(text)
    assert not found, found[:5]
    return bool(text)


@pytest.fixture
async def config(dns_server: DnsServer, smtp_peers: SmtpPeers, tmp_path: Path) -> Path:
    label = HOSTILE.encode("utf-8")[:60]
    dns_server.set("evil.test", "MX", dns.Answer((dns.Row(dnslib.MX(dnslib.DNSLabel([label, b"test"]), 10)),)))
    dns_server.set("banner.test", "MX", dns.mx((10, "mx.banner.test")))
    peer = smtp_peers.add(scripts.banner(f"554 {HOSTILE}".encode()))
    dns_server.set("mx.banner.test", "A", dns.a(peer.address))
    return write_config(
        tmp_path,
        {
            "dns": {"nameservers": [dns_server.nameserver]},
            "mx_check": {"test_mode": True, "port": smtp_peers.port, "verify_greeting": True},
        },
    )


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
async def test_check(config: Path, form: tuple[str, ...]) -> None:
    done = await mxcheck("check", "--config", str(config), "--explain", *form, "banner.test", "evil.test", *TARGETS)
    assert clean(done.out)
    assert clean(done.err)
    assert "err:554" in done.out
    assert "[bold]x[/bold]" in done.out, "what looks like markup is text"


@pytest.mark.parametrize("form", ["jsonl", "csv"])
async def test_bulk(config: Path, tmp_path: Path, form: str) -> None:
    names = [name for name in (*NO_NAMES, *NAMES) if "\n" not in name and "\r" not in name]
    lines = b"\n".join(name.encode("utf-8", "surrogatepass") for name in ("banner.test", "evil.test", *names)) + b"\n"
    (tmp_path / "in").write_bytes(lines)
    done = await mxcheck("bulk", "--config", str(config), "--format", form, str(tmp_path / "in"))
    assert clean(done.err + ".")
    rows: list[dict[str, Any]]
    if form == "jsonl":
        rows = [json.loads(line) for line in done.out.splitlines()]
    else:
        rows = list(csv.DictReader(io.StringIO(done.out, newline="")))
    for row in rows:
        assert clean("".join(str(value) for value in row.values()))
    # One row for each line, whatever is in it; blank ones have none.
    assert len(rows) >= len(names)
    assert rows[0]["verdict"] == "err:554"


async def test_config(tmp_path: Path) -> None:
    tree = {
        f"s{HOSTILE}": {"a": 1},
        "server": {f"k{HOSTILE}": 1, "host": 5, "log_level": HOSTILE},
        "dns": {"nameservers": [HOSTILE]},
        "cache": {"url": f"redis://u:s3cret@{HOSTILE}:x/"},
        "mx_check": {"local_addrs": [HOSTILE], "bad_mxs": HOSTILE, "key_prefix": HOSTILE},
        "improvements": {"egress_check": [HOSTILE]},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True))
    done = await mxcheck("config", "check", "--config", str(path))
    assert done.code != 0
    assert clean(done.out + done.err)


async def test_cache_entries(tmp_path: Path) -> None:
    """What another tenant of Redis has written, shown."""
    with RedisServer() as redis:
        with redis.client() as client:
            client.set("rmx:d:evil.test", f"mx:mx.test:10,{HOSTILE}", ex=600)
        path = write_config(tmp_path, {"cache": {"url": redis.url}})
        done = await mxcheck("cache", "show", "--config", str(path), "d", "evil.test")
        assert clean(done.out)
        assert done.code == 0
