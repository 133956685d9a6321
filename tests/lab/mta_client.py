"""A real Postfix that delivers: which peers its SMTP client talks to says what an MTA accepts as a greeting."""

import smtplib
from collections.abc import Sequence

from tests.lab.mta import Mta
from tests.lab.process import find_program, run


class PostfixClient(Mta):
    """Postfix as a context manager that relays whatever it is given; `deliver` has it connect to a scripted peer.

    Nothing is tried twice while a test runs, and who is silent is given up after `patience` seconds.
    """

    program = "postfix-client"

    def __init__(self, address: str, *, peers_port: int, patience: int = 3) -> None:
        super().__init__([address])
        self._peers_port = peers_port
        self._patience = patience

    def deliver(self, ip: str) -> None:
        """Hand in a message for 127.0.0.N, and return when it is queued."""
        with smtplib.SMTP(self.address, self.port, timeout=30) as client:
            client.sendmail("lab@client.test", [f"lab@host-{ip.rpartition('.')[2]}.test"], b"Subject: lab\r\n\r\n.\r\n")

    def _prepare(self) -> Sequence[str]:
        postfix = find_program("postfix")
        config = self.folder / "etc"
        config.mkdir()
        queue, data = self.folder / "queue", self.folder / "data"
        queue.mkdir()
        config.joinpath("transport").write_text(
            "".join(f"host-{n}.test smtp:[127.0.0.{n}]:{self._peers_port}\n" for n in range(1, 255))
        )
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": queue,
            "data_directory": data,
            "maillog_file": f"{self.folder}/mail.log",
            "maillog_file_prefixes": self.folder,
            "myhostname": "client.test",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "disable_dns_lookups": "yes",
            "smtpd_peername_lookup": "no",
            "alias_maps": "",
            "local_recipient_maps": "",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "transport_maps": f"texthash:{config}/transport",
            "smtp_helo_timeout": f"{self._patience}s",
            "smtp_quit_timeout": "1s",
            "minimal_backoff_time": "1h",
            "maximal_backoff_time": "1h",
            "bounce_queue_lifetime": "0",
            "smtp_tls_security_level": "none",
            "smtp_generic_maps": "",
            "default_process_limit": "50",
        }
        config.joinpath("main.cf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        services = {
            f"{self.address}:{self.port} inet n - n - - smtpd": (),
            "cleanup unix n - n - 0 cleanup": (),
            "qmgr unix n - n 300 1 qmgr": (),
            "smtp unix - - n - - smtp": (),
            "rewrite unix - - n - - trivial-rewrite": (),
            "bounce unix - - n - 0 bounce": (),
            "defer unix - - n - 0 bounce": (),
            "trace unix - - n - 0 bounce": (),
            "error unix - - n - - error": (),
            "retry unix - - n - - error": (),
            "anvil unix - - n - 1 anvil": (),
            "scache unix - - n - 1 scache": (),
            "proxymap unix - - n - - proxymap": (),
            "postlog unix-dgram n - n - 1 postlogd": (),
        }
        config.joinpath("master.cf").write_text("".join(f"{line}\n" for line in services))
        run([postfix, "-c", str(config), "check"], "postfix check")
        daemons = run([find_program("postconf"), "-c", str(config), "-hx", "daemon_directory"], "postconf").strip()
        return [f"{daemons}/master", "-c", str(config), "-s"]

    @property
    def log(self) -> str:
        """Postfix's mail log."""
        path = self.folder / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""
