"""What is dialled, told by a dialer that writes it down: no range that is not the Internet's, and one port."""

import ipaddress
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mxcheck_service.background import Background
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.checker import Adapters, Checker, Message, Report
from mxcheck_service.core.candidates import Envelope
from mxcheck_service.core.maplist import Maps
from mxcheck_service.core.model import Verdict
from mxcheck_service.core.settings import PRESETS, MxCheckSettings
from mxcheck_service.ports import ConnectError, ConnectProblem, Found
from mxcheck_service.reach import PublicOnly
from tests.hostile.special_purpose import CONTROLS, RANGES, Range
from tests.unit.fakes import FakeClock, FakeDialer, FakeResolver, a, mx

SETTINGS = MxCheckSettings(probe_ipv6=True)
DOMAIN, HOST = "a.example", "mx.example"
DAY = 86_400


class Bench:
    """A checker of one domain, whose DNS and whose cache say what a test says."""

    def __init__(self, preset: str = "recommended", *, settings: MxCheckSettings = SETTINGS) -> None:
        self.clock, self.dialer = FakeClock(), FakeDialer()
        self.cache = MemoryCache(1000, self.clock)
        self.resolver = FakeResolver()
        world = Adapters(self.cache, self.resolver, self.dialer, self.clock, Background())
        self.checker = Checker(
            settings, PRESETS[preset], Maps(), world, deadline=5.0, max_addresses=100, remember=100
        )  # fmt: skip

    def publish(self, ip: str, *, implicit: bool) -> None:
        """Let DNS say that this is the address of the domain's only MX host, or of the domain itself."""
        name = DOMAIN if implicit else HOST
        table = {name: Found((ip,))}
        v6 = ":" in ip
        self.resolver.__init__(  # type: ignore[misc] # the same tables, for the checker that has it
            mx={} if implicit else {DOMAIN: mx(HOST)}, a={} if v6 else table, aaaa=table if v6 else {}
        )

    async def check(self) -> Report:
        return await self.checker.check(Message(Envelope(sender=f"jo@{DOMAIN}")))

    @property
    def dialled(self) -> list[tuple[str, int]]:
        return [(ip, port) for ip, port, _ in self.dialer.dialled]


def ids(row: Range) -> str:
    return row.network


@pytest.mark.parametrize("row", RANGES, ids=ids)
async def test_recommended_dials_the_internet_alone(row: Range) -> None:
    for ip in row.samples:
        for implicit in (False, True):
            bench = Bench()
            bench.publish(ip, implicit=implicit)
            report = await bench.check()
            if row.is_of == "public":
                assert bench.dialled == [(ip, 25)]
            else:
                assert bench.dialled == []
                assert report.symbols.keys() == {f"MX_{row.is_of.upper()}_ONLY"}


@pytest.mark.parametrize("row", RANGES, ids=ids)
async def test_reference_dials_what_the_reference_dials(row: Range) -> None:
    """The preset stays what the reference is: it knows fewer ranges. What those below are no danger of is loopback."""
    for ip in row.samples:
        bench = Bench("reference")
        bench.publish(ip, implicit=False)
        await bench.check()
        assert bool(bench.dialled) is (row.is_of == "public" or row.reference_dials), ip


@pytest.mark.parametrize("ip", CONTROLS)
async def test_public_addresses_are_dialled_at_the_port_of_the_settings_alone(ip: str) -> None:
    bench = Bench(settings=replace(SETTINGS, port=2525))
    bench.publish(ip, implicit=False)
    await bench.check()
    assert bench.dialled == [(ip, 2525)]


