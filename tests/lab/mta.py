"""Real MTAs, to see real greetings: Postfix with postscreen in front, and Exim.

Both run from folders of their own and leave the machine's configuration alone. They need root: Postfix's
master refuses to run without, and both give their privileges up by themselves.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.process import Child, find_program, missing, run
from tests.lab.sockets import accepts_connections, free_port

# .ci/apt-install unpacks Exim here: Debian does not let it be installed next to Postfix.
_EXIM_FOLDER = "/opt/mxcheck-lab/exim/usr/sbin"


class Mta:
    """What both have in common: an address, a folder that others may enter, one child process."""

    program: str

    def __init__(self, address: str, port: int | None) -> None:
        self.address = address
        self.port = free_port() if port is None else port

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            missing("root")
        self._folder = tempfile.TemporaryDirectory(prefix=f"mxcheck-{self.program}-")
        self.folder = Path(self._folder.name)
        self.folder.chmod(0o755)  # the daemons that gave up root look for their files here
        try:
            self._child = Child(self.program, self._prepare(), self.folder / "stdio.log")
            self._child.start(lambda: accepts_connections(self.address, self.port), within=30.0)
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

    @property
    def log(self) -> str:
        """What it wrote to its log."""
        return self._child.log


class Postfix(Mta):
    """Postfix as a context manager: postscreen greets with a `220-` teaser, and smtpd with `220 ` after `greet_wait`.

    postscreen keeps no memory of clients, so that every connection has to wait, and does nothing to a client
    that talks too soon but note it in the log. With `denies` it has every client on its denylist, and drops them.
    """

    program = "postfix"

    def __init__(self, address: str, port: int | None = None, *, greet_wait: int = 2, denies: bool = False) -> None:
        super().__init__(address, port)
        self.hostname = "postfix.lab.test"
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
                    f"maillog_file = {self.folder}/mail.log",
                    f"maillog_file_prefixes = {self.folder}",
                    f"myhostname = {self.hostname}",
                    "mydestination =",
                    "mynetworks =",
                    "inet_interfaces = 127.0.0.1",
                    "inet_protocols = ipv4",
                    "disable_dns_lookups = yes",
                    "smtpd_peername_lookup = no",
                    "alias_maps =",
                    "local_recipient_maps =",
                    "smtpd_relay_restrictions = reject",
                    "smtpd_banner = $myhostname ESMTP",
                    f"postscreen_greet_wait = {self._greet_wait}s",
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
                    f"{self.address}:{self.port} inet n - n - 1 postscreen",
                    "smtpd pass - - n - - smtpd",
                    "tlsproxy unix - - n - 0 tlsproxy",
                    "dnsblog unix - - n - 0 dnsblog",
                    "cleanup unix n - n - 0 cleanup",
                    "qmgr unix n - n 300 1 qmgr",
                    "rewrite unix - - n - - trivial-rewrite",
                    "bounce unix - - n - 0 bounce",
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

    @property
    def log(self) -> str:
        """Postfix's mail log."""
        path = self.folder / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""


class Exim(Mta):
    """Exim as a context manager: greets at once, and rejects a client that talks before the greeting."""

    program = "exim"

    def __init__(self, address: str, port: int | None = None) -> None:
        super().__init__(address, port)
        self.hostname = "exim.lab.test"

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
                    "local_interfaces = " + self.address,
                    f"daemon_smtp_ports = {self.port}",
                    "host_lookup =",
                    "rfc1413_hosts =",
                    "tls_advertise_hosts =",
                    "keep_environment =",
                    "queue_only = true",
                ]
            )
            + "\n"
        )
        config.chmod(0o644)
        return [exim, "-C", str(config), "-bdf"]
