"""Hostile messages through a real rspamd with the plugin and a real service: symbols, options and log of rspamd."""

import re
from pathlib import Path

import dnslib

from tests.hostile.hostile_names import NAMES, NO_NAMES
from tests.hostile.test_injection_service import HOSTILE_LABELS
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.rspamd_plugin import found, rspamd_with_plugin, warnings, worker_pid
from tests.lab.service import Service
from tests.lab.smtp import SmtpPeers

PLAIN = re.compile(r"[\x20-\x7e]*")
OURS = re.compile(r"(MIME_FROM_|REPLYTO_)?MX_")


async def test_nothing_but_names_and_addresses_becomes_an_option(
    dns_server: DnsServer, smtp_peers: SmtpPeers, tmp_path: Path
) -> None:
    banner = scripts.banner(b"554 \x1b[31m\r\n")
    for name, play in (("good.test", scripts.good()), ("banner.test", banner)):
        dns_server.set(name, "MX", dns.mx((10, f"mx.{name}")))
        dns_server.set(f"mx.{name}", "A", dns.a(smtp_peers.add(play).address))
    for number, label in enumerate(HOSTILE_LABELS):
        rows = tuple(dns.Row(dnslib.MX(target, 10)) for target in (dnslib.DNSLabel([label, b"test"]), "mx.good.test"))
        dns_server.set(f"evil{number}.test", "MX", dns.Answer(rows))
    names = [*(f"evil{number}.test" for number in range(len(HOSTILE_LABELS))), *NO_NAMES, *NAMES, "banner.test"]
    settings = {
        "dns": {"nameservers": [dns_server.nameserver]},
        "mx_check": {"test_mode": True, "port": smtp_peers.port, "verify_greeting": True},
    }
    with Service(settings) as service, rspamd_with_plugin({"url": service.url, "timeout": 5.0}) as rspamd:
        pid = worker_pid(rspamd)
        options: set[str] = set()
        for name in names:
            text = name.encode("utf-8", "surrogatepass")[:8000]
            line = re.sub(rb"[\r\n\0]+", b" ", text)
            message = b"From: x <a@%s>\nReply-To: b@%s\nTo: c@d.test\nSubject: s\n\nhi\n" % (text, line)
            # What an SMTP session lets through, in a header of HTTP.
            envelope = line.decode() if PLAIN.fullmatch(line.decode("latin-1")) else "x.test"
            reply = await rspamd.scan(message, sender=f"a@{envelope}", helo=envelope, ip="198.51.100.7")
            symbols = {key: value for key, value in reply["symbols"].items() if OURS.match(key)}
            assert symbols.keys() <= {key for key in symbols if re.fullmatch(r"[A-Z_]+", key)}
            for symbol in symbols.values():
                options |= set(symbol.get("options", ()))
        assert {"mx.good.test", "mx.banner.test", "554"} <= options
        assert all(re.fullmatch(r"[a-z0-9._-]{1,256}", option) for option in options), options
        good = await rspamd.scan(b"From: a@good.test\nTo: c@d.test\n\nhi\n", sender="a@good.test", ip="198.51.100.7")
        assert found(good)["MX_GOOD"] < 0
        assert worker_pid(rspamd) == pid
        assert warnings(rspamd) == []
        about_us = [line for line in rspamd.log.split("\n") if "mxcheck" in line]
        assert all(PLAIN.fullmatch(line) for line in about_us)
