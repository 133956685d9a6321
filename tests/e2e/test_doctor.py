"""`mxcheck doctor` with real children, resolvers, peers and limits."""

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from mxcheck_service.core.endpoint import endpoint
from tests.e2e.doctoring import FAILURES, GOOD, WARNINGS, examine
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.knot import KnotServer
from tests.lab.process import run as run_command
from tests.lab.redis import RedisServer
from tests.lab.service import COMMAND, Service, mxcheck
from tests.lab.smtp import SmtpPeers
from tests.lab.sockets import free_port


async def test_all_is_well(well: Callable[..., Path], redis_server: RedisServer, smtp_peers: SmtpPeers) -> None:
    peers = [smtp_peers.add(scripts.good()).address for _ in range(2)]
    config = well(cache={"url": redis_server.url}, mx_check={"port": smtp_peers.port})
    with redis_server.client() as client:
        client.set("other", "key")
        found = await examine(config, peers[0], f"{peers[1]}:{smtp_peers.port}")
        assert client.keys() == ["other"], "nothing is left behind"
    assert found.code == GOOD, found.rows
    assert {row["status"] for row in found.rows} == {"ok"}
    assert [row["area"] for row in found.rows] == [
        *("settings", "port", "dns", "cache", "cache", "egress", "egress", "clock", "limits"),
    ]
    assert re.search(r"Redis \d+\.\d+\.\d+, [\d.]+ ms a round trip, 1 keys", found.of("cache")[0][1])
    assert "tells of changes" in found.of("cache")[1][1]
    assert f"{peers[1]}, port {smtp_peers.port} accepts connections" in found.of("egress")[1][1]


class TestDns:
    async def test_one_that_makes_up_names(self, well: Callable[..., Path], knot: KnotServer) -> None:
        knot.set_zone("example.com", "@ A 192.0.2.80\n")
        knot.set_zone("invalid", "* A 192.0.2.66\n")
        found = await examine(well(dns={"nameservers": [knot.nameserver]}))
        assert found.code == FAILURES
        ((status, text),) = found.of("dns")
        assert status == "fail"
        assert re.search(r"lies: it gives 192\.0\.2\.66 for mxcheck-[0-9a-f]{12}\.invalid", text)

    async def test_silence(self, well: Callable[..., Path], resolver: DnsServer) -> None:
        resolver.set("example.com", "A", dns.DROP)
        found = await examine(well(dns={"timeout": 0.2}))
        assert (found.code, found.bad()) == (FAILURES, {"dns": "dns-fails"})
        assert found.of("dns") == [("fail", f"{resolver.nameserver} does not answer (TIMEOUT, 1 tries of 0.2 s)")]

    async def test_each_is_asked(self, well: Callable[..., Path], resolver: DnsServer) -> None:
        """The service would go on with the one that answers, only slower."""
        nobody = f"127.0.0.1:{free_port()}"
        found = await examine(well(dns={"nameservers": [nobody, resolver.nameserver], "timeout": 0.5}))
        assert [status for status, _ in found.of("dns")] == ["fail", "ok"]
        assert nobody in found.of("dns")[0][1]

    @pytest.mark.parametrize(
        ("behaviour", "status", "words"),
        [
            (dns.REFUSED, "fail", "answers REFUSED"),
            (dns.SERVFAIL, "fail", "cannot resolve example.com (SERVFAIL)"),
            (dns.NXDOMAIN, "warn", "says that example.com has no address"),
            (dns.Delayed(dns.a("192.0.2.80"), seconds=0.6), "warn", "took 6"),
        ],
    )
    async def test_answers_that_help_nobody(
        self, well: Callable[..., Path], resolver: DnsServer, behaviour: dns.Behaviour, status: str, words: str
    ) -> None:
        resolver.set("example.com", "A", behaviour)
        found = (await examine(well())).of("dns")
        assert [status for status, _ in found] == [status]
        assert words in found[0][1]

    async def test_tcp_is_closed(self, well: Callable[..., Path]) -> None:
        async with DnsServer(tcp=False) as resolver:
            resolver.set("example.com", "A", dns.a("192.0.2.80"))
            found = await examine(well(dns={"nameservers": [resolver.nameserver]}))
            assert resolver.count("example.com", "A") == 1
        assert found.code == WARNINGS
        ((status, text),) = found.of("dns")
        assert (status, "does not answer over TCP" in text) == ("warn", True)


