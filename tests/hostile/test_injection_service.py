"""Hostile names at every entrance of a real service: what of them comes out of its exits.

Entrances: JSON fields, query, headers, rspamd's protocol, paths, DNS answers, greetings, maps, cache entries of others.
Exits: the log in both forms, metrics, reply headers, and what Redis is told, by its own MONITOR.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_from_bytes
from urllib.request import urlopen

import dnslib
import pytest

from tests.hostile.hostile_names import NAMES, NO_NAMES
from tests.hostile.monitor import Monitor
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.log_lines import FORMS, checks, lines, post, raw
from tests.lab.redis import RedisServer
from tests.lab.service import Service
from tests.lab.smtp import SmtpPeers

ALL = (*NO_NAMES, *NAMES)
GOOD = "good.test"
_NAME = rb"[a-z0-9._-]{1,512}"
_IP = rb"[0-9a-f.:]{2,45}"
GRAMMAR: Final = re.compile(
    rb"rmx:(?:[dm]:%s|i:%s|r:[dm]:%s|r:i:%s|p:\d+:(?:global|(?:address|network):%s(?:/\d+)?|suffix:%s))"
    % (_NAME, _IP, _NAME, _IP, _IP, _NAME)
)
"""Every key there is (docs/architecture.md): those of the reference, and the service's own `r:` and `p:`."""
WITHOUT_KEYS: Final = {
    b"CLIENT",
    b"PING",
    b"HELLO",
    b"SUBSCRIBE",
    b"SELECT",
    b"ECHO",
    b"COMMAND",
    b"INFO",
    b"UNSUBSCRIBE",
}
KEYS_OF: Final = {b"MGET": slice(1, None), b"DEL": slice(1, None)}
WRITES: Final = {b"SET", b"SETEX", b"INCRBY", b"DEL", b"EXPIRE"}
_UNPRINTABLE: Final = re.compile(r"[^\n\x20-\x7e]")

HOSTILE_LABELS: Final = (
    b"x\r\nSET rmx:i:11.0.0.1 gd",
    b"a:m:b",
    b"\x1b[31m",
    b"*",
    b"a b",
    b"a.b",
    b"\0",
    b"\xff\xfe",
    b'"',
    b"\\",
    "\u202e".encode(),
    b"i:127.0.0.1",
)
"""Labels of MX targets; DNS allows any octet in one."""


