"""Truth about mail domains: a real Postfix on our side tries to deliver a message to each.

It is given as much patience as the check (`PATIENCE`), and more tries than hosts have moods: a domain counts as
deliverable when a message is taken within `TRIES_SECONDS`, in which a message that was deferred is tried again every
`_BACKOFF` seconds. Within one try every address is tried: what Postfix stops at by default, five addresses and two
conversations (smtp_mx_address_limit, smtp_mx_session_limit), is its own and no rule. All our addresses are its own, as
by default (inet_interfaces), 127.0.0.1 and ::1 among them.

A message that is still deferred in the end because the domain's DNS fails for now tells nothing, as Postfix would go on
for days; one that is deferred for any other reason was not taken by a host that was reached, or reached none.
"""

import re
import shutil
import smtplib
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.lab.process import Child, find_program, run
from tests.lab.sockets import accepts_connections
from tests.lab.truth.kind import OurSide, Truth
from tests.lab.truth.namespaces import OURS, Namespace
from tests.lab.waiting import StillWaiting, poll_until

PATIENCE: Final = 40
"""Seconds for a greeting. Five minutes is what RFC 5321 asks for; the slowest host here takes 30 seconds."""
TRIES_SECONDS: Final = 120.0
_BACKOFF: Final = 12
_CONNECT: Final = 3
_PORT: Final = 10025
_PROTOCOLS: Final = {OurSide.DUAL_STACK: "all", OurSide.V6_ONLY: "ipv6"}
_OWN: Final = {OurSide.V6_ONLY: "::1"}
"""Where Postfix takes messages, if not at 127.0.0.1: an address of the one family it is to have."""
_STATUS = re.compile(r"/(?:smtp|error)\[\d+\]: \w+: to=<[^@>]*@([^>]*)>, .*?\bstatus=(\w+) \((.*)\)$", re.MULTILINE)
_DNS_FAILS_FOR_NOW = re.compile(r"Name service error for name=\S+ type=\w+: Host not found, try again")


def statuses(log: str) -> dict[str, tuple[str, str]]:
    """Return (status, reason) of the last try, by the recipient's domain in lower case; `sent` stays."""
    found: dict[str, tuple[str, str]] = {}
    for domain, status, reason in _STATUS.findall(log):
        if found.get(domain.lower(), ("",))[0] != "sent":
            found[domain.lower()] = (status, reason)
    return found


def truth(status: str, reason: str) -> Truth:
    """Return what a status tells."""
    if status == "sent":
        return Truth.YES
    if status == "deferred" and _DNS_FAILS_FOR_NOW.search(reason):
        return Truth.UNKNOWABLE
    return Truth.NO


class Deliverer:
    """The Postfix, as a context manager; to be entered inside `here`, where resolv.conf is written already."""

    def __init__(self, here: Namespace, side: OurSide) -> None:
        self._here = here
        self._side = side
        self._own = _OWN.get(side, "127.0.0.1")

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="mxcheck-truth-")
        self.folder = Path(self._folder.name)
        self.folder.chmod(0o755)
        try:
            command = self._here.command(*self._prepare())
            self._child = Child("postfix", command, self.folder / "stdio.log")
            self._child.start(lambda: accepts_connections(self._own, _PORT), within=30.0)
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()
        self._folder.cleanup()

    def deliver(self, domains: Iterable[str], within: float = TRIES_SECONDS) -> Mapping[str, tuple[str, str]]:
        """Try to deliver to user@ each domain, for so many seconds; return (status, reason) by domain, as given.

        `refused` is a domain to which Postfix will not even take a message.
        """
        wanted = list(domains)
        told = {domain: self._submit(domain) for domain in wanted}
        open_ones = {domain.lower() for domain, (status, _) in told.items() if status == "queued"}

        def settled() -> bool:
            found = statuses(self.log)
            return all(found.get(domain, ("",))[0] in ("sent", "bounced") for domain in open_ones)

        with suppress(StillWaiting):  # those that are not have had their time
            poll_until(settled, within, "every message delivered or returned")
        found = statuses(self.log)
        return {domain: found.get(domain.lower(), told[domain]) for domain in wanted}

    @property
    def log(self) -> str:
        """Postfix's mail log."""
        path = self.folder / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _submit(self, domain: str) -> tuple[str, str]:
        recipient = f"user@{domain}"
        with smtplib.SMTP(self._own, _PORT, timeout=30) as client:
            client.ehlo("lab.test")
            # From nobody, so that nothing is returned to anybody.
            client.mail("", [] if domain.isascii() else ["SMTPUTF8"])
            client.command_encoding = "utf-8"
            code, text = client.rcpt(recipient)
            if code != 250:
                return "refused", f"{code} {text.decode(errors='replace')}"
            code, text = client.data(b"Subject: truth\r\n\r\nCan this be delivered?\r\n")
            return ("queued" if code == 250 else "refused"), f"{code} {text.decode(errors='replace')}"

    def _prepare(self) -> list[str]:
        postfix = find_program("postfix")
        config, queue, data = (self.folder / name for name in ("etc", "queue", "data"))
        for folder in (config, queue, data):
            folder.mkdir()
        shutil.chown(data, "postfix")
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": queue,
            "data_directory": data,
            "maillog_file": f"{self.folder}/mail.log",
            "maillog_file_prefixes": self.folder,
            "myhostname": "sender.truth.example",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8, [::1]/128",
            "inet_interfaces": "all",
            "inet_protocols": _PROTOCOLS.get(self._side, "ipv4"),
            "smtp_bind_address": OURS[0],
            "smtp_bind_address6": OURS[1],
            "alias_maps": "",
            "local_recipient_maps": "",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_peername_lookup": "no",
            "smtp_mx_address_limit": "0",
            "smtp_mx_session_limit": "0",
            "smtp_connect_timeout": f"{_CONNECT}s",
            "smtp_helo_timeout": f"{PATIENCE}s",
            "smtp_mail_timeout": f"{PATIENCE}s",
            "smtp_rcpt_timeout": f"{PATIENCE}s",
            "minimal_backoff_time": f"{_BACKOFF}s",
            "maximal_backoff_time": f"{_BACKOFF}s",
            "queue_run_delay": "4s",
            "smtp_tls_security_level": "none",
        }
        config.joinpath("main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        config.joinpath("master.cf").write_text(
            "\n".join(
                [
                    f"[{self._own}]:{_PORT} inet n - n - - smtpd",
                    "smtp unix - - n - 400 smtp",
                    "error unix - - n - - error",
                    "retry unix - - n - - error",
                    "cleanup unix n - n - 0 cleanup",
                    "qmgr unix n - n 300 1 qmgr",
                    "rewrite unix - - n - - trivial-rewrite",
                    "bounce unix - - n - 0 bounce",
                    "defer unix - - n - 0 bounce",
                    "trace unix - - n - 0 bounce",
                    "verify unix - - n - 1 verify",
                    "anvil unix - - n - 1 anvil",
                    "scache unix - - n - 1 scache",
                    "proxymap unix - - n - - proxymap",
                    "postlog unix-dgram n - n - 1 postlogd",
                ]
            )
            + "\n"
        )
        run([postfix, "-c", str(config), "check"], "postfix check")
        daemons = run([find_program("postconf"), "-c", str(config), "-hx", "daemon_directory"], "postconf").strip()
        return [f"{daemons}/master", "-c", str(config), "-s"]