POISON = [
    "v64:127.0.0.1",
    "v64:127.0.0.1,::1,10.0.0.1",
    "v64:::ffff:127.0.0.1",
    "v64:::FFFF:7F00:1",
    "v64:0:0:0:0:0:ffff:7f00:1",
    "v64:0.0.0.0,::,255.255.255.255",
    "v64:169.254.169.254,fd00:ec2::254",
    "v64:64:ff9b::127.0.0.1",
    "v64:localhost",
    "v64:127.1,2130706433,0x7f000001,0177.0.0.1,127.0.0.01",
    "v64:fe80::1%lo,::1%lo,127.0.0.1%lo,11.0.0.1%lo",
    "v64:127.0.0.1:25,[::1],11.0.0.1/32",
    "v64:11.0.0.1 ,11.0.0.1\r\n,11.0.0.1\0",
    "v64:\uff11\uff12\uff17.0.0.1",
    "v64:",
    "v64:,,,",
    "v64",
    "v4:10.0.0.1",
    "v6:::1",
    "v65:11.0.0.1",
    "V64:11.0.0.1",
    "",
    "l",
    "gd",
    "no",
    "\0\xff\x1b[31m",
    "v64:" + "127.0.0.1," * 5000,
    "v64:" + "11.0.0.1," * 100_000,
]
"""Texts under `m:<host>`, and after `a:` under `d:<domain>`; none says that a public address is to be probed."""


@pytest.mark.parametrize("preset", ["recommended", "reference"])
@pytest.mark.parametrize("value", POISON, ids=lambda value: repr(value[:24]))
async def test_what_another_tenant_writes_is_classed_or_a_miss(value: str, preset: str) -> None:
    """DNS says nothing here, so whatever is dialled the cache has said."""
    for key, text in ((f"rmx:m:{HOST}", value), (f"rmx:d:{DOMAIN}", f"a:{value}")):
        bench = Bench(preset)
        if ":m:" in key:
            await bench.cache.set(f"rmx:d:{DOMAIN}", f"mx:{HOST}:10", DAY)
        await bench.cache.set(key, text, DAY)
        report = await bench.check()
        assert bench.dialled == []
        assert "MX_GOOD" not in report.symbols
        assert report.domains[0].result.lookup.outcome.verdict is not Verdict.UNAVAILABLE, "it crashed, or got too far"


@pytest.mark.parametrize("preset", ["recommended", "reference"])
@pytest.mark.parametrize(
    "value",
    [
        "mx:127.0.0.1:10",
        "mx:2130706433:10",
        "mx:localhost:10",
        "mx:::1:10",
        "mx::10",
        "mx:.:10",
        "mx:..:10",
        "mx:*:10,?:20,[a]:30",
        "mx:i:127.0.0.1:10",
        "mx:x\r\nSET a b:10",
        "mx:\0:10",
        "mx:mx.example:10:20:30",
        "mx:" + "a" * 70_000 + ":10",
        "mx:" + "mx.example:10," * 10_000,
        "mx:",
        "mx",
        "mx:mx.example:99999999999999999999",
        "\u202ebkn",
    ],
    ids=lambda value: repr(value[:24]),
)
async def test_lists_of_hosts_that_another_tenant_writes(value: str, preset: str) -> None:
    bench = Bench(preset)
    await bench.cache.set(f"rmx:d:{DOMAIN}", value, DAY)
    report = await bench.check()
    assert bench.dialled == []
    assert report.domains[0].result.lookup.outcome.verdict is not Verdict.UNAVAILABLE
    # Nothing but names has become a question, and none of the odd ones a key.
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_") for _, name in bench.resolver.asked)


@pytest.mark.parametrize(
    "value", ["x", "gd ", "GD", "err:", "err:1234", "err:\u0661\u0662\u0663", "ll", "\0", "1" * 70_000]
)
async def test_an_address_whose_entry_is_nonsense_is_probed_anew(value: str) -> None:
    bench = Bench()
    bench.publish("11.0.0.1", implicit=False)
    await bench.cache.set("rmx:i:11.0.0.1", value, DAY)
    report = await bench.check()
    assert bench.dialled == [("11.0.0.1", 25)]
    assert set(report.symbols) == {"MX_GOOD"}


