"""Too much to do: what is refused and at what cost, what is still answered, and what never grows.

Counted, not timed: DNS answers and greetings are held back until the test lets them go.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from mxcheck_service import app as composition
from mxcheck_service.app import _TASKS, BACKGROUND
from mxcheck_service.capacity import TOGETHER, Places
from mxcheck_service.web.gate import STATE, State
from mxcheck_service.web.overload import Lag
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.smtp import SmtpPeers
from tests.web.conftest import Client, StartService, start
from tests.web.test_gate import until
from tests.web.test_service import app_of

__all__ = ["start"]

PATIENT: Final = {"timeout": 60, "tries": 1}
"""DNS settings with which nothing ends by itself."""
UNLIMITED: Final = {"probes_per_network": 0, "probes_per_suffix": 0}
WARM: Final = {"sender": "a@good.test"}


class Silent:
    """Domains whose MX question is answered when the test says so: they have none."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self.answer = asyncio.Event()
        self.names: list[str] = []

    def new(self, count: int = 1) -> list[str]:
        names = [f"silent{len(self.names) + number}.test" for number in range(count)]
        for name in names:
            self._server.set(name, "MX", dns.Delayed(dns.NXDOMAIN, until=self.answer))
        self.names += names
        return names

    @property
    def asked(self) -> list[str]:
        """Those that DNS was asked for, in order."""
        counts = self._server.counts()
        return [name for name in self.names if counts[name, "MX"]]


@pytest.fixture
def silent(dns_server: DnsServer) -> Silent:
    return Silent(dns_server)


