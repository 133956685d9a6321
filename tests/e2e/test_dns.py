"""The aiodns adapter against a DNS server that does what it is told, and against a real one."""

import asyncio
import os
import resource
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pycares
import pytest

from mxcheck_service.ares import LoopDriven
from mxcheck_service.core.model import Family, MxHost
from mxcheck_service.dns import AresResolver
from mxcheck_service.ports import DnsFailure, Found, NotFound
from tests.lab import dns_behaviours as dns
from tests.lab.dns_behaviours import Behaviour
from tests.lab.dnsd import DnsServer
from tests.lab.knot import KnotServer
from tests.lab.process import find_program


@pytest.fixture
async def resolver(dns_server: DnsServer) -> AsyncIterator[AresResolver]:
    built = AresResolver([dns_server.nameserver], timeout=0.5, tries=2)
    yield built
    await built.close()


MX_ANSWERS: dict[str, tuple[Behaviour, object]] = {
    "several": (
        dns.mx((20, "b.test."), (10, "a.test.")),
        {MxHost(20, "b.test"), MxHost(10, "a.test")},
    ),
    "Null MX": (dns.mx((0, ".")), {MxHost(0, "")}),
    "case is kept": (dns.mx((10, "MX.Test.")), {MxHost(10, "MX.Test")}),
    "mixed case": (dns.MixedCase(dns.mx((10, "mx.test."))), "one"),
    "no record": (dns.NODATA, NotFound(nxdomain=False)),
    "no name": (dns.NXDOMAIN, NotFound(nxdomain=True)),
    "SERVFAIL": (dns.SERVFAIL, DnsFailure("SERVFAIL")),
    "REFUSED": (dns.REFUSED, DnsFailure("REFUSED")),
    "NOTIMP": (dns.NOTIMP, DnsFailure("NOTIMP")),
    "FORMERR": (dns.FORMERR, DnsFailure("FORMERR")),
    "no answer": (dns.DROP, DnsFailure("TIMEOUT")),
    "garbage": (dns.GARBAGE, DnsFailure),
    "a wrong transaction id": (dns.WrongId(dns.mx((10, "evil.test."))), DnsFailure("TIMEOUT")),
    "an answer to another question": (dns.OtherQuestion(dns.mx((10, "evil.test.")), "other.test"), DnsFailure),
    "CNAME to the records": (dns.cname_chain("b.test.", end=dns.mx((10, "mx.test."))), {MxHost(10, "mx.test")}),
    "nothing but CNAMEs": (dns.cname_chain("b.test.", "c.test."), NotFound(nxdomain=False)),
    "a CNAME loop": (dns.cname_loop("x.test.", "y.test."), NotFound(nxdomain=False)),
    "truncated, whole over TCP": (dns.Truncated(dns.mx((10, "mx.test."))), {MxHost(10, "mx.test")}),
    "truncated, TCP closed": (dns.Truncated(dns.mx((10, "mx.test.")), dns.OverTcp.CLOSE), DnsFailure),
    "fifty records": (dns.mx(*((n, f"mx{n}.test.") for n in range(50))), {MxHost(n, f"mx{n}.test") for n in range(50)}),
}


@pytest.mark.parametrize("name", MX_ANSWERS)
async def test_each_answer_to_an_mx_question_has_its_meaning(
    name: str, resolver: AresResolver, dns_server: DnsServer
) -> None:
    behaviour, expected = MX_ANSWERS[name]
    dns_server.set("x.test", "MX", behaviour)
    answer = await resolver.mx("x.test")
    if expected == "one":
        assert isinstance(answer, Found)
        assert [record.exchange.lower() for record in answer.records] == ["mx.test"]
    elif isinstance(expected, set):
        assert isinstance(answer, Found)
        assert set(answer.records) == expected
    elif isinstance(expected, type):
        assert isinstance(answer, expected)
    else:
        assert answer == expected


async def test_addresses_of_both_families(resolver: AresResolver, dns_server: DnsServer) -> None:
    dns_server.set("x.test", "A", dns.a("192.0.2.1", "192.0.2.2"))
    dns_server.set("x.test", "AAAA", dns.aaaa("2001:db8::1"))
    v4 = await resolver.addresses("x.test", Family.V4)
    assert isinstance(v4, Found)
    assert sorted(v4.records) == ["192.0.2.1", "192.0.2.2"]
    assert await resolver.addresses("x.test", Family.V6) == Found(("2001:db8::1",))


