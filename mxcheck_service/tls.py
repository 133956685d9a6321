"""TLS for those who ask: a context made of PEM files, and made anew when these have changed."""

import hashlib
import re
import ssl
from pathlib import Path
from typing import Final

from mxcheck_service.settings import ServerSettings

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_KEY: Final = re.compile(r"-----BEGIN ((?:[A-Z]+ )?)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL)


class TlsError(Exception):
    """A certificate, key or authority is no use; says which setting, which file, and why."""


class Certificates:
    """What new connections are met with: `context`. Those that are there already keep the one they began with."""

    def __init__(self, server: ServerSettings) -> None:
        """Read the files; raises TlsError."""
        self._server = server
        self.context, self._digest = _made(server)

    def renew(self) -> tuple[bool, str | None]:
        """Read the files again; return whether they are others than before, and what is wrong with them.

        A context of its own is made of them, since one that fails to load a key has lost its certificate already.
        """
        try:
            context, digest = _made(self._server)
        except TlsError as error:
            return False, f"{error} (the last good certificate stays in use)"
        changed, self._digest = digest != self._digest, digest
        if changed:
            self.context = context
        return changed, None


def certificates(server: ServerSettings) -> Certificates | None:
    """Return what the settings name, None when they name no certificate; raises TlsError."""
    return None if server.tls_cert is None else Certificates(server)


def _made(server: ServerSettings) -> tuple[ssl.SSLContext, bytes]:
    """Return a context, and a digest of what it was made of."""
    assert server.tls_cert is not None
    key_setting, key_file = ("tls_key", server.tls_key) if server.tls_key else ("tls_cert", server.tls_cert)
    chain = _text("tls_cert", server.tls_cert)
    key = _text(key_setting, key_file)
    authority = _text("tls_client_ca", server.tls_client_ca) if server.tls_client_ca else ""
    if not _CERTIFICATE.search(chain):
        raise _error("tls_cert", server.tls_cert, "is not PEM: it holds no `BEGIN CERTIFICATE`")
    if not (found := _KEY.search(key)):
        raise _error(key_setting, key_file, "is not PEM: it holds no `BEGIN PRIVATE KEY`")
    if found[1] == "ENCRYPTED " or "Proc-Type: 4,ENCRYPTED" in found[0]:
        raise _error(key_setting, key_file, "is encrypted, and nobody is there to type its passphrase: store it plain")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An encrypted key that was not recognised must not ask for its passphrase on the terminal.
        context.load_cert_chain(server.tls_cert, key_file, password=lambda: "")
    except OSError as error:  # which SSLError is
        raise _blame(error, server.tls_cert, chain, key_setting, key_file) from None
    if server.tls_client_ca:
        _trust(context, server.tls_client_ca, authority)
    return context, hashlib.sha256("\0".join((chain, key, authority)).encode("utf-8", "surrogateescape")).digest()


def _trust(context: ssl.SSLContext, file: str, text: str) -> None:
    """Let in only those who have a certificate of an authority in the text."""
    try:
        context.load_verify_locations(cadata="\n".join(_CERTIFICATE.findall(text)))
    except (ssl.SSLError, ValueError) as error:
        why = "is not PEM: it holds no certificate that can be read"
        raise _error("tls_client_ca", file, f"{why} ({reason(error)})") from None
    if not context.get_ca_certs():
        raise _error("tls_client_ca", file, "holds no certificate of an authority: nobody could have one of theirs")
    context.verify_mode = ssl.CERT_REQUIRED


def _text(setting: str, file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise _error(setting, file, f"cannot be read: {error.strerror or error}") from None


def _blame(error: OSError, cert_file: str, chain: str, key_setting: str, key_file: str) -> TlsError:
    """Return what is wrong with a pair that OpenSSL does not take: it does not say which of the two it is."""
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return _error(key_setting, key_file, f"is not the key of the certificate in {cert_file}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata="\n".join(_CERTIFICATE.findall(chain)))
    except (ssl.SSLError, ValueError):
        return _error("tls_cert", cert_file, f"holds a certificate that cannot be read ({reason(error)})")
    return _error(key_setting, key_file, f"cannot be used ({reason(error)})")


def reason(error: Exception) -> str:
    """Return OpenSSL's reason in words, such as `ee key too small`; they are of its own, not the peer's."""
    given = getattr(error, "reason", None)
    return str(given).lower().replace("_", " ") if given else str(error)


def _error(setting: str, file: str, why: str) -> TlsError:
    return TlsError(f"server.{setting}: {file} {why}")
