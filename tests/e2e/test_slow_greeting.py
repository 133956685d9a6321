"""A mail host that is slow to greet (improvements.slow_greeting): good at first, and in the end what it is.

Peers are real sockets; the service is the real one, with its cache in a real Redis where that is looked at.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mxcheck_service.background import Background
from mxcheck_service.cache.layers import CacheLayers
from mxcheck_service.cache.memory import MemoryCache
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.politeness import PerNetwork
from mxcheck_service.ports import LocalFault, Probed, SystemClock
from mxcheck_service.prober import SmtpProber, TcpConnection, TcpDialer
from mxcheck_service.probing import Probing
from mxcheck_service.trace import Trace
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.mta import Postfix
from tests.lab.redis import RedisServer
from tests.lab.service import Service, mxcheck, write_config
from tests.lab.smtp import End, Peer, SmtpPeers
from tests.lab.smtp_scripts import Close, Expect, Reset, Script, Send, Stay, Step, Wait
from tests.lab.waiting import poll_until
from tests.unit.fakes import judged

SLOW = 0.2
SHORT = 0.6
LONG = 3000.0
"""Patience: one that a test waits for, and one that it must not."""
AT_ONCE = 20.0
"""Seconds: far below the long patience, and enough for an interpreter to start and end on a busy machine."""
DAY = 86400


def settings(port: int, **values: Any) -> MxCheckSettings:
    return MxCheckSettings(**{"port": port, "verify_greeting": True, "connect_timeout": 5.0, **values})


def improvements(patience: float) -> Improvements:
    return Improvements(slow_greeting=SLOW, greeting_patience=patience)


async def probe(peer: Peer, patience: float, background: Background, **values: Any) -> Probed:
    prober = SmtpProber(settings(peer.port, **values), improvements(patience), TcpDialer(), background)
    probed = await prober.probe(peer.address)
    assert isinstance(probed, Probed)
    return probed


async def settled(probed: Probed) -> str:
    assert probed.settling
    assert str(probed.outcome) == "gd"
    return str((await probed.settling.settled()).outcome)


@dataclass
class Late:
    """A script whose end is held back until `go` is set."""

    go: asyncio.Event
    script: Script


def late(*end: Step, first: bytes = b"") -> Late:
    go = asyncio.Event()
    return Late(go, (Send(first), Wait(go), *end))


@pytest.mark.parametrize(
    ("first", "end", "verdict"),
    [
        pytest.param(b"", Send(b"220 mx\r\n"), "gd", id="220"),
        pytest.param(b"", Send(b"554 no\r\n"), "err:554", id="554"),
        pytest.param(b"", Send(b"521 never\r\n"), "rf", id="521"),
        pytest.param(b"22", Send(b"0\r\n"), "gd", id="the-rest-of-the-line"),
        pytest.param(b"", Close(), "inv", id="the-end"),
        pytest.param(b"", Reset(), "inv", id="reset"),
    ],
)
async def test_what_comes_late_is_what_it_is(first: bytes, end: Step, verdict: str, smtp_peers: SmtpPeers) -> None:
    slow = late(end, Stay(), first=first)
    peer = smtp_peers.add(slow.script)
    probed = await probe(peer, LONG, Background())
    ending = asyncio.create_task(settled(probed))
    slow.go.set()
    assert await asyncio.wait_for(ending, AT_ONCE) == verdict
    await peer.wait_ended()
    assert peer.received == b""


async def test_who_never_says_anything_is_a_read_timeout_in_the_end(smtp_peers: SmtpPeers) -> None:
    peer = smtp_peers.add(scripts.silent())
    assert await settled(await probe(peer, SHORT, Background())) == "tr"
    (session,) = await peer.wait_ended()
    assert session.ended is End.CLIENT_CLOSED


async def test_silence_of_read_timeout_is_slow_too(smtp_peers: SmtpPeers) -> None:
    """It may be the shorter one; the lock would not outlive a longer one."""
    peer = smtp_peers.add(scripts.silent())
    prober = SmtpProber(
        settings(peer.port, read_timeout=SLOW), Improvements(slow_greeting=LONG / 2), TcpDialer(), Background()
    )
    probed = await asyncio.wait_for(prober.probe(peer.address), AT_ONCE)
    assert isinstance(probed, Probed)
    assert probed.settling
    probed.settling.abandon()
    await peer.wait_ended()


async def test_what_spoke_and_is_no_smtp_is_not_good_for_a_time(smtp_peers: SmtpPeers) -> None:
    peer = smtp_peers.add((Send(b"SSH-2.0-OpenSSH_9.2p1\r\n"), Stay()))
    probed = await probe(peer, LONG, Background())
    assert (str(probed.outcome), probed.settling) == ("inv", None)
    await peer.wait_ended()


async def test_quit_follows_a_late_greeting_too(smtp_peers: SmtpPeers) -> None:
    go = asyncio.Event()
    peer = smtp_peers.add((Wait(go), Send(b"220 mx\r\n"), Expect(b"QUIT\r\n"), Send(b"221 bye\r\n"), Close()))
    background = Background()
    probed = await probe(peer, LONG, background, send_quit=True)
    go.set()
    assert await settled(probed) == "gd"
    assert probed.settling
    probed.settling.abandon()
    await background.drain(10)
    (session,) = await peer.wait_ended()
    assert (session.received, session.ended) == (b"QUIT\r\n", End.CLIENT_CLOSED)


class KeepingDialer(TcpDialer):
    """Keeps its connections, which the end of their last user would close too."""

    def __init__(self) -> None:
        self.kept: list[TcpConnection] = []
        self.connected = asyncio.Event()

    async def connect(self, ip: str, port: int, timeout: float) -> TcpConnection:
        self.kept.append(await super().connect(ip, port, timeout))
        self.connected.set()
        return self.kept[-1]


@pytest.mark.parametrize("slow", [None, SLOW])
async def test_a_probe_that_is_cancelled_closes_its_connection(slow: float | None, smtp_peers: SmtpPeers) -> None:
    peer = smtp_peers.add(scripts.silent())
    patient = settings(peer.port, read_timeout=LONG)
    chosen = Improvements(slow_greeting=slow and LONG - 1, greeting_patience=LONG)
    dialer = KeepingDialer()
    probing = asyncio.create_task(SmtpProber(patient, chosen, dialer, Background()).probe(peer.address))
    # The connection has to have come from the dialer, or there would be nothing to close.
    await asyncio.wait_for(dialer.connected.wait(), AT_ONCE)
    probing.cancel()
    await peer.wait_ended()


async def test_a_real_postscreen_settles(postfix: Postfix) -> None:
    """It holds the last line back for two seconds."""
    chosen = settings(postfix.port, send_quit=True)
    background = Background()
    prober = SmtpProber(chosen, Improvements(slow_greeting=SLOW, greeting_patience=60), TcpDialer(), background)
    probed = await prober.probe(postfix.address)
    assert not isinstance(probed, LocalFault)
    assert await settled(probed) == "gd"
    await background.drain(10)


class TestProbing:
    """Probing with connections and tasks as they are, and a cache in the process."""

    def probing(self, peers: SmtpPeers, background: Background, turns: PerNetwork) -> Probing:
        clock, chosen, better = SystemClock(), settings(peers.port), improvements(LONG)
        self.cache = CacheLayers(MemoryCache(100, clock), chosen, better)
        prober = SmtpProber(chosen, better, turns.dialer(TcpDialer()), background)
        return Probing(chosen, better, self.cache, prober, clock, turns=turns, background=background)

    async def test_a_network_has_its_place_back_when_the_connection_is_closed(self, smtp_peers: SmtpPeers) -> None:
        slow = late(Send(b"220 mx\r\n"), Stay())
        first, second = smtp_peers.add(slow.script), smtp_peers.add(scripts.good())
        background = Background()
        probing = self.probing(smtp_peers, background, PerNetwork(1))
        trace = Trace(SystemClock())
        assert await judged(probing, first.address, trace) == "gd"
        waiting = asyncio.create_task(judged(probing, second.address, trace))
        # As long as the first one took to be called slow.
        await asyncio.wait([waiting], timeout=SLOW)
        assert second.connections == 0
        slow.go.set()
        assert await asyncio.wait_for(waiting, AT_ONCE) == "gd"
        await background.drain(0)

    async def test_no_more_connections_stay_open_than_may(self, smtp_peers: SmtpPeers) -> None:
        silent = [smtp_peers.add(scripts.silent()) for _ in range(3)]
        background = Background(max_lingering=2)
        probing = self.probing(smtp_peers, background, PerNetwork(10))
        for peer in silent:
            assert await judged(probing, peer.address, Trace(SystemClock())) == "gd"
        await silent[2].wait_ended()
        assert [peer.sessions[0].ended for peer in silent[:2]] == [None, None]
        assert background.lingering == 2
        await background.drain(60)
        for peer in silent:
            await peer.wait_ended()


class Lab:
    """One domain with one mail host, and what the service's settings are."""

    def __init__(self, dns_server: DnsServer, peers: SmtpPeers) -> None:
        self._dns = dns_server
        self._peers = peers

    def mail_host(self, script: Script) -> Peer:
        peer = self._peers.add(script)
        self._dns.set("slow.test", "MX", dns.mx((10, "mx.slow.test")))
        self._dns.set("mx.slow.test", "A", dns.a(peer.address))
        return peer

    def settings(self, cache: str, patience: float) -> dict[str, Any]:
        return {
            "server": {"deadline": 20.0, "drain_seconds": 300.0},
            "cache": {"url": cache},
            "dns": {"nameservers": [self._dns.nameserver]},
            "mx_check": {"test_mode": True, "port": self._peers.port, "verify_greeting": True},
            "improvements": {"slow_greeting": SLOW, "greeting_patience": patience},
        }


