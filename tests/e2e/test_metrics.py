"""GET /metrics of the service as it runs: what a known sequence of requests is counted as."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.test_workers import CONNECTIONS, connections, get, serving
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.exposition import Exposition
from tests.lab.redis import RedisServer
from tests.lab.service import Service
from tests.lab.smtp import Peer, SmtpPeers


class Lab:
    """Domains for every way that a check can go, and the settings of a service that asks about them."""

    def __init__(self, dns_server: DnsServer, peers: SmtpPeers) -> None:
        self.dns, self.peers = dns_server, peers
        self.answer = asyncio.Event()
        self.good = self.mail("good.test", scripts.good())
        self.held = self.mail("held.test", scripts.good())
        dns_server.set("v6.test", "MX", dns.mx((10, "mx.v6.test")))
        dns_server.set("mx.v6.test", "AAAA", dns.aaaa(peers.add(scripts.rejects(), address="::1").address))
        dns_server.set("refused.test", "MX", dns.mx((10, "mx.refused.test")))
        dns_server.set("mx.refused.test", "A", dns.a(peers.add_refused()))
        dns_server.set("null.test", "MX", dns.mx((0, ".")))
        dns_server.set("slow.test", "MX", dns.Delayed(dns.NXDOMAIN, until=self.answer))
        for kind in ("MX", "A", "AAAA"):
            dns_server.set("servfail.test", kind, dns.SERVFAIL)
            dns_server.set("silent.test", kind, dns.DROP)
            dns_server.set("formerr.test", kind, dns.FORMERR)

    def mail(self, domain: str, script: scripts.Script) -> Peer:
        """Give a domain a mail host that plays this script."""
        peer = self.peers.add(script)
        self.dns.set(domain, "MX", dns.mx((10, f"mx.{domain}")))
        self.dns.set(f"mx.{domain}", "A", dns.a(peer.address))
        self.dns.set(f"mx.{domain}", "AAAA", dns.NODATA)
        return peer

    def settings(self, cache: str, **mx_check: Any) -> dict[str, Any]:
        return {
            "server": {"deadline": 20.0},
            "cache": {"url": cache},
            "dns": {"nameservers": [self.dns.nameserver], "timeout": 2.0, "tries": 1},
            "mx_check": {"test_mode": True, "port": self.peers.port, "verify_greeting": True} | mx_check,
        }


@pytest.fixture
async def lab(dns_server: DnsServer, smtp_peers: SmtpPeers) -> Lab:
    return Lab(dns_server, smtp_peers)


async def check(service: Service, *domains: str, **fields: Any) -> list[str]:
    """Check a message with these domains and return the verdicts."""
    sender, *more = (f"a@{domain}" for domain in domains)
    reply = await service.check({"sender": sender, "mime_from": more, **fields})
    assert reply.status == 200, reply.body
    return [domain["verdict"] for domain in reply.body["domains"]]


async def told_once(service: Service, condition: Callable[[Exposition], bool]) -> Exposition:
    """Scrape until the condition holds; raises TimeoutError."""
    async with asyncio.timeout(20):
        while not condition(told := await service.metrics()):
            pass
    return told


def by(told: Exposition, metric: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric by these labels, which are all it has."""
    return {tuple(dict(found)[label] for label in labels): value for found, value in told.series(metric).items()}