class TestEgress:
    async def test_without_a_target_it_says_how(self, well: Callable[..., Path]) -> None:
        found = await examine(well())
        assert found.code == GOOD
        assert [status for status, _ in found.of("egress")] == ["skip"]

    async def test_a_blocked_port(self, well: Callable[..., Path], smtp_peers: SmtpPeers) -> None:
        holes = [await smtp_peers.add_connect_timeout() for _ in range(2)]
        config = well(mx_check={"port": smtp_peers.port, "connect_timeout": 0.3})
        found = await examine(config, holes[0], holes[1])
        assert (found.code, found.bad()) == (FAILURES, {"egress": "port-25-is-blocked"})
        status, text = found.of("egress")[0]
        assert (status, f"port {smtp_peers.port} is blocked" in text) == ("fail", True)

    async def test_a_port_that_is_rejected(self, well: Callable[..., Path], smtp_peers: SmtpPeers) -> None:
        closed = [smtp_peers.add_refused() for _ in range(2)]
        config = well(mx_check={"port": smtp_peers.port})
        found = await examine(config, closed[0], closed[1])
        assert found.code == FAILURES
        assert "is rejected on the way" in found.of("egress")[0][1]

    async def test_one_host_proves_nothing(self, well: Callable[..., Path], smtp_peers: SmtpPeers) -> None:
        hole = await smtp_peers.add_connect_timeout()
        config = well(mx_check={"port": smtp_peers.port, "connect_timeout": 0.3})
        found = await examine(config, hole, hole)
        assert found.code == WARNINGS
        assert {status for status, _ in found.of("egress")} == {"warn"}

    async def test_one_that_answers_proves_the_way_is_open(
        self, well: Callable[..., Path], smtp_peers: SmtpPeers
    ) -> None:
        hole, peer = await smtp_peers.add_connect_timeout(), smtp_peers.add(scripts.good()).address
        config = well(mx_check={"port": smtp_peers.port, "connect_timeout": 0.3})
        found = await examine(config, hole, peer)
        assert found.code == WARNINGS
        assert [status for status, _ in found.of("egress")] == ["warn", "ok"]

    async def test_names_are_looked_up(
        self, well: Callable[..., Path], smtp_peers: SmtpPeers, resolver: DnsServer
    ) -> None:
        peer = smtp_peers.add(scripts.good()).address
        resolver.set("mx.example.test", "A", dns.a(peer))
        config = well(mx_check={"test_mode": True})
        words = (f"mx.example.test:{smtp_peers.port}", "none.example.test")
        found = await examine(config, *words)
        assert f"mx.example.test ({peer}), port {smtp_peers.port} accepts" in found.of("egress")[0][1]
        assert "none.example.test, port 25: the name has no address: NXDOMAIN" in found.of("egress")[1][1]

    @pytest.mark.parametrize("words", ["", "a:b", "a:0", "a:70000", "u@a", "a/b", "a\x1b[31mb/", "[::1"])
    def test_what_is_no_target(self, words: str) -> None:
        with pytest.raises(ValueError, match="is not HOST or HOST:PORT"):
            endpoint(words)


class TestPort:
    async def test_the_service_itself(self, well: Callable[..., Path]) -> None:
        port = free_port()
        with Service({"server": {"port": port}}):
            found = await examine(well(server={"port": port}))
        assert found.code == GOOD
        assert re.fullmatch(rf"127\.0\.0\.1, port {port} is served by mxcheck \d+\.\d+\.\d+", found.of("port")[0][1])

    async def test_somebody_else(self, well: Callable[..., Path], smtp_peers: SmtpPeers) -> None:
        peer = smtp_peers.add(scripts.good())
        found = await examine(well(server={"host": peer.address, "port": peer.port}))
        assert (found.code, found.bad()) == (FAILURES, {"port": "it-does-not-start"})
        assert "is taken by another program" in found.of("port")[0][1]

    async def test_an_address_of_another_machine(self, well: Callable[..., Path]) -> None:
        found = await examine(well(server={"host": "192.0.2.1", "auth_token": "x"}))
        assert found.code == FAILURES
        assert "cannot be had: Cannot assign requested address" in found.of("port")[0][1]