@pytest.fixture
async def lab(dns_server: DnsServer, smtp_peers: SmtpPeers) -> Lab:
    return Lab(dns_server, smtp_peers)


async def check(service: Service) -> str:
    """Check the domain and return what it says."""
    reply = await service.check({"sender": "a@slow.test"})
    assert reply.status == 200, reply.body
    return f"{reply.body['domains'][0]['verdict']} {reply.body['action']}"


async def told_in_the_end(service: Service, answer: str) -> None:
    """Return once it says so: the process has to hear of the change from Redis."""
    async with asyncio.timeout(AT_ONCE):
        while await check(service) != answer:
            pass


class TestService:
    @pytest.mark.parametrize(
        ("end", "entry", "answer"),
        [
            pytest.param(Send(b"220 mx\r\n"), "gd", "gd no action", id="220"),
            pytest.param(Send(b"554 no\r\n"), "err:554", "err:554 no action", id="554"),
        ],
    )
    async def test_what_came_of_it_overwrites_what_was_provisional(
        self, end: Send, entry: str, answer: str, lab: Lab, redis_server: RedisServer
    ) -> None:
        slow = late(end, Stay())
        peer = lab.mail_host(slow.script)
        key = f"rmx:i:{peer.address}"
        with Service(lab.settings(redis_server.url, LONG)) as service, redis_server.client() as client:
            assert await check(service) == "gd no action"
            assert client.get(key) == "gd"
            assert LONG < client.ttl(key) <= LONG + 8
            assert await check(service) == "gd no action"
            slow.go.set()
            await asyncio.to_thread(poll_until, lambda: client.ttl(key) > LONG + 8, 20, "the verdict")
            assert client.get(key) == entry
            assert DAY - 60 < client.ttl(key) <= DAY
            await told_in_the_end(service, answer)
            told = await service.metrics()
        assert peer.connections == 1
        assert told.value("mxcheck_late_greetings_total", verdict=entry.partition(":")[0]) == 1

    async def test_who_never_says_anything_is_good_first_and_a_read_timeout_then(
        self, lab: Lab, redis_server: RedisServer
    ) -> None:
        peer = lab.mail_host(scripts.silent())
        with Service(lab.settings(redis_server.url, 2.0)) as service, redis_server.client() as client:
            assert await check(service) == "gd no action"
            assert 0 < client.ttl(f"rmx:i:{peer.address}") <= 2 + 8
            await asyncio.to_thread(
                poll_until, lambda: client.get(f"rmx:i:{peer.address}") == "tr", 20, "the end of patience"
            )
            assert client.ttl(f"rmx:i:{peer.address}") > DAY - 60
            await told_in_the_end(service, "tr greylist")
        assert peer.connections == 1

    @pytest.mark.parametrize("workers", [1, 2])
    async def test_the_end_of_the_service_waits_for_no_greeting(
        self, workers: int, lab: Lab, redis_server: RedisServer
    ) -> None:
        peer = lab.mail_host(scripts.silent())
        chosen = lab.settings(redis_server.url, LONG)
        chosen["server"] |= {"workers": workers}
        with Service(chosen) as service, redis_server.client() as client:
            assert await check(service) == "gd no action"
            told = await service.metrics()
            assert await service.stop(within=AT_ONCE) == 0
            assert "cancelled" not in service.log
            assert client.get(f"rmx:i:{peer.address}") == "gd"
            assert client.ttl(f"rmx:i:{peer.address}") <= LONG + 8
        if workers == 1:
            assert told.value("mxcheck_lingering_probes") == 1
        await peer.wait_ended()

    async def test_a_reload_leaves_it_waiting(self, lab: Lab, redis_server: RedisServer) -> None:
        slow = late(Send(b"554 no\r\n"), Stay())
        peer = lab.mail_host(slow.script)
        with Service(lab.settings(redis_server.url, LONG)) as service, redis_server.client() as client:
            assert await check(service) == "gd no action"
            assert (await service.reload()).status == 200
            slow.go.set()
            await asyncio.to_thread(
                poll_until, lambda: client.get(f"rmx:i:{peer.address}") == "err:554", 20, "the verdict"
            )


async def test_the_command_does_not_wait_for_it_either(lab: Lab, tmp_path: Path) -> None:
    peer = lab.mail_host(scripts.silent())
    config = write_config(tmp_path, lab.settings("memory://", LONG))
    done = await mxcheck("check", "slow.test", "--json", "--explain", "--config", str(config), within=AT_ONCE)
    assert done.code == 0, done
    (domain,) = json.loads(done.out)["domains"]
    (step,) = (step for step in domain["trace"] if step["step"] == "probe")
    assert (step["verdict"], step["greeting"], step["provisional"]) == ("gd", [], True)
    await peer.wait_ended()
