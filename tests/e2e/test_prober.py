"""The prober against real sockets: every behaviour a peer can show, whole and in single bytes.

It judges as the reference does; how it does by default is tested in test_tolerant_greeting and test_slow_greeting.
"""

import asyncio
import contextlib
import os
import resource
import socket
import time
from dataclasses import replace

import pytest

from mxcheck_service.background import Background
from mxcheck_service.core.model import Outcome, Verdict
from mxcheck_service.core.settings import REFERENCE, MxCheckSettings
from mxcheck_service.ports import ConnectError, ConnectProblem, LocalFault, Probed
from mxcheck_service.prober import SmtpProber, TcpDialer
from tests.lab import smtp_scripts as scripts
from tests.lab.mta import Exim, Postfix
from tests.lab.smtp import End, SmtpPeers
from tests.lab.smtp_scripts import Script
from tests.lab.sockets import RESET_ON_CLOSE

# Where the verdict is a timeout, the peer is silent and the test waits for it; elsewhere nothing waits this long.
PATIENCE = 0.3


def settings(port: int, *, verify: bool = True, quit_after: bool = False) -> MxCheckSettings:
    return MxCheckSettings(
        port=port, verify_greeting=verify, send_quit=quit_after, connect_timeout=PATIENCE, read_timeout=PATIENCE
    )


async def probe(ip: str, chosen: MxCheckSettings) -> Probed | LocalFault:
    background = Background()
    result = await SmtpProber(chosen, REFERENCE, TcpDialer(), background).probe(ip)
    assert not await background.drain(10)
    return result


async def outcome(ip: str, chosen: MxCheckSettings) -> str:
    result = await probe(ip, chosen)
    assert isinstance(result, Probed)
    return str(result.outcome)


# script; verdict when only the first line is read; verdict when the greeting is read to its end because QUIT follows
GREETINGS: dict[str, tuple[Script, str, str]] = {
    "one line": (scripts.good(), "gd", "gd"),
    "several lines": (scripts.good_multi_line(), "gd", "gd"),
    "several lines, byte by byte": (scripts.good_byte_by_byte(), "gd", "gd"),
    "220 without a separator": (scripts.good_bare_code(), "inv", "inv"),
    "LF only": (scripts.good_lf_only(), "tr", "tr"),
    "421": (scripts.rejects(421), "err:421", "err:421"),
    "450": (scripts.rejects(450), "err:450", "err:450"),
    "521": (scripts.rejects(521), "err:521", "err:521"),
    "554": (scripts.rejects(554), "err:554", "err:554"),
    "554 in several lines": (scripts.rejects(554, lines=3), "err:554", "err:554"),
    "250": (scripts.banner(b"250 hello"), "inv", "inv"),
    "354": (scripts.banner(b"354 go ahead"), "inv", "inv"),
    "199": (scripts.banner(b"199 what"), "inv", "inv"),
    "220- then 250": (scripts.mixed_codes(), "gd", "inv"),
    "220- then 421": (scripts.banner(b"220-hello\r\n421 no"), "gd", "err:421"),
    "220- then the end": (scripts.open_greeting_then_eof(), "gd", "inv"),
    "220- then silence": (scripts.open_greeting_then_silence(), "gd", "tr"),
    "half a line, then the end": (scripts.open_line_then_eof(), "inv", "inv"),
    "the end at once": (scripts.eof(), "inv", "inv"),
    "reset at once": (scripts.reset(), "inv", "inv"),
    "silence": (scripts.silent(), "tr", "tr"),
    "an endless line": (scripts.endless_line(), "tr", "tr"),
    "endless 220- lines": (scripts.endless_greeting(), "gd", "tr"),
    "a web server": (scripts.http_server(), "inv", "inv"),
    "NULs": (scripts.nul_bytes(), "inv", "inv"),
    "NULs in the text": (scripts.good_with_nul_bytes(), "gd", "gd"),
    "more than the greeting": (scripts.data_after_greeting(), "gd", "gd"),
    "data after QUIT": (scripts.data_after_quit(), "gd", "gd"),
    "never closing": (scripts.never_closes(), "gd", "gd"),
}


@pytest.mark.parametrize("name", GREETINGS)
async def test_the_greeting_is_judged_and_nothing_is_sent(name: str, smtp_peers: SmtpPeers) -> None:
    """Without send_quit not one octet is ever sent, whatever the peer says."""
    script, verdict, _ = GREETINGS[name]
    peer = smtp_peers.add(script)
    assert await outcome(peer.address, settings(smtp_peers.port)) == verdict
    await peer.wait_ended()
    assert peer.received == b""
    assert peer.connections == 1


@pytest.mark.parametrize("name", GREETINGS)
async def test_quit_follows_a_complete_good_greeting_only(name: str, smtp_peers: SmtpPeers) -> None:
    script, _, verdict = GREETINGS[name]
    peer = smtp_peers.add(script)
    assert await outcome(peer.address, settings(smtp_peers.port, quit_after=True)) == verdict
    await peer.wait_ended()
    assert peer.received == (b"QUIT\r\n" if verdict == "gd" else b"")


