"""The list of kinds of mail domain is whole: what each says can be run, and no two say the same."""

import asyncio
import ipaddress
import pkgutil
import re
import socket
from collections import Counter
from itertools import pairwise

import dnslib

from mxcheck_service.core.candidates import Envelope, candidates
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.web.schema import CheckRequest
from tests.lab.truth import kinds
from tests.lab.truth.front import BEHAVIOURS
from tests.lab.truth.kind import Kind, OurSide
from tests.lab.truth.kinds import ALL
from tests.lab.truth.mtas import SERVERS
from tests.lab.truth.peers import Peer
from tests.lab.truth.plan import DELEGATED

_ZONE = "truth.test"
_PLACEHOLDER = re.compile(r"\{([a-z0-9-]+)(?:\.[1-9][0-9]*)?(\.v6)?\}")
_WITH_IPV4 = re.compile(r"[0-9a-f:]+:(?:[0-9]+\.){3}[0-9]+")
_HOSTS, _DNS = (
    {
        name
        for row in re.findall(r"^\| (?!placeholder|behaviour|---)([^|]+) \|", table, re.M)
        for name in row.split(", ")
    }
    for table in (kinds.__doc__ or "").split("Behaviours of the name server")
)
_NO_DOMAIN = {
    "helo-literal",
    "helo-literal-refused",
    "helo-bare-address",
}
"""Kinds whose message names no domain that could be in DNS."""


def _filled(text: str, kind: Kind) -> str:
    """The text with an address for each placeholder, and none in mixed notation, which dnslib does not read."""
    text = text.replace("{domain}", f"{kind.name}.{_ZONE}")
    text = _PLACEHOLDER.sub(lambda found: "2a00:1::25" if found[2] else "11.2.3.4", text)
    return _WITH_IPV4.sub(lambda found: ipaddress.IPv6Address(found[0]).exploded, text)


def test_there_are_many_and_none_is_there_twice() -> None:
    assert len(ALL) >= 130
    names = Counter(kind.name for kind in ALL)
    sentences = Counter(kind.about for kind in ALL)
    worlds = Counter(
        (kind.records, str(kind.dns), kind.our_side, kind.recipient_domain, str(kind.message)) for kind in ALL
    )
    for counted in (names, sentences, worlds):
        assert [value for value, times in counted.items() if times > 1] == []


def test_every_module_is_a_group_and_they_are_balanced() -> None:
    groups = Counter(kind.group for kind in ALL)
    assert len(groups) == len(list(pkgutil.iter_modules(kinds.__path__))), groups
    assert min(groups.values()) >= 5, groups
    assert max(groups.values()) <= len(ALL) / 4, groups
    assert sum(one.group != next_one.group for one, next_one in pairwise(ALL)) == len(groups) - 1, "a group in pieces"


def test_each_has_a_name_that_is_a_label_and_one_sentence() -> None:
    for kind in ALL:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind.name), kind.name
        assert len(kind.name) <= 63, kind.name
        assert re.fullmatch(r"[A-Z`0-9](?:(?!\. ).)+\.", kind.about), (kind.name, kind.about)


def test_every_behaviour_is_one_that_the_world_has() -> None:
    assert {"good", "http-400"} <= _HOSTS
    assert {"servfail", "bogus"} <= _DNS
    for kind in ALL:
        text = "\n".join((kind.records, kind.recipient_domain or "", *kind.message.values()))
        assert {found[1] for found in _PLACEHOLDER.finditer(text)} - {"domain"} <= _HOSTS, kind.name
        assert "{" not in _PLACEHOLDER.sub("", text), f"{kind.name}: a malformed placeholder"
        assert set(kind.dns.values()) <= _DNS, kind.name


async def test_every_behaviour_is_one_that_something_plays() -> None:
    assert set(BEHAVIOURS) | DELEGATED == _DNS
    played = _HOSTS - set(SERVERS) - {"refused", "unreachable", "prohibited", "blackhole"}
    results = await asyncio.gather(*map(_play, sorted(played)))
    assert [behaviour for behaviour, known in results if not known] == []


async def _play(behaviour: str) -> tuple[str, bool]:
    """The behaviour, and whether a scripted host knows it; who waits for the client, or to greet, does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
    reader, writer = await asyncio.open_connection(sock=theirs)
    try:
        await asyncio.wait_for(Peer(reader, writer, 0).behave(behaviour), 0.2)
    except TimeoutError:
        return behaviour, True
    except ValueError:
        return behaviour, False
    finally:
        writer.close()
        ours.close()
    return behaviour, True


def test_every_behaviour_is_needed() -> None:
    used = {
        found[1]
        for kind in ALL
        for text in (kind.records, kind.recipient_domain or "", *kind.message.values())
        for found in _PLACEHOLDER.finditer(text)
    }
    assert _HOSTS - used == set()
    assert {behaviour for kind in ALL for behaviour in kind.dns.values()} == _DNS


def test_the_records_are_zone_file_text() -> None:
    for kind in ALL:
        origin = f"{kind.name}.{_ZONE}"
        records = list(dnslib.RR.fromZone(f"$ORIGIN {origin}.\n$TTL 60\n{_filled(kind.records, kind)}\n"))
        assert len(records) == len(kind.records.splitlines()), kind.name
        for record in records:
            assert record.rname.matchSuffix(origin), f"{kind.name}: {record.rname} is not its own"
            if record.rtype == dnslib.QTYPE.A:
                ipaddress.IPv4Address(str(record.rdata))
            if record.rtype == dnslib.QTYPE.AAAA:
                ipaddress.IPv6Address(str(record.rdata))


def test_the_name_server_misbehaves_about_names_that_there_are() -> None:
    for kind in ALL:
        owners = {"@"} | {line.split()[0] for line in kind.records.splitlines()}
        for name, record_type in kind.dns:
            assert name in owners, kind.name
            assert record_type in ("MX", "A", "AAAA", "*"), kind.name


def test_the_check_is_asked_about_the_domain_that_truth_is_told_of() -> None:
    without = set()
    for kind in ALL:
        domain = _filled(kind.recipient_domain or "{domain}", kind)
        message = {key: _filled(value, kind) for key, value in kind.message.items()} or {"sender": f"user@{domain}"}
        request = CheckRequest.model_validate(message)
        envelope = Envelope(request.sender, helo=request.helo)
        found = candidates(envelope, MxCheckSettings(), Improvements(), max_addresses=10)
        if not found:
            without.add(kind.name)
        else:
            assert [name.domain.rstrip(".") for name in found] == [domain.lower().rstrip(".")], kind.name
    assert without == _NO_DOMAIN


def test_what_cannot_be_known_says_why_and_a_fault_of_ours_hides_all_but_records() -> None:
    for kind in ALL:
        if kind.unknowable is not None:
            assert len(kind.unknowable) > 10, kind.name
        elif kind.local_fault:
            assert kind.our_side is not OurSide.RESOLVER_DEAD, kind.name
            assert "{" not in kind.records, kind.name