class TestCounts:
    async def test_a_script_of_requests_is_counted_to_the_last(self, lab: Lab) -> None:
        with Service(lab.settings("memory://", probe_ipv6=True)) as service:
            assert await check(service, "good.test") == ["gd"]  # asks and probes
            assert await check(service, "good.test") == ["gd"]  # reads, and is remembered
            for _ in range(3):
                assert await check(service, "good.test") == ["gd"]
            assert await check(service, "v6.test", "refused.test", "null.test") == ["err:554", "rf", "null"]
            assert await check(service, "none.test", "servfail.test", "silent.test") == ["no", "df", "df"]
            assert await check(service, "formerr.test") == ["df"]
            told = await service.metrics()
        assert by(told, "mxcheck_requests_total", "endpoint", "code")[("/v1/check", "200")] == 8
        assert by(told, "mxcheck_verdicts_total", "source", "verdict", "origin") == {
            ("from", "gd", "fresh"): 1,
            ("from", "gd", "cache"): 1,
            ("from", "gd", "remembered"): 3,
            ("from", "err", "fresh"): 1,
            ("mime_from", "rf", "fresh"): 1,
            ("mime_from", "null", "fresh"): 1,
            ("from", "no", "fresh"): 1,
            ("mime_from", "df", "fresh"): 2,
            ("from", "df", "fresh"): 1,
        }
        assert by(told, "mxcheck_domain_duration_seconds_count", "origin") == {("fresh",): 8, ("cache",): 1}
        # A and AAAA of the three hosts, and of none.test, which has no MX.
        assert by(told, "mxcheck_dns_answers_total", "type", "result") == {
            ("MX", "found"): 4,
            ("MX", "nxdomain"): 1,
            ("MX", "servfail"): 1,
            ("MX", "timeout"): 1,
            ("MX", "other"): 1,
            ("A", "found"): 2,
            ("A", "nodata"): 1,
            ("A", "nxdomain"): 1,
            ("AAAA", "found"): 1,
            ("AAAA", "nodata"): 2,
            ("AAAA", "nxdomain"): 1,
        }
        assert by(told, "mxcheck_probes_total", "family", "verdict") == {
            ("v4", "gd"): 1,
            ("v6", "err"): 1,
            ("v4", "rf"): 1,
        }
        assert by(told, "mxcheck_probe_duration_seconds_count", "family") == {("v4",): 2, ("v6",): 1}
        assert by(told, "mxcheck_probe_locks_total", "result") == {("won",): 3}
        # A host is looked for twice: with all others, and again before it is asked about.
        assert by(told, "mxcheck_cache_reads_total", "layer", "result") == {
            ("d", "miss"): 8,
            ("m", "miss"): 6,
            ("i", "miss"): 3,
            ("d", "near"): 1,
            ("m", "near"): 1,
            ("i", "near"): 1,
        }
        # That of silent.test came last of its message's, perhaps after servfail.test's, and formerr.test's after it.
        assert told.value("mxcheck_dns_failures_in_a_row") in (2, 3)
        assert told.value("mxcheck_deadline_seconds") == 20
        assert told.value("mxcheck_workers") == 1
        assert told.series("mxcheck_redis_up") == told.series("mxcheck_tracking_up") == {}

    async def test_two_workers_tell_their_sum(self, lab: Lab, redis_server: RedisServer) -> None:
        settings = lab.settings(redis_server.url)
        settings["server"] |= {"workers": 2}
        async with serving(settings) as service, connections(CONNECTIONS) as sessions:
            url = f"{service.url}/v1/check?sender=a@good.test&mime_from=b@null.test"
            await asyncio.gather(*(get(session, url) for session in sessions))
            told = await told_once(
                service,
                lambda told: (
                    told.value("mxcheck_workers") == 2
                    and told.value("mxcheck_tracking_up") == told.value("mxcheck_redis_up") == 1
                ),
            )
        verdicts = by(told, "mxcheck_verdicts_total", "source", "verdict", "origin")
        assert {series[:2] for series in verdicts} == {("from", "gd"), ("mime_from", "null")}
        for verdict in ("gd", "null"):
            assert sum(value for series, value in verdicts.items() if series[1] == verdict) == CONNECTIONS
        assert by(told, "mxcheck_dns_answers_total", "type", "result") == {("MX", "found"): 2, ("A", "found"): 1}
        assert by(told, "mxcheck_probes_total", "family", "verdict") == {("v4", "gd"): 1}
        assert lab.good.connections == 1

    async def test_redis_is_lost_and_comes_back(self, lab: Lab, redis_server: RedisServer) -> None:
        def states(told: Exposition) -> tuple[float, float]:
            return told.value("mxcheck_redis_up"), told.value("mxcheck_tracking_up")

        with Service(lab.settings(redis_server.url)) as service:
            await told_once(service, lambda told: states(told) == (1, 1))
            redis_server.stop()
            assert await check(service, "good.test") == ["redis_error"]
            told = await told_once(service, lambda told: states(told) == (0, 0))
            assert by(told, "mxcheck_probe_locks_total", "result") == {("failed",): 1}
            assert set(by(told, "mxcheck_cache_reads_total", "layer", "result")) == {
                ("d", "error"), ("m", "error"), ("i", "error"),
            }  # fmt: skip
            redis_server.start()
            await told_once(service, lambda told: told.value("mxcheck_tracking_up") == 1)
            assert await check(service, "good.test") == ["gd"]
            assert states(await service.metrics()) == (1, 1)

    async def test_waiting_for_another_worker(self, lab: Lab, redis_server: RedisServer) -> None:
        with Service(lab.settings(redis_server.url)) as service, redis_server.client() as client:
            client.set(f"rmx:i:{lab.held.address}", "l", ex=60)
            checking = asyncio.create_task(check(service, "held.test"))
            await told_once(service, lambda told: told.value("mxcheck_probe_locks_total", result="held") == 1)
            client.set(f"rmx:i:{lab.held.address}", "rf", ex=60)
            assert await checking == ["rf"]
            told = await service.metrics()
        assert by(told, "mxcheck_inflight_waits_total", "layer", "result") == {("i", "answered"): 1}
        assert not told.series("mxcheck_probes_total")

    async def test_a_lookup_that_outlives_its_request(self, lab: Lab) -> None:
        with Service(lab.settings("memory://")) as service:
            assert await check(service, "slow.test", deadline_ms=100) == ["inflight"]
            second = asyncio.create_task(check(service, "slow.test"))
            told = await told_once(service, lambda told: told.value("mxcheck_background_tasks") == 2)
            assert told.value("mxcheck_requests_in_flight") == 1
            assert not told.series("mxcheck_background_lookups_total")
            lab.answer.set()
            assert await second == ["no"]
            told = await told_once(service, lambda told: bool(told.series("mxcheck_background_lookups_total")))
        assert by(told, "mxcheck_background_lookups_total", "result") == {("finished",): 1}
        assert told.value("mxcheck_verdicts_total", source="from", verdict="inflight", origin="partial") == 1
        assert told.value("mxcheck_inflight_waits_total", layer="d", result="shared") == 1