async def test_addresses_behind_a_cname_are_addresses_only(resolver: AresResolver, dns_server: DnsServer) -> None:
    dns_server.set("x.test", "A", dns.cname_chain("y.test.", end=dns.a("192.0.2.1")))
    assert await resolver.addresses("x.test", Family.V4) == Found(("192.0.2.1",))


async def test_a_record_that_is_there_twice_is_one(resolver: AresResolver, dns_server: DnsServer) -> None:
    """An RRset is a set (RFC 2181 section 5); who repeats an address would have it tried again and again."""
    dns_server.set("x.test", "A", dns.Swollen(dns.a("192.0.2.1")))
    dns_server.set("x.test", "MX", dns.Swollen(dns.mx((10, "mx.test."))))
    assert await resolver.addresses("x.test", Family.V4) == Found(("192.0.2.1",))
    assert await resolver.mx("x.test") == Found((MxHost(10, "mx.test"),))


async def test_the_records_of_an_answer_are_gone_before_the_next_one_comes(dns_server: DnsServer) -> None:
    """Of thousands of records a name may have; a turn of the loop may bring many such answers."""
    dns_server.set("x.test", "A", dns.a("192.0.2.1", "192.0.2.2"))
    resolver = LoopDriven(shortest_try=0.25, nameservers=[dns_server.nameserver])
    held: list[weakref.ref[pycares.DNSRecord]] = []

    def keep(answer: pycares.DNSResult) -> int:
        held.extend(map(weakref.ref, answer.answer))
        return len(answer.answer)

    query = resolver.ask("x.test", pycares.QUERY_TYPE_A, keep)
    left: list[int] = []
    query.add_done_callback(lambda _: left.append(sum(ref() is not None for ref in held)))
    assert await query == 2
    assert left == [0]
    await resolver.close()


async def test_a_server_that_was_quick_may_take_all_the_time_there_is(dns_server: DnsServer) -> None:
    """c-ares waits shorter for a server that was quick lately, 250 ms and then 500. A resolver answers every try at the
    same time: when it has found the answer."""
    for number in range(10):
        dns_server.set(f"quick{number}.test", "MX", dns.mx((10, "mx.test.")))
    found = asyncio.Event()
    dns_server.set("slow.test", "MX", dns.Delayed(dns.mx((10, "mx.test.")), until=found))
    resolver = AresResolver([dns_server.nameserver], timeout=1.0, tries=2)
    try:
        for number in range(10):
            assert isinstance(await resolver.mx(f"quick{number}.test"), Found)
        asyncio.get_running_loop().call_later(1.2, found.set)
        assert await resolver.mx("slow.test") == Found((MxHost(10, "mx.test"),))
    finally:
        await resolver.close()


async def test_a_question_for_which_there_is_no_socket_was_not_asked(dns_server: DnsServer) -> None:
    resolver = AresResolver([dns_server.nameserver], timeout=1.0, tries=2)
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, allowed[1]))
    try:
        unasked = await resolver.mx("x.test")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    assert isinstance(unasked, DnsFailure)
    assert unasked.unasked
    assert dns_server.asked == []
    dns_server.set("x.test", "MX", dns.SERVFAIL)
    told = await resolver.mx("x.test")
    await resolver.close()
    assert told == DnsFailure("SERVFAIL")
    assert isinstance(told, DnsFailure)
    assert not told.unasked


async def test_no_thread_is_made_for_it(resolver: AresResolver, dns_server: DnsServer) -> None:
    dns_server.set("x.test", "MX", dns.mx((10, "mx.test.")))
    before = set(os.listdir("/proc/self/task"))
    others = [AresResolver([dns_server.nameserver], timeout=0.5, tries=2) for _ in range(3)]
    for each in others:
        assert isinstance(await each.mx("x.test"), Found)
        await each.close()
    assert set(os.listdir("/proc/self/task")) <= before