async def test_nothing_is_sent_before_the_last_line_is_there(smtp_peers: SmtpPeers) -> None:
    last = asyncio.Event()
    peer = smtp_peers.add(scripts.good_multi_line(hold_last=last))
    patient = replace(settings(smtp_peers.port, quit_after=True), read_timeout=30)
    probing = asyncio.create_task(outcome(peer.address, patient))
    await peer.wait_sent(b"220-No advertising here\r\n")
    assert peer.received == b""
    last.set()
    assert await probing == "gd"
    assert peer.received == b"QUIT\r\n"


async def test_the_221_is_read_before_closing(smtp_peers: SmtpPeers) -> None:
    """Closed with the 221 unread, the connection would end in a reset."""
    bye = asyncio.Event()
    peer = smtp_peers.add(scripts.good(hold_bye=bye))
    background = Background()
    prober = SmtpProber(settings(smtp_peers.port, quit_after=True), REFERENCE, TcpDialer(), background)
    assert await prober.probe(peer.address) == Probed(Outcome(Verdict.GOOD), (b"220 mx.lab.test ESMTP",))
    await peer.wait_received(b"QUIT\r\n")
    assert len(background) == 1, "the verdict does not wait for the farewell"
    bye.set()
    await background.drain(10)
    (session,) = await peer.wait_ended()
    assert session.ended is End.CLIENT_CLOSED


async def test_connecting_is_enough_when_the_greeting_is_not_asked_for(smtp_peers: SmtpPeers) -> None:
    for script in (scripts.silent(), scripts.eof(), scripts.rejects(554)):
        peer = smtp_peers.add(script)
        assert await outcome(peer.address, settings(smtp_peers.port, verify=False, quit_after=True)) == "gd"
        await peer.wait_ended()
        assert peer.received == b""


@pytest.mark.parametrize("verify", [True, False])
async def test_a_refused_connection_is_rf(smtp_peers: SmtpPeers, verify: bool) -> None:
    assert await outcome(smtp_peers.add_refused(), settings(smtp_peers.port, verify=verify)) == "rf"


@pytest.mark.parametrize("verify", [True, False])
async def test_a_connection_that_gets_no_answer_is_tc(smtp_peers: SmtpPeers, verify: bool) -> None:
    assert await outcome(await smtp_peers.add_connect_timeout(), settings(smtp_peers.port, verify=verify)) == "tc"


async def test_ipv6_is_probed_too(smtp_peers: SmtpPeers) -> None:
    peer = smtp_peers.add(scripts.good(), address="::1")
    assert await outcome(peer.address, settings(smtp_peers.port)) == "gd"


async def test_a_reset_right_after_the_handshake_is_not_a_refusal() -> None:
    """The connection was made, whenever the event loop gets to look at it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connecting = asyncio.create_task(TcpDialer().connect("127.0.0.1", listener.getsockname()[1], 5))
        await asyncio.sleep(0)
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        accepted.close()
        connection = await connecting
    with contextlib.suppress(ConnectionError):
        assert await connection.receive() == b""
    connection.close()


async def test_a_target_that_our_host_may_not_reach_is_our_fault() -> None:
    """connect(2) to the broadcast address is refused by our own kernel, for whatever reason it gives."""
    with pytest.raises(ConnectError) as caught:
        await TcpDialer().connect("255.255.255.255", 25, 1)
    assert caught.value.problem is ConnectProblem.LOCAL


async def test_no_file_descriptor_left_is_our_fault(smtp_peers: SmtpPeers) -> None:
    peer = smtp_peers.add(scripts.good())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        result = await SmtpProber(settings(smtp_peers.port), REFERENCE, TcpDialer(), Background()).probe(peer.address)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert isinstance(result, LocalFault)
    assert "Too many open files" in result.reason


async def test_a_real_postfix_with_postscreen_is_good(postfix: Postfix) -> None:
    """postscreen holds the last line back for two seconds; whoever talks meanwhile is turned away."""
    patient = replace(settings(postfix.port, quit_after=True), read_timeout=10)
    result = await probe(postfix.address, patient)
    assert isinstance(result, Probed)
    assert str(result.outcome) == "gd"
    assert [line[:4] for line in result.greeting] == [b"220-", b"220 "]


async def test_a_real_exim_is_good(exim: Exim) -> None:
    assert await outcome(exim.address, replace(settings(exim.port, quit_after=True), read_timeout=10)) == "gd"


async def test_a_connection_made_while_this_process_did_not_run_is_one() -> None:
    """The time limit and the answer are both seen when it runs again, and the answer was there in time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connecting = asyncio.create_task(TcpDialer().connect("127.0.0.1", listener.getsockname()[1], 0.05))
        await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251 - the event loop is to be held up
        (await connecting).close()


async def test_no_room_for_a_socket_is_told_apart_from_faults_of_the_network() -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, allowed[1]))
    try:
        with pytest.raises(ConnectError) as error:
            await TcpDialer().connect("127.0.0.1", 25, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    assert error.value.problem is ConnectProblem.EXHAUSTED
