"""Greylisting and rejection, from the service's verdict through the plugin to what rspamd tells the MTA."""

from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from tests.lab.knot import KnotServer
from tests.lab.redis import RedisServer
from tests.lab.rspamd import Rspamd
from tests.lab.rspamd_plugin import found, rspamd_with_plugin
from tests.lab.service import Service
from tests.lab.smtp import SmtpPeers
from tests.lab.smtp_scripts import good

MESSAGE = (
    "From: Jo <jo@{domain}>\nTo: kim@rcpt.test\nSubject: hello\nMessage-ID: <1@{domain}>\n"
    "Date: {date}\nMIME-Version: 1.0\nContent-Type: text/plain\n\nhi\n"
)
GREYLIST = {"greylist.conf": "greylist_min_score = -1000;"}
NULL_MX_REPLY = "Your domain takes no mail, so we take none from it"


@pytest.fixture(scope="module")
def service(knot: KnotServer, smtp_port: int) -> Iterator[Service]:
    """A service that may reject for Null MX; its senders are below actions.test."""
    lines = ["good MX 10 mx", "mx A 127.0.0.9", "refused MX 10 closed", "closed A 127.0.0.10", "null MX 0 ."]
    knot.set_zone("actions.test", "\n".join(lines))
    mx_check = {
        "test_mode": True,
        "port": smtp_port,
        "reject_null_mx": True,
        "reject_null_mx_message": NULL_MX_REPLY,
    }
    with Service({"dns": {"nameservers": [knot.nameserver]}, "mx_check": mx_check}) as service:
        yield service


@pytest.fixture(scope="module")
def rspamd(service: Service, redis_process: RedisServer) -> Iterator[Rspamd]:
    """An rspamd whose greylist module looks at no score."""
    with rspamd_with_plugin({"url": service.url}, local_d=GREYLIST, redis_url=redis_process.url) as server:
        yield server


@pytest.fixture(scope="module")
def unmoved(service: Service, redis_process: RedisServer) -> Iterator[Rspamd]:
    """An rspamd that is to apply neither."""
    settings = {"url": service.url, "apply_greylist": False, "apply_reject": False}
    with rspamd_with_plugin(settings, local_d=GREYLIST, redis_url=redis_process.url) as server:
        yield server


async def scan(rspamd: Rspamd, name: str) -> dict[str, Any]:
    """Scan a message from a domain below actions.test, against which nothing but its verdict speaks."""
    domain = f"{name}.actions.test"
    message = MESSAGE.format(domain=domain, date=formatdate()).encode()
    return await rspamd.scan(message, sender=f"jo@{domain}", ip="198.51.100.7", rcpt=["kim@rcpt.test"])


@pytest.mark.usefixtures("redis_server")
class TestGreylist:
    async def test_a_refusing_mx_is_greylisted(self, rspamd: Rspamd, smtp_peers: SmtpPeers) -> None:
        smtp_peers.add_refused("127.0.0.10")
        reply = await scan(rspamd, "refused")
        assert reply["action"] == "soft reject"
        assert reply["messages"] == {"smtp_message": "Try again later"}
        assert reply["symbols"]["GREYLIST"]["options"][0::2] == ["greylisted", "new record"]
        assert found(reply) == {"MX_REFUSED": 3.0}

    async def test_a_domain_that_does_not_exist_is_greylisted(self, rspamd: Rspamd) -> None:
        reply = await scan(rspamd, "gone")
        assert reply["action"] == "soft reject"
        assert found(reply) == {"MX_NONE": 4.0}

    async def test_a_good_sender_is_not(self, rspamd: Rspamd, smtp_peers: SmtpPeers) -> None:
        smtp_peers.add(good(), address="127.0.0.9")
        reply = await scan(rspamd, "good")
        assert reply["action"] == "no action"
        assert found(reply) == {"MX_GOOD": -0.1}
        assert "GREYLIST" not in reply["symbols"]

    async def test_nobody_is_when_switched_off(self, unmoved: Rspamd, smtp_peers: SmtpPeers) -> None:
        smtp_peers.add_refused("127.0.0.10")
        reply = await scan(unmoved, "refused")
        assert reply["action"] == "no action"
        assert found(reply) == {"MX_REFUSED": 3.0}


@pytest.mark.usefixtures("redis_server")
class TestReject:
    async def test_null_mx_is_rejected_with_the_message_of_the_service(self, rspamd: Rspamd) -> None:
        reply = await scan(rspamd, "null")
        assert reply["action"] == "reject"
        assert reply["messages"] == {"smtp_message": NULL_MX_REPLY}
        assert found(reply) == {"MX_NULL": 6.0}

    async def test_it_is_not_when_switched_off(self, unmoved: Rspamd) -> None:
        reply = await scan(unmoved, "null")
        assert reply["action"] != "reject"
        assert NULL_MX_REPLY not in reply["messages"].values()
        assert found(reply) == {"MX_NULL": 6.0}