class TestProcess:
    @pytest.mark.parametrize(("files", "status"), [(100, "warn"), (60, "fail")])
    async def test_limits_are_lower_than_wanted(self, well: Callable[..., Path], files: int, status: str) -> None:
        command = [*COMMAND, "doctor", "--json", "--config", str(well(server={"max_concurrent_requests": 1000}))]
        limited = f"ulimit -n {files}; {shlex.join(command)} || true"
        rows = json.loads(run_command(["bash", "-c", limited], "doctor"))
        (row,) = [row for row in rows if row["area"] == "limits"]
        assert (row["status"], row["see"]) == (status, "requests-are-shed")
        assert row["found"].startswith(f"{files} files")
        assert "2064" in row["advice"]

    async def test_settings_and_maps(self, well: Callable[..., Path]) -> None:
        config = well(mx_check={"timeout": 6, "bad_ips": ["nonsense"], "test_mode": True}, server={"host": "0.0.0.0"})
        found = await examine(config)
        texts = " ".join(text for status, text in found.of("settings") if status == "warn")
        for words in ("timeout is deprecated", "'nonsense' is not an IP", "test_mode", "no token", "deadline (5 s)"):
            assert words in texts
        found = await examine(well(mx_check={"bad_mxs": "/nowhere/x.map"}))
        assert (found.code, found.bad()) == (FAILURES, {"settings": "it-does-not-start"})

    async def test_settings_that_are_wrong(self, well: Callable[..., Path]) -> None:
        code, out, err = await mxcheck("doctor", "--config", str(well(mx_check={"port": 0})))
        assert (code, out) == (2, "")
        assert "mx_check.port" in err


class TestForms:
    """The command itself, as a child."""

    async def test_json(self, well: Callable[..., Path], smtp_peers: SmtpPeers) -> None:
        closed = [smtp_peers.add_refused() for _ in range(2)]
        config = well(mx_check={"port": smtp_peers.port})
        words = [word for address in closed for word in ("--target", address)]
        code, out, err = await mxcheck("doctor", "--json", "--config", str(config), *words)
        assert (code, err) == (FAILURES, "")
        rows = json.loads(out)
        assert {row["area"] for row in rows} == {"settings", "port", "dns", "cache", "egress", "clock", "limits"}
        assert [row["status"] for row in rows if row["area"] == "egress"] == ["fail", "warn", "warn"]
        assert all(row.keys() == {"status", "area", "found", "advice", "see"} for row in rows)

    async def test_a_name_without_a_public_address(self, well: Callable[..., Path], resolver: DnsServer) -> None:
        """As the service would, which takes it for a witness: whoever answers for the name may put any there."""
        resolver.set("inside.test", "A", dns.a("10.0.0.1"))
        _, out, _ = await mxcheck("doctor", "--json", "--config", str(well()), "--target", "inside.test")
        (row,) = (row for row in json.loads(out) if row["area"] == "egress")
        assert row["status"] == "warn"
        assert row["found"] == "inside.test, port 25: the name has no address: only 10.0.0.1, which is not public"

    async def test_a_target_that_is_none(self) -> None:
        code, out, err = await mxcheck("doctor", "--target", "a\x1b[31mb/")
        assert (code, out) == (2, "")
        assert "is not HOST or HOST:PORT" in err
        assert "\x1b" not in err

    async def test_into_a_pipe_it_writes_plain_text(self, well: Callable[..., Path], redis_server: RedisServer) -> None:
        redis_server.stop()
        code, out, err = await mxcheck("doctor", "--config", str(well(cache={"url": redis_server.url})))
        assert (code, err) == (FAILURES, "")
        assert "\x1b" not in out
        lines = [line.split(maxsplit=2) for line in out.splitlines()]
        assert ["fail", "cache"] in [line[:2] for line in lines]
        assert "docs/troubleshooting.md#redis-is-lost" in out

    async def test_on_a_terminal_it_is_coloured(self, well: Callable[..., Path], resolver: DnsServer) -> None:
        resolver.set("example.com", "A", dns.REFUSED)
        environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
        terminal = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], "doctor", "--config", str(well())],
            env=environment | {"TERM": "xterm-256color"},
            dimensions=(50, 100),
            encoding="utf-8",
            timeout=20,
        )
        try:
            await terminal.expect(pexpect.EOF, async_=True)
            text = terminal.before
        finally:
            terminal.close()
        assert terminal.exitstatus == FAILURES
        assert isinstance(text, str)
        assert "\x1b[1;31mfail" in text
        assert "\x1b[32mok" in text
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert max(len(line) for line in plain.splitlines()) <= 100
        assert "answers REFUSED" in plain
