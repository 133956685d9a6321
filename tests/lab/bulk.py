"""`mxcheck bulk` in a lab: its settings, its files, domains with peers, and the command itself."""

import asyncio
import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.process import Child
from tests.lab.service import COMMAND, UNLIMITED, Finished, mxcheck, write_config
from tests.lab.smtp import Peer, SmtpPeers


class BulkLab:
    """good.test greets, dead.test refuses, null.test has a Null MX, broken.test's DNS fails."""

    def __init__(self, dns_server: DnsServer, smtp_peers: SmtpPeers, folder: Path) -> None:
        self.dns = dns_server
        self.smtp = smtp_peers
        self.folder = folder
        self.output = folder / "rows"
        self.configure()
        self.domain("good.test", smtp_peers.add(scripts.good()).address)
        self.domain("dead.test", smtp_peers.add_refused())
        dns_server.set("null.test", "MX", dns.mx((0, ".")))
        dns_server.set("broken.test", "MX", dns.SERVFAIL)

    def configure(self, **sections: Any) -> None:
        """Write the settings: those of the lab, and these on top."""
        tree: dict[str, Any] = {
            "dns": {"nameservers": [self.dns.nameserver]},
            # A peer that is held must not become a timeout while a slow machine starts another process.
            "mx_check": {"test_mode": True, "port": self.smtp.port, "verify_greeting": True, "read_timeout": 60},
            "improvements": UNLIMITED,
        }
        for name, section in sections.items():
            tree[name] = {**tree.get(name, {}), **section} if isinstance(section, Mapping) else section
        self.config = write_config(self.folder, tree)

    def domain(self, name: str, address: str) -> None:
        """Give a domain one MX host with one address."""
        self.dns.set(name, "MX", dns.mx((10, f"mx.{name}")))
        self.dns.set(f"mx.{name}", "A", dns.a(address))

    def held(self, count: int, release: asyncio.Event) -> list[Peer]:
        """Add d0.test, d1.test, …, whose peers say nothing until `release`; each stands in a network of its own."""
        peers = []
        for number in range(count):
            script = (scripts.Wait(release), *scripts.good())
            peers.append(self.smtp.add(script, address=f"127.1.{number}.1"))
            self.domain(f"d{number}.test", peers[-1].address)
        return peers

    def write(self, *lines: str) -> Path:
        """Write the input and return its path."""
        path = self.folder / "input"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def words(self, *words: object) -> list[str]:
        return ["bulk", *map(str, words), "--config", str(self.config)]

    async def run(self, *words: object) -> Finished:
        return await mxcheck(*self.words(*words))

    def start(self, *words: object) -> Child:
        """Start a run in the background; its stdout and stderr go to a log."""
        child = Child("bulk", [*COMMAND, *self.words(*words)], self.folder / "log")
        child.start(lambda: True)
        return child


def verdicts(text: str) -> list[tuple[str, str]]:
    """Return (input, verdict or error) of each row of a CSV."""
    return [(row["input"], row["verdict"] or row["error"]) for row in csv.DictReader(io.StringIO(text))]
