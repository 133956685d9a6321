"""With an authority for clients, nobody else gets as far as HTTP."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from mxcheck_service import tls
from mxcheck_service.settings import ServerSettings
from tests.hostile.test_access_tls import healthy
from tests.lab.certificates import Pki
from tests.lab.process import find_program
from tests.lab.service import Service


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def service(pki: Pki) -> Iterator[Service]:
    with Service({"server": pki.settings | {"tls_client_ca": str(pki.ca)}}) as service:
        yield service


def test_who_has_a_certificate_of_the_authority_gets_in(service: Service, pki: Pki) -> None:
    client = pki.of_client("rspamd")
    assert healthy(service, pki.trusting(client))[0].startswith(b"HTTP/1.1 200 ")
    curl = [find_program("curl"), "-sS", "--max-time", "10", "--cacert", str(pki.ca), f"{service.url}/healthz"]
    assert subprocess.run([*curl, "--cert", str(client)], capture_output=True, check=True).stdout
    # Not even what is open to everybody who gets in.
    assert subprocess.run(curl, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("who", ["nobody", "expired", "of another authority"])
def test_everybody_else_is_told_nothing(service: Service, pki: Pki, version: ssl.TLSVersion, who: str) -> None:
    others = trustme.CA() if who == "of another authority" else None
    client = None if who == "nobody" else pki.of_client("stranger", expired=who == "expired", of=others)
    context = pki.trusting(client)
    context.minimum_version = context.maximum_version = version
    reply = b""
    # With TLS 1.3 the client is done before the service has seen the certificate, and may get an orderly end.
    with suppress(ssl.SSLError, ConnectionError):
        reply, _ = healthy(service, context)
    assert reply == b""


def test_authority_that_is_taken_back(tmp_path: Path) -> None:
    """A new context has nothing of the former one, whose authorities could only have grown."""
    pki, others = Pki(tmp_path), trustme.CA()
    held = tls.Certificates(ServerSettings.model_validate(pki.settings | {"tls_client_ca": str(pki.ca)}))
    before = held.context.get_ca_certs(binary_form=True)
    others.cert_pem.write_to_path(str(pki.ca))
    assert held.renew() == (True, None)
    after = held.context.get_ca_certs(binary_form=True)
    assert len(before) == len(after) == 1
    assert before != after