@pytest.fixture(autouse=True)
def in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine of the tests is, the loop is late when a test says so."""
    monkeypatch.setattr(Lag, "at", lambda self, now: 0.0)
    monkeypatch.setattr(Lag, "busy", property(lambda self: False, lambda self, busy: None), raising=False)
    monkeypatch.setattr(Places, "adapt", lambda self, late, busy: None)


class Late:
    """In place of the look at the loop: it is as late as the test says."""

    def __init__(self, seconds: float, worked: float, *, busy: bool) -> None:
        self.seconds = seconds
        self.its_work = worked
        self.busy = busy

    def at(self, now: float) -> float:
        return self.seconds

    def worked(self, now: float) -> float:
        return self.its_work


def make_late(client: Client, seconds: float, worked: float | None = None, *, busy: bool = False) -> None:
    """`worked`: seconds of it in which the loop has worked; None: all of them."""
    state_of(client).lag = Late(seconds, seconds if worked is None else worked, busy=busy)  # type: ignore[assignment]


def state_of(client: Client) -> State:
    return app_of(client)[STATE]


def addresses(names: Iterable[str]) -> list[str]:
    return [f"a@{name}" for name in names]


async def ask(client: Client, body: dict[str, Any]) -> tuple[int, list[str]]:
    """The status, and the verdicts."""
    async with client.post("/v1/check", json=body) as response:
        reply = await response.json()
        if response.status == 503:
            assert response.headers["Retry-After"] == "1"
            assert response.headers["Connection"] == "keep-alive"
            assert response.content_type == "application/problem+json"
            assert reply["status"] == 503
        return response.status, [domain["verdict"] for domain in reply.get("domains", ())]


async def until_idle(client: Client) -> None:
    await until(lambda: not len(app_of(client)[BACKGROUND]) and not len(state_of(client).places))


class TestShedding:
    async def test_what_is_remembered_is_answered_though_nothing_can_be_looked_up(
        self, start: StartService, silent: Silent
    ) -> None:
        client = await start(server={"max_concurrent_requests": 2}, dns=PATIENT)
        assert [await ask(client, WARM), await ask(client, WARM)] == [(200, ["gd"])] * 2
        waiting = [asyncio.create_task(ask(client, {"sender": f"a@{name}"})) for name in silent.new(2)]
        await until(lambda: state_of(client).places.few == 2)
        for _ in range(3):
            assert await ask(client, {"sender": "a@null.test"}) == (503, [])
            assert await ask(client, WARM) == (200, ["gd"])
        for path in ("/healthz", "/readyz", "/metrics"):
            async with client.get(path) as response:
                assert response.status == 200
        silent.answer.set()
        assert await asyncio.gather(*waiting) == [(200, ["no"])] * 2
        assert await ask(client, {"sender": "a@null.test"}) == (200, ["null"])

    @pytest.mark.parametrize(("late", "busy"), [(0.001, False), (0, True)])
    async def test_in_a_loop_that_is_busy_some_are_refused_unread(
        self, start: StartService, late: float, busy: bool
    ) -> None:
        """After one that was to be looked up others are, whatever they ask; ever more of them, until one is known."""
        client = await start(server={"max_concurrent_requests": 1})
        assert [await ask(client, WARM), await ask(client, WARM)] == [(200, ["gd"])] * 2
        state_of(client).places.few = 1
        make_late(client, late, busy=busy)
        assert (await ask(client, WARM))[0] == 200
        assert (await ask(client, {"sender": "a@null.test"}))[0] == 503
        assert [(await ask(client, WARM))[0] for _ in range(3)] == [503, 200, 200]
        for unread in (1, 3, 7, 15, 31, 31):
            assert (await ask(client, {"sender": "a@null.test"}))[0] == 503
            assert [(await ask(client, WARM))[0] for _ in range(unread)] == [503] * unread
        assert (await ask(client, WARM))[0] == 200
        assert (await ask(client, {"sender": "a@null.test"}))[0] == 503
        assert [(await ask(client, WARM))[0] for _ in range(2)] == [503, 200]
        assert (await ask(client, {"sender": "a@null.test"}))[0] == 503
        make_late(client, 0)
        assert (await ask(client, WARM))[0] == 200
        state_of(client).places.few = 0

    async def test_who_has_waited_for_half_the_deadline_is_refused_unread(self, start: StartService) -> None:
        client = await start(server={"deadline": 2})
        for late, status in ((0.9, 415), (1.1, 503)):
            make_late(client, late)
            async with client.post("/v1/check", data=b"not read") as response:
                assert response.status == status
        for path in ("/healthz", "/readyz", "/metrics"):
            async with client.get(path) as response:
                assert response.status == 200

    async def test_who_has_waited_while_the_process_stood_still_is_served(self, start: StartService) -> None:
        client = await start(server={"deadline": 2})
        make_late(client, 1.9, worked=0.1)
        assert (await ask(client, {"sender": "a@null.test"}))[0] == 200
        make_late(client, 2.1, worked=0.1)
        assert (await ask(client, {"sender": "a@null.test"}))[0] == 503

    async def test_what_could_not_be_in_time_any_more_is_not_begun(
        self, start: StartService, dns_server: DnsServer
    ) -> None:
        client = await start(server={"deadline": 60})
        make_late(client, 0.5)
        assert await ask(client, {"sender": "a@null.test", "deadline_ms": 499}) == (503, [])
        assert not dns_server.counts()
        assert await ask(client, {"sender": "a@null.test", "deadline_ms": 30_000}) == (200, ["null"])
        async with client.get("/v1/check?sender=a@null.test&deadline_ms=400") as response:
            assert response.status == 503

    async def test_the_time_a_request_has_waited_is_taken_off_its_deadline(
        self, start: StartService, silent: Silent
    ) -> None:
        client = await start(server={"deadline": 3600}, dns=PATIENT)
        make_late(client, 1799.9)
        body = {"sender": f"a@{silent.new()[0]}", "deadline_ms": 1_800_000}
        async with asyncio.timeout(20):
            assert await ask(client, body) == (200, ["inflight"])
        silent.answer.set()
        await until_idle(client)

    async def test_bodies_that_are_still_coming_take_nobodys_place(self, start: StartService) -> None:
        client = await start(server={"max_concurrent_requests": 1})
        head = b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
        writers = []
        for _ in range(2):
            _, writer = await asyncio.open_connection(client.host, client.port)
            writer.write(head)
            writers.append(writer)
        await until(lambda: state_of(client).active == 2)
        assert (await ask(client, {}))[0] == 200, "who only waits for a body takes nobody's place"
        for writer in writers:
            writer.close()
            await writer.wait_closed()
        await until(lambda: not state_of(client).active)
        assert (await ask(client, {}))[0] == 200


class TestRefusal:
    """What is said goes out as octets that are ready."""

    @asynccontextmanager
    async def connection(self, client: Client) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        yield reader, writer
        writer.close()
        await writer.wait_closed()

    async def reply(self, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        async with asyncio.timeout(30):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            return head, await reader.readexactly(length)

    @pytest.mark.parametrize("body_follows", [False, True], ids=["body-with-the-head", "body-after-the-refusal"])
    async def test_the_connection_serves_the_next_request_whenever_the_body_comes(
        self, start: StartService, body_follows: bool
    ) -> None:
        client = await start()
        head = b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        body = json.dumps(WARM | {"helo": "x" * 40_000}).encode()
        async with self.connection(client) as (reader, writer):
            make_late(client, 3600)
            for _ in range(3):
                writer.write(head % len(body) + (b"" if body_follows else body))
                status, refused = await self.reply(reader)
                assert status.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
                assert json.loads(refused)["status"] == 503
                if body_follows:
                    writer.write(body)
            make_late(client, 0)
            good = json.dumps(WARM).encode()
            writer.write(head % len(good) + good)
            status, answer = await self.reply(reader)
            assert status.startswith(b"HTTP/1.1 200 ")
            assert b"MX_GOOD" in answer

    async def test_requests_in_one_piece_have_one_answer_each_in_their_order(self, start: StartService) -> None:
        client = await start()
        one = b"POST /v1/check HTTP/1.1\r\nHost: x\r\nX-Request-Id: %d\r\nContent-Length: 2\r\n\r\n{}"
        make_late(client, 3600)
        async with self.connection(client) as (reader, writer):
            writer.write(b"".join(one % number for number in range(5)))
            for number in range(5):
                head, _ = await self.reply(reader)
                assert b"\r\nX-Request-Id: %d\r\n" % number in head

    @pytest.mark.parametrize(
        ("request_head", "closed"),
        [
            pytest.param(b"POST /v1/check HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", True, id="close"),
            pytest.param(b"GET /v1/check HTTP/1.0\r\nHost: x\r\n\r\n", True, id="http-1.0"),
            pytest.param(b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nX-Request-Id: a b\r\n\r\n", False, id="odd-id"),
        ],
    )
    async def test_what_a_caller_wants_of_its_connection_is_done(
        self, start: StartService, request_head: bytes, closed: bool
    ) -> None:
        client = await start()
        make_late(client, 3600)
        async with self.connection(client) as (reader, writer):
            writer.write(request_head)
            head, body = await self.reply(reader)
            assert head.split()[1] == b"503"
            assert b"\r\nRetry-After: 1\r\n" in head
            assert json.loads(body)["status"] == 503
            assert (b"X-Request-Id" in head) == (b"X-Request-Id" in request_head)
            assert b"a b" not in head
            if closed:
                async with asyncio.timeout(30):
                    assert await reader.read() == b""
            else:
                make_late(client, 0)
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await self.reply(reader))[0].split()[1] == b"200"

    async def test_head_has_no_body(self, start: StartService) -> None:
        client = await start()
        make_late(client, 3600)
        async with client.head("/v1/check") as response:
            assert (response.status, await response.read()) == (503, b"")

    async def test_it_is_counted_and_told_once(self, start: StartService, caplog: pytest.LogCaptureFixture) -> None:
        client = await start()
        make_late(client, 3600)
        for _ in range(5):
            assert (await ask(client, {}))[0] == 503
        async with client.get("/metrics") as response:
            assert 'mxcheck_requests_total{code="503",endpoint="/v1/check"} 5.0' in await response.text()
        assert len([record for record in caplog.records if "refused with 503" in record.getMessage()]) == 1

    async def test_a_token_is_asked_for_first(self, start: StartService) -> None:
        client = await start(server={"auth_token": "s3cret"})
        make_late(client, 3600)
        async with client.post("/v1/check", json={}) as response:
            assert response.status == 401


class TestBackground:
    """What goes on without its request."""

    async def test_lookups_that_outlive_their_requests_are_bounded(self, start: StartService, silent: Silent) -> None:
        client = await start(server={"max_concurrent_requests": 10}, dns=PATIENT)
        found = [await ask(client, {"sender": f"a@{name}", "deadline_ms": 1}) for name in silent.new(60)]
        assert found == [(200, ["inflight"])] * 10 + [(503, [])] * 50
        assert len(app_of(client)[BACKGROUND]) == 10
        silent.answer.set()
        await until_idle(client)
        assert silent.asked == silent.names[:10]
        # What went on has come to its end, and there is room again.
        assert await ask(client, {"sender": f"a@{silent.names[0]}"}) == (200, ["no"])
        assert await ask(client, {"sender": f"a@{silent.names[-1]}"}) == (200, ["no"])

    async def test_so_are_attempts_at_mail_hosts_that_say_nothing(
        self, start: StartService, dns_server: DnsServer, smtp_peers: SmtpPeers
    ) -> None:
        client = await start(
            server={"max_concurrent_requests": 3},
            improvements=UNLIMITED | {"attempt_stagger": 0.001},
            mx_check={"connect_timeout": 60, "read_timeout": 60, "verify_greeting": True},
        )
        names = [f"mute{number}.test" for number in range(30)]
        for name in names:
            hosts = [smtp_peers.add((scripts.Stay(),)).address for _ in range(3)]
            dns_server.set(name, "MX", dns.mx(*((host, f"mx{host}.{name}.") for host in range(3))))
            for number, address in enumerate(hosts):
                dns_server.set(f"mx{number}.{name}", "A", dns.a(address))
        statuses = []
        most = 0
        for name in names:
            status, verdicts = await ask(client, {"sender": f"a@{name}", "deadline_ms": 20})
            assert verdicts == (["inflight"] if status == 200 else [])
            statuses.append(status)
            most = max(most, len(app_of(client)[BACKGROUND]))
        assert statuses == [200] * 3 + [503] * 27
        assert most <= 3 * _TASKS

    async def test_tasks_are_bounded_in_all(self, start: StartService) -> None:
        """Also what lookups have left behind that ended themselves."""
        client = await start(server={"max_concurrent_requests": 2})
        background, go = app_of(client)[BACKGROUND], asyncio.Event()
        left = [background.spawn(go.wait()) for _ in range(2 * _TASKS)]
        assert await ask(client, {"sender": "a@null.test"}) == (503, [])
        go.set()
        await asyncio.gather(*left)
        assert await ask(client, {"sender": "a@null.test"}) == (200, ["null"])

    async def test_farewells_are_bounded_and_take_no_place_of_lookups(
        self, monkeypatch: pytest.MonkeyPatch, start: StartService, dns_server: DnsServer, smtp_peers: SmtpPeers
    ) -> None:
        monkeypatch.setattr(composition, "MAX_LINGERING", 2)
        bye = asyncio.Event()
        peers = [smtp_peers.add(scripts.good(hold_bye=bye)) for _ in range(5)]
        polite = {"verify_greeting": True, "send_quit": True}
        client = await start(server={"max_concurrent_requests": 1}, improvements=UNLIMITED, mx_check=polite)
        for number, peer in enumerate(peers):
            dns_server.set(f"slowbye{number}.test", "MX", dns.mx((10, f"mx.slowbye{number}.test.")))
            dns_server.set(f"mx.slowbye{number}.test", "A", dns.a(peer.address))
        for number, peer in enumerate(peers):
            assert await ask(client, {"sender": f"a@slowbye{number}.test"}) == (200, ["gd"])
            if number < 2:
                await peer.wait_received(b"QUIT\r\n")
        for peer in peers[2:]:
            (session,) = await peer.wait_ended()
            assert b"QUIT" not in session.received
        assert len(app_of(client)[BACKGROUND]) == 2
        bye.set()
        await until_idle(client)


class TestFairness:
    """Who asks for hundreds of domains waits for itself, not others for it."""

    async def test_many_domains_have_few_lookups_at_once_and_one_domain_passes_them(
        self, start: StartService, silent: Silent
    ) -> None:
        client = await start(server={"deadline": 3600}, dns=PATIENT)
        names = silent.new(400)
        crowd = [
            asyncio.create_task(ask(client, {"mime_from": addresses(names[first : first + 100])}))
            for first in range(0, 400, 100)
        ]
        await until(lambda: state_of(client).places.many == 400 and len(silent.asked) == TOGETHER)
        assert await ask(client, {"sender": "a@null.test"}) == (200, ["null"])
        assert await ask(client, {"sender": "a@good.test", "mime_from": "b@null.test"}) == (200, ["gd", "null"])
        assert len(silent.asked) == TOGETHER
        silent.answer.set()
        assert await asyncio.gather(*crowd) == [(200, ["no"] * 100)] * 4

    async def test_who_asks_for_four_does_not_wait_for_who_asks_for_hundred(
        self, start: StartService, silent: Silent, dns_server: DnsServer
    ) -> None:
        """The places go round by request: of those that end, every other one is the small request's."""
        client = await start(server={"deadline": 3600}, dns=PATIENT)
        large, small = silent.new(100), [f"small{number}.test" for number in range(4)]
        first = asyncio.create_task(ask(client, {"mime_from": addresses(large)}))
        await until(lambda: len(silent.asked) == TOGETHER)
        second = asyncio.create_task(ask(client, {"mime_from": addresses(small)}))
        await until(lambda: state_of(client).places.many == 104)
        silent.answer.set()
        assert await second == (200, ["no"] * 4)
        assert await first == (200, ["no"] * 100)
        order = [asked.name for asked in dns_server.asked if asked.kind == "MX"]
        # Those that go out together may arrive in another order.
        assert max(order.index(name) for name in small) < TOGETHER + 2 * len(small) + TOGETHER

    async def test_past_their_own_bound_requests_with_many_are_refused_and_no_others(
        self, start: StartService, silent: Silent
    ) -> None:
        client = await start(server={"max_concurrent_requests": 10}, dns=PATIENT)
        names = silent.new(40)
        found = [
            await ask(client, {"mime_from": addresses(names[first : first + 10]), "deadline_ms": 1})
            for first in (0, 10, 20)
        ]
        assert found == [(200, ["inflight"] * 10), (503, []), (503, [])]
        held = asyncio.create_task(ask(client, {"mime_from": addresses(names[30:])}))
        await until(lambda: state_of(client).active == 1)
        assert await ask(client, {"sender": "a@null.test"}) == (200, ["null"])
        assert not held.done()
        assert await held == (503, [])
        silent.answer.set()
        await until_idle(client)
        assert await ask(client, {"mime_from": addresses(names[:10])}) == (200, ["no"] * 10)