@pytest.mark.parametrize("open_questions", [0, 1])
async def test_a_question_is_repeated_when_its_time_has_come(open_questions: int, dns_server: DnsServer) -> None:
    """Whatever else is being waited for. At the next full second it would be too late."""
    resolver = AresResolver([dns_server.nameserver], timeout=0.4, tries=2)
    dns_server.set("early.test", "MX", dns.DROP)
    dns_server.set("x.test", "MX", dns.InTurn(dns.DROP, dns.mx((10, "mx.test."))))
    early = [asyncio.create_task(resolver.mx("early.test")) for _ in range(open_questions)]
    if early:
        await dns_server.wait_asked("early.test", "MX")
    assert isinstance(await resolver.mx("x.test"), Found)
    assert dns_server.count("x.test", "MX") == 2
    for task in early:
        assert await task == DnsFailure("TIMEOUT")
    await resolver.close()


async def test_an_open_connection_over_which_nothing_is_to_be_said_does_not_keep_the_loop_busy(
    dns_server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """c-ares wants to know when it can write; later it does not, and a socket can be written to nearly always."""
    held = asyncio.Event()
    dns_server.set("x.test", "MX", dns.Delayed(dns.mx((10, "mx.test.")), until=held))
    calls: list[tuple[int, int]] = []
    process: Callable[..., None] = pycares.Channel.process_fd

    def noted(channel: pycares.Channel, read: int, write: int) -> None:
        calls.append((read, write))
        process(channel, read, write)

    monkeypatch.setattr(pycares.Channel, "process_fd", noted)
    resolver = AresResolver([dns_server.nameserver], timeout=5, tries=1, tcp=True)
    answer = asyncio.create_task(resolver.mx("x.test"))
    await dns_server.wait_asked("x.test", "MX")
    calls.clear()
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(calls) < 5
    held.set()
    assert await answer == Found((MxHost(10, "mx.test"),))
    await resolver.close()


OTHER_SERVERS: Final = """
import asyncio, sys
from pathlib import Path
from mxcheck_service import dns

async def main(named, other):
    dns._LOOK_AGAIN = 0.0
    resolver = dns.AresResolver([], timeout=0.3, tries=1)
    print(resolver.nameservers, await resolver.mx("x.test"))
    named.write_text(f"nameserver {other}\\n")
    print(resolver.nameservers, await resolver.mx("x.test"))
    named.write_text("")
    print(resolver.nameservers, await resolver.mx("x.test"))
    named.write_text("nameserver 127.0.0.1\\n")
    await resolver.mx("y.test")
    print(resolver.nameservers)
    await resolver.close()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def test_other_servers_of_the_system_are_asked_as_soon_as_they_are_named(tmp_path: Path) -> None:
    """With a resolv.conf of its own, by a mount that nobody else sees; one that names nobody is not taken."""
    named = tmp_path / "resolv.conf"
    named.write_text("nameserver 127.0.0.2\n")
    inside = 'mount --bind "$1" /etc/resolv.conf && exec "$2" -c "$3" "$1" "$4"'
    async with DnsServer(address="127.0.0.4") as other:
        other.set("x.test", "MX", dns.mx((10, "mx.test.")))
        words = ["sh", "-c", inside, "-", str(named), sys.executable, OTHER_SERVERS, other.nameserver]
        process = await asyncio.create_subprocess_exec(
            find_program("unshare"), "--mount", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        told, errors = await process.communicate()
    found = "Found(records=(MxHost(preference=10, exchange='mx.test'),))"
    former, asked, kept, this_host = told.decode().splitlines() or [errors.decode()]
    assert former.startswith("('127.0.0.2',) DnsFailure(")
    assert asked == f"('127.0.0.2',) {found}"
    assert kept == f"('127.0.0.4',) {found}"
    assert this_host == "('127.0.0.1',)"


async def test_the_system_is_looked_at_once_a_second_and_not_where_servers_are_given(
    dns_server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    monkeypatch.setattr("mxcheck_service.dns._configured", lambda: looks.append(None))
    for servers, most in (([dns_server.nameserver], 1), ([], 2)):
        looks.clear()
        resolver = AresResolver(servers, timeout=0.01, tries=1)
        for _ in range(5):
            await resolver.mx("x.test")
        await resolver.close()
        assert len(looks) == most


async def test_addresses_are_shuffled(resolver: AresResolver, dns_server: DnsServer) -> None:
    """Twenty questions for eight addresses: that they all come in one order has a chance of 1 in 40320 ** 19."""
    ips = [f"192.0.2.{n}" for n in range(8)]
    dns_server.set("x.test", "A", dns.a(*ips, ttl=0))
    orders = set()
    for _ in range(20):
        answer = await resolver.addresses("x.test", Family.V4)
        assert isinstance(answer, Found)
        assert sorted(answer.records) == ips
        orders.add(answer.records)
    assert len(orders) > 1


@pytest.mark.parametrize(
    "name", ["", "a b.test", "a\0.test", "a\r\nb.test", "café.test", "a/b.test", "x" * 300, "*.test"]
)
async def test_what_is_no_domain_name_is_never_asked_for(
    name: str, resolver: AresResolver, dns_server: DnsServer
) -> None:
    assert await resolver.mx(name) == NotFound(nxdomain=True)
    assert dns_server.asked == []


@pytest.mark.parametrize("name", ["a..test", ".test", f"{'x' * 64}.test"])
async def test_a_name_that_cannot_exist_does_not_exist(name: str, resolver: AresResolver) -> None:
    assert await resolver.mx(name) == NotFound(nxdomain=True)


async def test_a_dead_server_is_a_failure_within_the_limit() -> None:
    resolver = AresResolver(["127.0.0.1:9"], timeout=0.3, tries=2)
    async with asyncio.timeout(10):
        assert isinstance(await resolver.mx("x.test"), DnsFailure)
    await resolver.close()


async def test_the_second_server_is_asked_when_the_first_is_dead(dns_server: DnsServer) -> None:
    dns_server.set("x.test", "MX", dns.mx((10, "mx.test.")))
    resolver = AresResolver(["127.0.0.1:9", dns_server.nameserver], timeout=1, tries=2)
    assert await resolver.mx("x.test") == Found((MxHost(10, "mx.test"),))
    await resolver.close()


async def test_a_real_server(knot: KnotServer) -> None:
    knot.set_zone("real.test", "@ MX 10 mx\n@ MX 0 first\nmx A 192.0.2.1\nfirst AAAA 2001:db8::1\nalias CNAME mx\n")
    resolver = AresResolver([knot.nameserver], timeout=2, tries=2)
    answer = await resolver.mx("real.test")
    assert isinstance(answer, Found)
    assert set(answer.records) == {MxHost(10, "mx.real.test"), MxHost(0, "first.real.test")}
    assert await resolver.addresses("first.real.test", Family.V4) == NotFound(nxdomain=False)
    assert await resolver.addresses("alias.real.test", Family.V4) == Found(("192.0.2.1",))
    assert await resolver.mx("nothing.real.test") == NotFound(nxdomain=True)
    await resolver.close()


async def test_what_c_ares_keeps_is_dropped_after_so_many_questions(
    resolver: AresResolver, dns_server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """c-ares has no bound for its answers but their TTL; a question that is open meanwhile gets its answer."""
    monkeypatch.setattr("mxcheck_service.dns._MOST_KEPT", 3)
    dns_server.set("x.test", "MX", dns.mx((10, "mx.test.")))
    dns_server.set("slow.test", "MX", dns.InTurn(dns.DROP, dns.mx((10, "mx.test."))))
    slow = asyncio.create_task(resolver.mx("slow.test"))
    await dns_server.wait_asked("slow.test", "MX")
    found = Found((MxHost(10, "mx.test"),))
    assert [await resolver.mx("x.test") for _ in range(2)] == [found] * 2
    assert dns_server.count("x.test", "MX") == 1, "out of the cache of c-ares"
    assert await resolver.mx("x.test") == found
    assert dns_server.count("x.test", "MX") == 2
    assert await slow == found


async def test_answers_of_thousands_of_records_are_dropped_sooner(dns_server: DnsServer) -> None:
    """Half a megabyte each: c-ares would keep thousands of them for who sends mail from ever new names."""
    resolver = AresResolver([dns_server.nameserver], timeout=20, tries=1)
    names = [f"huge{number}.test" for number in range(11)]
    for name in names:
        dns_server.set(name, "A", dns.Swollen(dns.a("192.0.2.1")))
    for name in names:
        assert isinstance(await resolver.addresses(name, Family.V4), Found)
    asked = dns_server.count(names[0], "A")
    await resolver.addresses(names[-1], Family.V4)
    await resolver.addresses(names[0], Family.V4)
    assert dns_server.count(names[0], "A") == 2 * asked
    await resolver.close()