@dataclass
class Told:
    """What came out of the service."""

    log: str = ""
    metrics: str = ""
    heads: list[bytes] = field(default_factory=list)
    commands: list[list[bytes]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    replies: dict[str, Any] = field(default_factory=dict)


async def everything(form: str, folder: Path) -> Told:
    """Ask a service of this form of the log for everything, at every entrance."""
    told = Told()
    evil_map = folder / "map"
    # A map with NUL octets is not taken at all, and one with `*` takes every host for a bad one.
    keys = [name.replace("\n", " ") for name in NO_NAMES if name.isascii() and not set(name) & set("\0*")]
    evil_map.write_text("\n".join(keys) + "\nbad.test 2\n")
    evil_networks = folder / "networks"
    evil_networks.write_text("11.0.0.1 \x1b[31m\u202e\n\x1b[31m\u202eforged\n*\n")
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        async with DnsServer() as server, SmtpPeers() as peers:
            banner = f"554 \x1b[31m{NO_NAMES[-5]} \x9b\u202e{'x' * 4000}".encode("utf-8", "replace")
            for name, play in ((GOOD, scripts.good()), ("banner.test", scripts.banner(banner))):
                server.set(name, "MX", dns.mx((10, f"mx.{name}")))
                server.set(f"mx.{name}", "A", dns.a(peers.add(play).address))
            for number, label in enumerate(HOSTILE_LABELS):
                target = dnslib.DNSLabel([label, b"test"])
                rows = (dns.Row(dnslib.MX(target, 10)),)
                server.set(f"evil{number}.test", "MX", dns.Answer(rows))
                server.set(f"cname{number}.test", "MX", dns.Answer((dns.Row(dnslib.CNAME(target)),)))
            with redis.client() as client:
                client.set("rmx:d:poison.test", "mx:" + ",".join(f"{name}.host:1" for name in NO_NAMES[:20]), ex=600)
                client.set("rmx:d:poison2.test", "\x1b[31m\r\n\u202e", ex=600)
            settings: dict[str, Any] = {
                "server": {"log_format": form, "log_level": "debug", "max_body_bytes": 1 << 20},
                "cache": {"url": redis.url},
                "dns": {"nameservers": [server.nameserver]},
                "mx_check": {
                    "test_mode": True, "port": peers.port, "verify_greeting": True,
                    "bad_mxs": [str(evil_map), "http://127.0.0.1:9/\x1b[31m\u202e?password=s3cret-of-map"],
                    "exclude_ips": [str(evil_networks)],
                },
            }  # fmt: skip
            service = stack.enter_context(Service(settings))
            monitor = stack.enter_context(Monitor(redis.port))
            for request in requests():
                told.heads.append((await raw(service.url, request)).partition(b"\r\n\r\n")[0])
            bodies = [
                {"sender": f"a@{name}"}
                for number in range(len(HOSTILE_LABELS))
                for name in (f"evil{number}.test", f"cname{number}.test")
            ]
            bodies += [{"sender": f"a@{name}"} for name in (GOOD, "banner.test", "poison.test", "poison2.test")]
            for body in bodies:
                for path in ("/v1/check?explain=1", "/v1/check"):
                    reply = await service._request("POST", path, json=body)
                    assert reply.status == 200
                    told.replies[body["sender"]] = reply.body
            await raw(service.url, b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            told.metrics = (await asyncio.to_thread(_page, f"{service.url}/metrics")).decode()
            assert await service.stop() == 0
            told.log = service.log
            told.commands = monitor.commands()
            with redis.client() as client:
                told.keys = {str(key) for key in client.keys("*")}
    return told


def _page(url: str) -> bytes:

    with urlopen(url, timeout=10) as response:
        return bytes(response.read())


def requests() -> Iterator[bytes]:
    """Every hostile name at every entrance where a client can put it."""
    for name in ALL:
        yield post({"sender": f"a@{name}", "mime_from": [f"x <b@{name}>", name], "reply_to": f"c@{name}"})
        yield post({"sender": "", "helo": name})
        yield post({"sender": name, "client_ip": name})
        yield post({name: name})
        text = name.encode("utf-8", "surrogatepass")
        quoted = quote_from_bytes(text, safe="")[:6000]
        yield _get(f"/v1/check?sender=a%40{quoted}&helo={quoted}")
        yield _get(f"/v1/check?sender=&helo={quoted}&{quoted}=1")
        for layer in ("d", "m", "i"):
            yield _get(f"/v1/cache/{layer}/{quoted}")
            yield _get(f"/v1/cache/{layer}/{quoted}").replace(b"GET", b"DELETE", 1)
        yield _get(f"/{quoted}")
        yield _rspamd(text)
        if not set(text) & set(b"\r\n\0"):
            # What HTTP itself lets through in a header, or does not.
            yield post({"sender": f"a@{GOOD}"}, b"X-Request-Id: " + text[:7000])
            yield text[:4000].replace(b" ", b"") + b" / HTTP/1.1\r\nHost: x\r\n\r\n"


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


def _rspamd(name: bytes) -> bytes:
    message = b"From: <a@%s>\nReply-To: %s\n\nhi\n" % (name, name)
    line = re.sub(rb"[\r\n\0]", b" ", name)[:7000]
    head = b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nFrom: a@%s\r\nHelo: %s\r\nIP: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (line, line, line[:100], len(message)) + message


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def told(form: str, tmp_path_factory: pytest.TempPathFactory) -> Told:
    return asyncio.run(everything(form, tmp_path_factory.mktemp("hostile")))


def test_every_line_of_the_log_is_one_of_the_service_s(told: Told, form: str) -> None:
    assert not _UNPRINTABLE.search(told.log), repr(_UNPRINTABLE.findall(told.log)[:5])
    written = lines(told.log, form)
    assert len(checks(told.log, form)) > 10 * len(ALL)
    messages = {line["message"] for line in written}
    assert not [message for message in messages if message.startswith(("forged", "red"))]
    assert {line.get("action") for line in written} <= {None, "no action", "greylist"}
    assert not [line for line in written if "crashed" in line["message"] or "Traceback" in line["message"]]
    assert "s3cret" not in told.log


def test_no_key_is_outside_its_layer(told: Told) -> None:
    used = 0
    for words in told.commands:
        name = words[0].upper()
        if name in WITHOUT_KEYS:
            continue
        for key in words[KEYS_OF.get(name, slice(1, 2))]:
            assert GRAMMAR.fullmatch(key), (name, key)
            used += 1
    assert used > 200
    assert {words[0].upper() for words in told.commands} <= WITHOUT_KEYS | WRITES | {b"MGET", b"GET", b"PTTL"}


def test_no_name_writes_another_one_s_key(told: Told) -> None:
    """Of the layers there are the keys of the names that were asked for, and no others."""
    asked = {GOOD, "banner.test", "poison.test", "poison2.test", *NAMES}
    asked |= {f"{kind}{number}.test" for kind in ("evil", "cname") for number in range(len(HOSTILE_LABELS))}
    # `[a]` is an address literal in brackets; a header of a message ends with its line, and so does `<a@x`.
    asked |= {"a", "x"}
    layers = {layer: {key[6:] for key in told.keys if key.startswith(f"rmx:{layer}:")} for layer in "dmi"}
    # Of the poisoned list, whose items end in `.host`, these two have nothing odd in them but their dots.
    hosts = {f"mx.{GOOD}", "mx.banner.test", "..host", "...host"}
    assert layers == {"d": asked, "m": hosts, "i": {"127.0.0.2", "127.0.0.3"}}
    assert {key[:6] for key in told.keys} == {"rmx:d:", "rmx:m:", "rmx:i:", "rmx:p:"}


def test_the_good_one_is_what_it_was(told: Told) -> None:
    assert told.replies[f"a@{GOOD}"]["domains"][0]["verdict"] == "gd"
    assert told.replies["a@banner.test"]["domains"][0]["verdict"] == "err:554"
    for number in range(len(HOSTILE_LABELS)):
        assert told.replies[f"a@evil{number}.test"]["domains"][0]["verdict"] == "bkn"


def test_options_are_printable(told: Told) -> None:
    for reply in told.replies.values():
        for symbol in reply["symbols"].values():
            assert all(option.isascii() and option.isprintable() for option in symbol["options"])


def test_metrics_have_no_word_of_it(told: Told) -> None:
    assert told.metrics.isascii()
    assert not _UNPRINTABLE.search(told.metrics)
    values = set(re.findall(r'="((?:[^"\\]|\\.)*)"', told.metrics))
    assert len(values) > 30
    assert all(re.fullmatch(r"[A-Za-z0-9_/+{}-]{1,20}|\d+\.\d+(?:\.\d+)?", value) for value in values), values
    assert values.isdisjoint(ALL)


def test_reply_heads_are_the_service_s_own(told: Told) -> None:
    known = {
        b"content-type", b"content-length", b"date", b"server", b"connection", b"keep-alive", b"x-request-id",
        b"retry-after", b"allow", b"www-authenticate",
    }  # fmt: skip
    for head in told.heads:
        if not head:
            continue  # aiohttp hung up on what is no HTTP
        status, *fields = head.split(b"\r\n")
        assert re.fullmatch(rb"HTTP/1\.[01] \d{3} [A-Za-z -]+", status), status
        for one in fields:
            name, _, value = one.partition(b": ")
            assert name.lower() in known
            assert re.fullmatch(rb"[\x20-\x7e]*", value)
        assert b"injected" not in head.lower()
