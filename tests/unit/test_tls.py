"""What is wrong with PEM files is told by setting, file and reason; what is good is spoken."""

import ssl
import subprocess
from pathlib import Path

import pytest

from mxcheck_service import cli
from mxcheck_service.settings import ServerSettings
from mxcheck_service.targets import FAILED
from mxcheck_service.tls import Certificates, TlsError, certificates
from tests.lab.certificates import Pki
from tests.lab.process import find_program


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def problem(**server: str) -> str:
    with pytest.raises(TlsError) as caught:
        certificates(ServerSettings.model_validate(server))
    return str(caught.value)


def test_without_a_certificate_there_is_none() -> None:
    assert certificates(ServerSettings()) is None


def test_nothing_old_is_spoken_whatever_openssl_is_configured_to(pki: Pki) -> None:
    held = certificates(ServerSettings.model_validate(pki.settings))
    assert held
    assert held.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert held.context.options & ssl.OP_NO_RENEGOTIATION
    assert held.context.verify_mode is ssl.CERT_NONE


def test_key_may_be_in_the_file_of_the_certificate(pki: Pki) -> None:
    both = pki.of_client("both")
    assert certificates(ServerSettings(tls_cert=str(both)))


@pytest.mark.parametrize("setting", ["tls_cert", "tls_key", "tls_client_ca"])
def test_file_that_cannot_be_read(pki: Pki, setting: str) -> None:
    told = problem(**pki.settings | {setting: "/nonexistent/x.pem"})
    assert told == f"server.{setting}: /nonexistent/x.pem cannot be read: No such file or directory"
    told = problem(**pki.settings | {setting: str(pki.folder)})
    assert told == f"server.{setting}: {pki.folder} cannot be read: Is a directory"


@pytest.mark.parametrize("setting", ["tls_cert", "tls_key", "tls_client_ca"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0 no text", b"-----BEGIN CERTIFICATE-----\nMIIB"])
def test_file_that_is_not_pem(pki: Pki, setting: str, content: bytes) -> None:
    broken = pki.folder / "broken"
    broken.write_bytes(content)
    assert problem(**pki.settings | {setting: str(broken)}).startswith(f"server.{setting}: {broken} is not PEM: ")


@pytest.mark.parametrize("setting", ["tls_cert", "tls_key", "tls_client_ca"])
def test_pem_with_nonsense_in_it(pki: Pki, setting: str) -> None:
    broken = pki.folder / "broken"
    kind = "EC PRIVATE KEY" if setting == "tls_key" else "CERTIFICATE"
    broken.write_text(f"Jörg's\n-----BEGIN {kind}-----\nbm9uc2Vuc2U=\n-----END {kind}-----\n")
    told = problem(**pki.settings | {setting: str(broken)})
    assert told.startswith(f"server.{setting}: {broken} ")


def test_key_of_another_certificate(pki: Pki) -> None:
    old = pki.key.rename(pki.folder / "old.pem")
    pki.renew()
    told = problem(tls_cert=str(pki.cert), tls_key=str(old))
    assert told == f"server.tls_key: {old} is not the key of the certificate in {pki.cert}"


@pytest.mark.parametrize("form", [["pkcs8", "-topk8", "-v2", "aes-256-cbc"], ["ec", "-aes256"]])
def test_key_that_needs_a_passphrase_is_no_question_on_the_terminal(pki: Pki, form: list[str]) -> None:
    locked = pki.folder / "locked"
    openssl = [find_program("openssl"), *form, "-in", str(pki.key), "-out", str(locked), "-passout", "pass:sesame"]
    subprocess.run(openssl, check=True, capture_output=True)
    assert problem(**pki.settings | {"tls_key": str(locked)}).startswith(f"server.tls_key: {locked} is encrypted")


def test_weak_key(pki: Pki) -> None:
    weak, key = pki.folder / "weak.pem", pki.folder / "weak.key"
    openssl = [find_program("openssl"), "req", "-x509", "-newkey", "rsa:512", "-nodes", "-subj", "/CN=x"]
    subprocess.run([*openssl, "-keyout", str(key), "-out", str(weak)], check=True, capture_output=True)
    assert "ee key too small" in problem(tls_cert=str(weak), tls_key=str(key))


def test_authority_that_is_none(pki: Pki) -> None:
    told = problem(**pki.settings | {"tls_client_ca": str(pki.cert)})
    assert told.startswith(f"server.tls_client_ca: {pki.cert} holds no certificate of an authority")


def test_what_is_the_same_is_not_new(pki: Pki) -> None:
    held = Certificates(ServerSettings.model_validate(pki.settings))
    first = held.context
    assert held.renew() == (False, None)
    assert held.context is first
    pki.renew()
    assert held.renew() == (True, None)
    assert held.context is not first


def test_config_check_looks_at_them(pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    config = pki.folder / "config.yaml"
    config.write_text(f"server: {{tls_cert: {pki.cert}, tls_key: {pki.cert}}}")
    assert cli.main(["config", "check", "--config", str(config)]) == FAILED
    told = capsys.readouterr().err
    assert told == f"mxcheck: server.tls_key: {pki.cert} is not PEM: it holds no `BEGIN PRIVATE KEY`\n"
