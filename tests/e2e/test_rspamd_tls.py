"""The plugin and a service with TLS: rspamd verifies certificates, by the authorities of its own configuration."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.test_processes import until
from tests.lab.certificates import Pki
from tests.lab.rspamd import Rspamd
from tests.lab.rspamd_plugin import found, rspamd_with_plugin, warnings
from tests.lab.service import Service

MESSAGE = b"From: Jo <jo@sender.test>\nTo: kim@rcpt.test\nSubject: hello\nMessage-ID: <1@sender.test>\n\nhi\n"
ENVELOPE: dict[str, Any] = {"sender": "jo@sender.test", "helo": "mail.sender.test", "ip": "198.51.100.7"}
TRUSTED = {"mx_check": {"exclude_domains": ["sender.test"]}}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    # rspamd's workers are not root.
    for each in (folder, folder.parent, folder.parent.parent):
        each.chmod(each.stat().st_mode | 0o011)
    return Pki(folder)


@pytest.fixture(scope="module")
def service(pki: Pki) -> Iterator[Service]:
    with Service({"server": pki.settings, **TRUSTED}) as service:
        yield service


def asking(service: Service, authority: Path | None, *, keepalive: bool = True) -> Rspamd:
    """An rspamd that asks the service, and trusts the authority."""
    options = {"options.inc": f'ssl_ca_path = "{authority}";\n'} if authority else {}
    return rspamd_with_plugin({"url": service.url, "keepalive": keepalive}, local_d=options)


async def test_a_service_that_is_trusted_is_asked_over_one_connection(service: Service, pki: Pki) -> None:
    with asking(service, pki.ca) as rspamd:
        for _ in range(5):
            assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_WHITE": -0.1}
        assert warnings(rspamd) == []
        connections = psutil.Process(service.pid).net_connections("tcp")
        assert [connection.status for connection in connections].count(psutil.CONN_ESTABLISHED) == 1


async def test_one_that_nobody_vouches_for_is_told_nothing(service: Service) -> None:
    with asking(service, None) as rspamd:
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MXCHECK_FAIL": 0.0}
        (why,) = warnings(rspamd)
        assert why.startswith(f"{service.url}: ssl ")


async def test_the_name_is_verified_without_keepalive(service: Service, pki: Pki) -> None:
    """rspamd 3.4 looks at it on no other connection, which is told in docs/rspamd.md."""
    with asking(service, pki.ca, keepalive=False) as rspamd:
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MX_WHITE": -0.1}
        pki.renew("other.test")
        os.kill(service.pid, signal.SIGHUP)
        await until(lambda: "reload: a new certificate" in service.log, "it has the other name")
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MXCHECK_FAIL": 0.0}
        (why,) = warnings(rspamd)
        assert "fails hostname verification" in why


async def test_rspamd_has_no_certificate_to_show(pki: Pki) -> None:
    settings = {"server": pki.settings | {"tls_client_ca": str(pki.ca)}, **TRUSTED}
    with Service(settings) as strict, asking(strict, pki.ca) as rspamd:
        assert found(await rspamd.scan(MESSAGE, **ENVELOPE)) == {"MXCHECK_FAIL": 0.0}
        await until(lambda: "failed: peer did not return a certificate" in strict.log, "the log tells why")
