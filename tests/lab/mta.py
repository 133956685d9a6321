"""Real MTAs, to see real greetings and to deliver to: Postfix, with or without postscreen, Exim, OpenSMTPD.

They take mail from anybody for anybody and throw it away. They run from folders of their own, leave the machine's
configuration alone and look no name up. They need root: Postfix's master refuses to run without, and all of them give
their privileges up by themselves.
"""

import os
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.process import Child, ComponentFailed, find_program, missing, run
from tests.lab.sockets import accepts_connections, free_port

# .ci/apt-install unpacks these here: Debian does not let them be installed next to Postfix.
_EXIM_FOLDER = "/opt/mxcheck-lab/exim/usr/sbin"
_OPENSMTPD_ROOT = Path("/opt/mxcheck-lab/opensmtpd")


class Mta:
    """What all have in common: local addresses, a folder that others may enter, one child process."""

    program: str
    log_file = "stdio.log"

    def __init__(self, addresses: Sequence[str], port: int | None = None) -> None:
        self.addresses = tuple(addresses)
        self.address = self.addresses[0]
        self.port = free_port() if port is None else port
        self.hostname = f"{self.program}.lab.test"

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            missing("root")
        self._folder = tempfile.TemporaryDirectory(prefix=f"mxcheck-{self.program}-")
        self.folder = Path(self._folder.name)
        self.folder.chmod(0o755)  # the daemons that gave up root look for their files here
        try:
            self._child = Child(self.program, self._prepare(), self.folder / "stdio.log")
            self._child.start(self._ready, within=30.0)
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()
        self._folder.cleanup()

    def _prepare(self) -> Sequence[str]:
        """Write the configuration and return the command."""
        raise NotImplementedError

    def _ready(self) -> bool:
        return all(accepts_connections(address, self.port) for address in self.addresses)

    @property
    def log(self) -> str:
        """What it wrote to its log."""
        path = self.folder / self.log_file
        return path.read_text(errors="replace") if path.exists() else ""


class Postfix(Mta):
    """Postfix as a context manager: greets at once, or, with `greet_wait`, after so many seconds.

    Then postscreen says a line of `220-` at once, and smtpd `220 ` after the wait. postscreen keeps no memory of
    clients, so that every connection has to wait, and does nothing to a client that talks too soon but note it in
    the log. With `denies` it has every client on its denylist, and drops them.
    """

    program = "postfix"
    log_file = "mail.log"

    def __init__(
        self, addresses: Sequence[str], port: int | None = None, *, greet_wait: int | None = None, denies: bool = False
    ) -> None:
        super().__init__(addresses, port)
        self._greet_wait = greet_wait
        self._access = "static:reject" if denies else ""

    def _prepare(self) -> Sequence[str]:
        postfix = find_program("postfix")
        self._config = self.folder / "etc"
        self._config.mkdir()
        queue, data = self.folder / "queue", self.folder / "data"
        queue.mkdir()
        self._config.joinpath("main.cf").write_text(
            "\n".join(
                [
                    "compatibility_level = 3.6",
                    f"queue_directory = {queue}",
                    f"data_directory = {data}",
                    f"maillog_file = {self.folder}/{self.log_file}",
                    f"maillog_file_prefixes = {self.folder}",
                    f"myhostname = {self.hostname}",
                    "mydestination =",
                    "mynetworks = 0.0.0.0/0 [::]/0",
                    "inet_interfaces = 127.0.0.1",  # where it listens stands in master.cf
                    "inet_protocols = all",
                    "disable_dns_lookups = yes",
                    "smtpd_peername_lookup = no",
                    "alias_maps =",
                    "local_recipient_maps =",
                    "local_transport = discard:",
                    "default_transport = discard:",
                    # It does not start without a word that turns somebody away.
                    "smtpd_relay_restrictions = permit_mynetworks, reject",
                    "smtpd_client_connection_count_limit = 0",
                    "smtpd_banner = $myhostname ESMTP",
                    f"postscreen_greet_wait = {self._greet_wait or 0}s",
                    "postscreen_greet_ttl = 1s",
                    "postscreen_cache_map =",
                    f"postscreen_access_list = {self._access}",
                    "postscreen_denylist_action = drop",
                ]
            )
            + "\n"
        )
        self._config.joinpath("master.cf").write_text(
            "\n".join(
                [
                    *self._listeners(),
                    "smtpd pass - - n - - smtpd",
                    "tlsproxy unix - - n - 0 tlsproxy",
                    "dnsblog unix - - n - 0 dnsblog",
                    "cleanup unix n - n - 0 cleanup",
                    "qmgr unix n - n 300 1 qmgr",
                    "rewrite unix - - n - - trivial-rewrite",
                    "bounce unix - - n - 0 bounce",
                    "discard unix - - n - - discard",
                    "anvil unix - - n - 1 anvil",
                    "proxymap unix - - n - - proxymap",
                    "postlog unix-dgram n - n - 1 postlogd",
                ]
            )
            + "\n"
        )
        run([postfix, "-c", str(self._config), "check"], "postfix check")
        daemons = run(
            [find_program("postconf"), "-c", str(self._config), "-hx", "daemon_directory"], "postconf"
        ).strip()
        return [f"{daemons}/master", "-c", str(self._config), "-s"]

    def _listeners(self) -> list[str]:
        service = "- smtpd" if self._greet_wait is None else "1 postscreen"
        return [f"{bracketed(address)}:{self.port} inet n - n - {service}" for address in self.addresses]


