"""A real service with real DNS and a real Redis in a network of its own, in which every address answers.

The mail port of all of them is one pair of sockets, which write down what was connected to: the service dials what is
the Internet's, and nothing else, whatever DNS and Redis say. `test_mode` is off.
"""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from tests.hostile.special_purpose import CONTROLS, RANGES
from tests.lab import dns_behaviours as dns
from tests.lab.dnsd import DnsServer
from tests.lab.process import missing
from tests.lab.redis import RedisServer
from tests.lab.service import Service
from tests.lab.truth.namespaces import Namespace

SMTP = 25
_IDS = count()
POISON = ("127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "fd00:ec2::254", "0.0.0.0", "::")
"""What another tenant of Redis writes as the addresses of hosts and domains."""
POISONED_CONTROL = "11.0.0.9"


@pytest.fixture(scope="module")
def everywhere() -> Iterator[Namespace]:
    """A network where every address is this host's own (AnyIP)."""
    if os.geteuid() != 0:
        missing("root")
    try:
        space = Namespace(f"mxcheck-touch-{os.getpid()}-{next(_IDS)}")
    except OSError as error:
        missing(f"the right to make network namespaces ({error})")
    try:
        space.sysctl("net.ipv6.conf.all.disable_ipv6", 0)
        space.ip("route", "add", "local", "0.0.0.0/0", "dev", "lo")
        space.ip("-6", "route", "add", "local", "::/0", "dev", "lo")
        yield space
    finally:
        space.delete()


class MailPort:
    """Whoever is connected to at port 25, by address; everybody says 220."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self._sockets = [self._listener(socket.AF_INET, "0.0.0.0"), self._listener(socket.AF_INET6, "::")]
        for listener in self._sockets:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    @staticmethod
    def _listener(family: socket.AddressFamily, address: str) -> socket.socket:
        listener = socket.socket(family)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind((address, SMTP))
        listener.listen(1024)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            self.reached.append(connection.getsockname()[0])
            connection.send(b"220 mail.test\r\n")

    def close(self) -> None:
        for listener in self._sockets:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()


def published(server: DnsServer, name: str, ip: str) -> None:
    server.set(name, "MX", dns.mx((10, f"mx.{name}")))
    # dnslib writes no IPv4-mapped address in its short form.
    answer = dns.aaaa(ipaddress.IPv6Address(ip).exploded) if ":" in ip else dns.a(ip)
    server.set(f"mx.{name}", "AAAA" if ":" in ip else "A", answer)


async def reached() -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Have everything checked; return the verdict by address, by poisoned entry, and who was connected to."""
    samples = [ip for row in RANGES for ip in row.samples]
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        async with DnsServer() as server:
            port = MailPort()
            stack.callback(port.close)
            names = {f"n{number}.test": ip for number, ip in enumerate(dict.fromkeys((*samples, *CONTROLS)))}
            for name, ip in names.items():
                published(server, name, ip)
            poisoned = {f"p{number}.test": ip for number, ip in enumerate((*POISON, POISONED_CONTROL))}
            with redis.client() as client:
                for number, (name, ip) in enumerate(poisoned.items()):
                    client.set(f"rmx:d:{name}", f"mx:mx.{name}:10" if number % 2 else f"a:v64:{ip}", ex=600)
                    client.set(f"rmx:m:mx.{name}", f"v64:{ip}", ex=600)
            settings = {
                "cache": {"url": redis.url},
                "dns": {"nameservers": [server.nameserver]},
                "mx_check": {"probe_ipv6": True, "verify_greeting": True},
            }
            service = stack.enter_context(Service(settings))
            verdicts = []
            for some in (names, poisoned):
                replies = await asyncio.gather(*(service.check({"sender": f"a@{name}"}) for name in some))
                verdicts.append(
                    {ip: reply.body["domains"][0]["verdict"] for ip, reply in zip(some.values(), replies, strict=True)}
                )
            return verdicts[0], verdicts[1], port.reached


def test_only_the_internet_is_dialled(everywhere: Namespace) -> None:
    verdicts, poisoned, dialled = everywhere.run(asyncio.run, reached())
    public = {ip for row in RANGES if row.is_of == "public" for ip in row.samples} | {*CONTROLS, POISONED_CONTROL}
    found = {ipaddress.ip_address(ip) for ip in dialled}
    plain = {getattr(ipaddress.ip_address(ip), "ipv4_mapped", None) or ipaddress.ip_address(ip) for ip in public}
    assert found == plain
    skipped = {ip for ip, verdict in verdicts.items() if verdict == "ip_class_skipped"}
    assert skipped == verdicts.keys() - public
    assert {verdict for ip, verdict in verdicts.items() if ip in public} == {"gd"}
    assert poisoned.pop(POISONED_CONTROL) == "gd"
    assert set(poisoned.values()) == {"ip_class_skipped"}
