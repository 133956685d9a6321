"""Each part of the lab does what it says, seen by a plain client: what the other tests prove rests on it."""

import asyncio
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import dnslib
import psutil
import pytest
import redis.asyncio as aredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.lab import process, smtp_scripts
from tests.lab.knot import KnotServer
from tests.lab.mta import Exim, Mta, OpenSmtpd, Postfix
from tests.lab.process import Child, ComponentFailed, ComponentMissing
from tests.lab.redis import RedisServer
from tests.lab.smtp import SmtpPeers
from tests.lab.sockets import free_port, is_free

BRIEFLY = 0.1
"""How long a client listens to be sure that a peer stays silent."""


class TestProcess:
    def test_missing_program_fails_when_the_real_ones_are_required(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MXCHECK_REQUIRE_REAL", "1")
        with pytest.raises(ComponentMissing, match="no-such-program"):
            process.find_program("no-such-program")

    def test_missing_program_skips_otherwise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MXCHECK_REQUIRE_REAL", raising=False)
        with pytest.raises(pytest.skip.Exception, match="no-such-program"):
            process.find_program("no-such-program")

    def test_a_program_that_ends_at_once_is_reported_with_its_log(self, tmp_path: Path) -> None:
        child = Child("broken", [sys.executable, "-c", "print('what went wrong'); exit(3)"], tmp_path / "log")
        with pytest.raises(ComponentFailed, match=r"(?s)status 3.*what went wrong"):
            child.start(lambda: False)

    def test_a_program_that_never_gets_ready_is_killed(self, tmp_path: Path) -> None:
        child = Child("slow", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
        with pytest.raises(ComponentFailed, match="ready"):
            child.start(lambda: False, within=0.2)
        assert not child.running

    def test_free_ports_are_free_and_never_the_same(self) -> None:
        ports = [free_port() for _ in range(20)]
        assert len(set(ports)) == 20
        with socket.socket() as taken:
            taken.bind(("127.0.0.60", ports[0]))
            taken.listen()
            assert not is_free(ports[0])


class TestRedis:
    async def test_answers_over_tcp_tls_and_unix_socket(self, redis_with_password: RedisServer) -> None:
        server = redis_with_password
        clients = {
            server.url: aredis.Redis.from_url(server.url),
            server.tls_url: aredis.Redis.from_url(server.tls_url, ssl_ca_certs=str(server.ca_file)),
            server.unix_url: aredis.Redis.from_url(server.unix_url),
        }
        for url, client in clients.items():
            async with client:
                assert await client.set("key", url)
                assert await client.get("key") == url.encode()

    async def test_wants_the_password_and_a_trusted_certificate(self, redis_with_password: RedisServer) -> None:
        async with aredis.Redis(port=redis_with_password.port, retry=Retry(NoBackoff(), 0)) as stranger:
            with pytest.raises(aredis.AuthenticationError):
                await stranger.get("key")
        assert redis_with_password.tls_port is not None
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", redis_with_password.tls_port, ssl=ssl.create_default_context())

    @pytest.mark.parametrize("how", ["stop", "kill"])
    async def test_is_gone_after_its_end_and_back_empty_on_the_same_port(
        self, redis_server: RedisServer, how: str
    ) -> None:
        with redis_server.client() as client:
            client.set("key", "value")
            getattr(redis_server, how)()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", redis_server.port)
            redis_server.start()
            assert client.get("key") is None

    async def test_paused_it_accepts_connections_and_answers_nothing(self, redis_server: RedisServer) -> None:
        with redis_server.paused():
            reader, writer = await asyncio.open_connection("127.0.0.1", redis_server.port)
            writer.write(b"PING\r\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readline(), BRIEFLY)
        assert await reader.readline() == b"+PONG\r\n"
        writer.close()
        await writer.wait_closed()

    def test_fixture_gives_a_running_empty_server_after_all_this(self, redis_server: RedisServer) -> None:
        with redis_server.client() as client:
            assert client.keys() == []


class TestKnot:
    def test_serves_its_zones_over_udp_and_tcp_and_counts(self) -> None:
        with KnotServer({"one.test": "@ MX 10 mx\nmx A 127.0.0.2\n", "two.test": "@ A 127.0.0.3\n"}) as server:
            for tcp in (False, True):
                assert [str(rr.rdata) for rr in ask(server, "one.test", "MX", tcp=tcp).rr] == ["10 mx.one.test."]
            assert [str(rr.rdata) for rr in ask(server, "two.test", "A").rr] == ["127.0.0.3"]
            assert server.queries("one.test") == {"MX": 2}

    def test_takes_zones_while_it_runs(self, knot: KnotServer) -> None:
        for address in ("127.0.0.4", "127.0.0.5"):
            knot.set_zone("later.test", f"@ A {address}\n")
            assert [str(rr.rdata) for rr in ask(knot, "later.test", "A").rr] == [address]
        assert dnslib.RCODE[ask(knot, "nothing.later.test", "A").header.rcode] == "NXDOMAIN"
        assert dnslib.RCODE[ask(knot, "elsewhere.test", "A").header.rcode] == "REFUSED"

    def test_bad_zone_is_an_error_with_the_log(self) -> None:
        with KnotServer({}) as server, pytest.raises(ComponentFailed, match="invalid IPv4 address"):
            server.set_zone("bad.test", "@ A 1.2.3.4.5\n")


def ask(server: KnotServer, name: str, kind: str, *, tcp: bool = False) -> dnslib.DNSRecord:
    """One question to a server, by dnslib's own client."""
    return dnslib.DNSRecord.parse(
        dnslib.DNSRecord.question(name, kind).send(server.address, server.port, tcp=tcp, timeout=5)
    )


class TestMta:
    async def test_postfix_greets_with_a_teaser_and_goes_on_after_the_wait(self, postfix: Postfix) -> None:
        for _ in range(2):  # postscreen must not remember a client that has passed
            reader, writer = await asyncio.open_connection(postfix.address, postfix.port)
            assert await reader.readline() == b"220-postfix.lab.test ESMTP\r\n"
            started = time.monotonic()
            assert await reader.readline() == b"220 postfix.lab.test ESMTP\r\n"
            assert 1.5 < time.monotonic() - started < 4
            writer.write(b"QUIT\r\n")
            assert (await reader.read()).startswith(b"221 ")
            writer.close()
            await writer.wait_closed()

    async def test_postfix_notes_a_client_that_talks_too_soon(self, postfix: Postfix) -> None:
        reader, writer = await asyncio.open_connection(postfix.address, postfix.port)
        await reader.readline()
        writer.write(b"EHLO early\r\n")
        await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert "PREGREET" in postfix.log

    async def test_exim_greets_and_says_goodbye(self, exim: Exim) -> None:
        reader, writer = await asyncio.open_connection(exim.address, exim.port)
        assert (await reader.readline()).startswith(b"220 exim.lab.test ESMTP Exim ")
        writer.write(b"QUIT\r\n")
        assert (await reader.read()).startswith(b"221 ")
        writer.close()
        await writer.wait_closed()

    async def test_scripted_and_real_peers_share_a_port(
        self, exim: Exim, postfix: Postfix, smtp_peers: SmtpPeers
    ) -> None:
        assert exim.port == postfix.port == smtp_peers.port
        peer = smtp_peers.add(smtp_scripts.good())
        reader, writer = await asyncio.open_connection(peer.address, peer.port)
        assert await reader.readline() == b"220 mx.lab.test ESMTP\r\n"
        writer.close()
        await writer.wait_closed()

    @pytest.mark.parametrize("mta", [Postfix, partial(Postfix, greet_wait=2), Exim, OpenSmtpd])
    def test_nothing_is_left_running(self, mta: Callable[[Sequence[str]], Mta]) -> None:
        others = psutil.Process().children()
        with mta(["127.0.0.253"]) as running:
            ours = [child for child in psutil.Process().children() if child not in others]
            assert ours
            family = [*ours, *(child for parent in ours for child in parent.children(recursive=True))]
        _, alive = psutil.wait_procs(family, timeout=5)
        assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
        assert not running.folder.exists()