def bracketed(address: str) -> str:
    """An address as it stands in front of `:port`."""
    return f"[{address}]" if ":" in address else address


class Exim(Mta):
    """Exim as a context manager: greets at once, and rejects a client that talks before the greeting."""

    program = "exim"
    log_file = "spool/log/mainlog"

    def _prepare(self) -> Sequence[str]:
        exim = find_program("exim4", _EXIM_FOLDER)
        config = self.folder / "exim.conf"
        config.write_text(
            "\n".join(
                [
                    f"primary_hostname = {self.hostname}",
                    f"spool_directory = {self.folder}/spool",
                    f"log_file_path = {self.folder}/spool/log/%slog",
                    f"pid_file_path = {self.folder}/exim.pid",
                    "smtp_banner = $primary_hostname ESMTP Exim $version_number",
                    "local_interfaces = <; " + " ; ".join(self.addresses),
                    f"daemon_smtp_ports = {self.port}",
                    "host_lookup =",
                    "helo_lookup_domains =",
                    "rfc1413_hosts =",
                    "tls_advertise_hosts =",
                    "keep_environment =",
                    "smtp_accept_max = 0",
                    "allow_domain_literals = true",
                    "acl_smtp_rcpt = discard",
                ]
            )
            + "\n"
        )
        config.chmod(0o644)
        return [exim, "-C", str(config), "-bdf"]


class OpenSmtpd(Mta):
    """OpenSMTPD as a context manager: greets at once.

    Its paths are compiled in, and so are its users' names. So it gets a mount namespace in which folders of its own
    lie over the machine's, /etc with its users among them.
    """

    program = "opensmtpd"

    def _prepare(self) -> Sequence[str]:
        if not (_OPENSMTPD_ROOT / "usr/sbin/smtpd").exists():
            missing(self.program)
        unshare = find_program("unshare")
        try:
            run([unshare, "--mount", "true"], "unshare")
        except ComponentFailed as error:
            missing(f"the right to mount ({error})")
        places = {
            "/etc": self.folder / "etc",
            "/run": self.folder / "run",
            "/var/lib": self.folder / "lib",
            "/var/spool": self.folder / "spool",
            "/usr/libexec": _OPENSMTPD_ROOT / "usr/libexec",
            "/usr/sbin": _OPENSMTPD_ROOT / "usr/sbin",
        }
        (self.folder / "run").mkdir()
        (self.folder / "spool").mkdir()
        (self.folder / "lib/opensmtpd/empty").mkdir(parents=True)
        self._write_etc(self.folder / "etc")
        mounts = [f"mount --bind {shlex.quote(str(ours))} {theirs}" for theirs, ours in places.items()]
        return [unshare, "--mount", "sh", "-c", " && ".join([*mounts, "exec /usr/sbin/smtpd -d"])]

    def _write_etc(self, etc: Path) -> None:
        users = {"root": 0, "opensmtpd": 64001, "opensmtpq": 64002, "nobody": 65534}
        listeners = [f"listen on {address} port {self.port} hostname {self.hostname}" for address in self.addresses]
        files = {
            "passwd": [f"{user}:x:{number}:{number}::/:/bin/sh" for user, number in users.items()],
            "group": [f"{user}:x:{number}:" for user, number in users.items()],
            "nsswitch.conf": ["hosts: files"],
            # OpenSMTPD's own resolver knows this word, and wants the name of each client before it greets.
            "resolv.conf": ["lookup file"],
            "mailname": [self.hostname],
            "smtpd.conf": [
                *listeners,
                'action "discard" mda "cat >/dev/null" virtual { "@" = nobody }',
                'match from any for any action "discard"',
            ],
        }
        etc.mkdir()
        for name, lines in files.items():
            (etc / name).write_text("\n".join(lines) + "\n")
