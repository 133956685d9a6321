"""rspamc prints the same of the service itself as of rspamd with the plugin."""

import re
from collections.abc import Iterator

import pytest
import pytest_asyncio

from tests.lab.knot import KnotServer
from tests.lab.rspamd import Rspamd, rspamc
from tests.lab.rspamd_plugin import rspamd_with_plugin
from tests.lab.service import Service
from tests.lab.smtp import SmtpPeers
from tests.lab.smtp_scripts import good, http_server, rejects

ZONE = """
good MX 10 mx.good
good MX 20 mx2.good
mx.good A 127.0.0.9
mx2.good A 127.0.0.9
refused MX 10 mx.refused
mx.refused A 127.0.0.10
error MX 10 mx.error
mx.error A 127.0.0.11
web MX 10 mx.web
mx.web A 127.0.0.12
implicit A 127.0.0.9
null MX 0 .
broken MX 10 nowhere.broken
private MX 10 mx.private
mx.private A 10.0.0.1
mixed MX 10 mx.mixed
mx.mixed A 10.0.0.1
mx.mixed A 127.0.0.9
"""
# `Symbol: MX_GOOD (-0.10)[mx.good.test]`
_SYMBOL = re.compile(r"^Symbol: ((?:MIME_FROM_|REPLYTO_)?MX_\w+) \((-?[\d.]+)\)(?:\[(.*)\])?$", re.MULTILINE)


@pytest.fixture(scope="module")
def service(knot: KnotServer, smtp_port: int) -> Iterator[Service]:
    """The service; its senders are below rspamc.test."""
    knot.set_zone("rspamc.test", ZONE)
    mx_check = {"test_mode": True, "port": smtp_port, "verify_greeting": True, "send_quit": True, "read_timeout": 1.0}
    with Service({"dns": {"nameservers": [knot.nameserver]}, "mx_check": mx_check}) as service:
        yield service


@pytest.fixture(scope="module")
def rspamd(service: Service) -> Iterator[Rspamd]:
    """rspamd with the plugin that asks the same service."""
    with rspamd_with_plugin({"url": service.url}) as server:
        yield server


@pytest_asyncio.fixture(autouse=True)
async def hosts(smtp_peers: SmtpPeers) -> None:
    """The MX hosts of ZONE."""
    smtp_peers.add(good(), address="127.0.0.9")
    smtp_peers.add_refused("127.0.0.10")
    smtp_peers.add(rejects(554), address="127.0.0.11")
    smtp_peers.add(http_server(), address="127.0.0.12")


def message(*headers: str) -> bytes:
    return "\n".join([*headers, "To: kim@rcpt.test", "Subject: hello", "Message-ID: <1@a.test>", "", "hi", ""]).encode()


async def printed(address: str, content: bytes, sender: str, *options: str) -> dict[str, tuple[str, frozenset[str]]]:
    """The plugin's symbols that rspamc prints, each with its score and its options."""
    text = await rspamc(
        address, content, "--from", sender, "--ip", "198.51.100.7", "--helo", "helo.rspamc.test", *options
    )
    found = {name: (score, frozenset(options.split(", "))) for name, score, options in _SYMBOL.findall(text)}
    assert len(found) == len(_SYMBOL.findall(text))
    return found


@pytest.mark.parametrize(
    ("sender", "headers", "symbols"),
    [
        ("jo@good.rspamc.test", (), {"MX_GOOD": "-0.10"}),
        ("jo@refused.rspamc.test", (), {"MX_REFUSED": "3.00"}),
        ("jo@null.rspamc.test", (), {"MX_NULL": "6.00"}),
        ("jo@error.rspamc.test", (), {"MX_ERROR": "0.00", "MX_GOOD": "-0.10"}),
        ("jo@web.rspamc.test", (), {"MX_INVALID": "3.00"}),
        ("jo@gone.rspamc.test", (), {"MX_NONE": "4.00"}),
        ("jo@broken.rspamc.test", (), {"MX_BROKEN": "4.00"}),
        ("jo@implicit.rspamc.test", (), {"MX_A_GOOD": "0.00"}),
        ("jo@private.rspamc.test", (), {"MX_LOCAL_ONLY": "3.00"}),
        ("jo@mixed.rspamc.test", (), {"MX_GOOD": "-0.10"}),
        (
            "jo@good.rspamc.test",
            ("From: A <a@refused.rspamc.test>, B <b@null.rspamc.test>", "Reply-To: c@error.rspamc.test"),
            {
                "MX_GOOD": "-0.10",
                "MIME_FROM_MX_REFUSED": "3.00",
                "MIME_FROM_MX_NULL": "6.00",
                "REPLYTO_MX_ERROR": "0.00",
                "REPLYTO_MX_GOOD": "-0.10",
            },
        ),
        (
            "jo@gone.rspamc.test",
            ("From: a@lost.rspamc.test, b@missing.rspamc.test", "Reply-To: =?utf-8?q?J=C3=B6?= <c@void.rspamc.test>"),
            {"MX_NONE": "4.00", "MIME_FROM_MX_NONE": "4.00", "REPLYTO_MX_NONE": "4.00"},
        ),
        ("", ("From: a@good.rspamc.test",), {"MX_NONE": "4.00", "MIME_FROM_MX_GOOD": "-0.10"}),
    ],
)
async def test_symbols_scores_and_options_are_the_same(
    service: Service, rspamd: Rspamd, sender: str, headers: tuple[str, ...], symbols: dict[str, str]
) -> None:
    content = message(*headers)
    of_service = await printed(service.url.removeprefix("http://"), content, sender)
    of_rspamd = await printed(rspamd.address, content, sender)
    assert of_rspamd == of_service
    assert {name: score for name, (score, _) in of_service.items()} == symbols


async def test_authenticated_mail_is_checked_by_neither(service: Service, rspamd: Rspamd) -> None:
    for address in (service.url.removeprefix("http://"), rspamd.address):
        assert await printed(address, message(), "jo@gone.rspamc.test", "--user", "jo") == {}