async def test_an_entry_of_6to4_has_the_class_of_the_address_in_it() -> None:
    bench = Bench()
    await bench.cache.set(f"rmx:d:{DOMAIN}", "a:v64:2002:7f00:1::,::127.0.0.1,fec0::1", DAY)
    report = await bench.check()
    assert bench.dialled == []
    assert set(report.symbols) == {"MX_LOCAL_ONLY", "MX_BOGON_ONLY"}


async def test_a_list_of_thousands_is_a_handful_of_questions() -> None:
    """Who can write to the cache cannot have one message ask thousands of questions."""
    bench = Bench()
    await bench.cache.set(f"rmx:d:{DOMAIN}", "mx:" + ",".join(f"mx{n}.example:{n}" for n in range(3000)), DAY)
    await bench.check()
    assert 1 <= len(bench.resolver.asked) <= 64


@pytest.mark.parametrize(("preset", "most"), [("recommended", 16), ("reference", 3000)])
async def test_a_list_of_addresses_is_cut_where_it_was_not_ours(preset: str, most: int) -> None:
    """The reference takes a cached list as it stands."""
    bench = Bench(preset)
    ips = [f"10.0.{n // 250}.{n % 250}" for n in range(3000)]
    await bench.cache.set(f"rmx:d:{DOMAIN}", f"a:v64:{','.join(ips)}", DAY)
    report = await bench.check()
    assert len(report.symbols["MX_LOCAL_ONLY"].options) == most


async def test_answers_that_change_are_classed_each_time() -> None:
    """DNS rebinding: public at first, loopback once the entry has expired."""
    bench = Bench()
    bench.publish("11.0.0.1", implicit=False)
    await bench.check()
    assert bench.dialled == [("11.0.0.1", 25)]
    bench.clock.now += DAY + 1
    bench.publish("127.0.0.1", implicit=False)
    report = await bench.check()
    assert len(bench.dialled) == 1
    assert set(report.symbols) == {"MX_LOCAL_ONLY"}


async def test_a_mixed_answer_is_dialled_where_it_is_public() -> None:
    bench = Bench()
    bench.resolver.__init__(mx={DOMAIN: mx(HOST)}, a={HOST: a("10.0.0.1", "11.0.0.1", "169.254.169.254")})  # type: ignore[misc]
    await bench.check()
    assert bench.dialled == [("11.0.0.1", 25)]


class TestLastDoor:
    """Below everything that chooses addresses: what has forgotten to class them still reaches nobody."""

    @pytest.mark.parametrize("preset", ["recommended", "reference"])
    @pytest.mark.parametrize("ip", ["127.0.0.1", "::ffff:127.0.0.1", "localhost", "11.0.0.1%lo", "", "0.0.0.0", "::"])
    async def test_it_withholds(self, ip: str, preset: str, caplog: pytest.LogCaptureFixture) -> None:
        dialer = FakeDialer()
        bench = Bench(preset)
        door = PublicOnly(dialer, bench.checker._pipeline._attempts.classes)
        with pytest.raises(ConnectError) as caught:
            await door.connect(ip, 25, 1.0)
        assert caught.value.problem is ConnectProblem.WITHHELD
        assert dialer.dialled == []
        assert "a defect" in caplog.text

    async def test_a_pipeline_that_classes_nothing_reaches_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bench = Bench()
        classes = bench.checker._pipeline._attempts.classes

        def everything_is_public(ips: Sequence[str]) -> object:
            return tuple(ips), type(classes).partition(classes, ())[1]

        monkeypatch.setattr(classes, "partition", everything_is_public)
        monkeypatch.setattr(classes, "any_loopback", lambda ips: False)
        bench.publish("127.0.0.1", implicit=False)
        report = await bench.check()
        assert bench.dialled == []
        assert set(report.symbols) == {"MX_PROBE_UNAVAILABLE"}
        assert await bench.cache.get("rmx:i:127.0.0.1") is None


def test_the_table_names_networks() -> None:
    for row in RANGES:
        ipaddress.ip_network(row.network)
