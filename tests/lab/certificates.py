"""Certificates as an operator has them: PEM files that the settings name."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext

import trustme

NAME = "127.0.0.1"


class Pki:
    """An authority, and files of what it has issued, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.renew()

    def renew(self, name: str = NAME) -> None:
        """Write another certificate of the service, and its key."""
        leaf = self.authority.issue_cert(name)
        leaf.private_key_pem.write_to_path(str(self.key))
        self.cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))

    def of_client(self, name: str, *, expired: bool = False, of: trustme.CA | None = None) -> Path:
        """Write a certificate of a client, with its key in the same file, and return the file."""
        until = datetime.now(UTC) - timedelta(days=1) if expired else None
        path = self.folder / f"{name}.pem"
        leaf = (of or self.authority).issue_cert(name, not_after=until)
        leaf.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    def trusting(self, client: Path | None = None) -> SSLContext:
        """Return what a client has that trusts the authority, and has this certificate of its own."""
        context = SSLContext(PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca)
        if client:
            context.load_cert_chain(client)
        return context

    @property
    def settings(self) -> dict[str, str]:
        """The settings of `server` for TLS."""
        return {"tls_cert": str(self.cert), "tls_key": str(self.key)}
