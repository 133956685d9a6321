"""What `improvements.tolerant_greeting` takes for a greeting is what a real Postfix talks on after."""

import asyncio
from collections.abc import Iterator

import pytest

from mxcheck_service.background import Background
from mxcheck_service.core.complaints import Complaint, complaint
from mxcheck_service.core.settings import Improvements, MxCheckSettings
from mxcheck_service.ports import Probed
from mxcheck_service.prober import SmtpProber, TcpDialer
from tests.lab.mta import Exim, Postfix
from tests.lab.mta_client import PostfixClient
from tests.lab.smtp import Peer, SmtpPeers
from tests.lab.smtp_scripts import Close, Expect, Send, Stay
from tests.lab.sockets import free_port

_ADDRESS = "127.0.0.253"
_PATIENCE = 0.3


async def probe(ip: str, port: int, *, quit_after: bool, patience: float = _PATIENCE) -> Probed:
    """Probe with the improvements of `recommended`, less patient."""
    settings = MxCheckSettings(port=port, verify_greeting=True, send_quit=quit_after, connect_timeout=5.0)
    improvements = Improvements(slow_greeting=patience, greeting_patience=2 * patience)
    background = Background()
    probed = await SmtpProber(settings, improvements, TcpDialer(), background).probe(ip)
    assert isinstance(probed, Probed)
    if probed.settling:
        assert str(probed.outcome) == "gd"
        probed = await probed.settling.settled()
    await background.drain(10)
    return probed


@pytest.fixture(scope="session")
def postfix_client(smtp_port: int) -> Iterator[PostfixClient]:
    """A real Postfix that delivers to scripted peers."""
    with PostfixClient(_ADDRESS, peers_port=smtp_port) as mta:
        yield mta


# What a peer says, and what that comes to in the end. `gd`: Postfix goes on to say EHLO or HELO.
GREETINGS: dict[str, tuple[bytes, str]] = {
    "220": (b"220 mx\r\n", "gd"),
    "220 alone": (b"220\r\n", "gd"),
    "LF": (b"220 mx\n", "gd"),
    "220 alone, LF": (b"220\n", "gd"),
    "CR CR LF": (b"220 mx\r\r\n", "gd"),
    "220 alone, CR CR LF": (b"220\r\r\n", "gd"),
    "NUL behind the code": (b"220\0mx\r\n", "gd"),
    "250": (b"250 mx\r\n", "gd"),
    "299": (b"299 mx\r\n", "gd"),
    "two lines": (b"220-a\r\n220 b\r\n", "gd"),
    "two lines, LF": (b"220-a\n220 b\n", "gd"),
    "220- and 250": (b"220-a\r\n250 b\r\n", "gd"),
    "220- and 220 alone": (b"220-a\r\n220\r\n", "gd"),
    "220- and 554": (b"220-a\r\n554 b\r\n", "err:554"),
    "220- and 354": (b"220-a\r\n354 b\r\n", "inv"),
    "220- and text and 220": (b"220-a\r\nwhat\r\n220 b\r\n", "gd"),
    "text and 220": (b"hello\r\n220 mx\r\n", "gd"),
    "empty line and 220": (b"\r\n220 mx\r\n", "gd"),
    "long line": (b"220 " + b"x" * 5000 + b"\r\n", "gd"),
    "very long line": (b"220 " + b"x" * 100_000 + b"\r\n", "gd"),
    "long line, then the last": (b"220-" + b"x" * 5000 + b"\r\n220 mx\r\n", "gd"),
    "long text and 220": (b"x" * 5000 + b"\r\n220 mx\r\n", "gd"),
    "blank first": (b" 220 mx\r\n", "inv"),
    "tab": (b"220\tmx\r\n", "inv"),
    "letter": (b"220x mx\r\n", "inv"),
    "four digits": (b"2200 mx\r\n", "inv"),
    "CR in the line": (b"220\rmx\n", "inv"),
    "020": (b"020 mx\r\n", "inv"),
    "120": (b"120 mx\r\n", "inv"),
    "354": (b"354 mx\r\n", "inv"),
    "620": (b"620 mx\r\n", "inv"),
    "SSH": (b"SSH-2.0-x\r\n", "inv"),
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "inv"),
    "421": (b"421 busy\r\n", "err:421"),
    "554": (b"554 no\r\n", "err:554"),
    "554 alone": (b"554\r\n", "err:554"),
    "521": (b"521 never\r\n", "rf"),
    "no end of the line": (b"220 mx", "tr"),
    "CR": (b"220 mx\r", "tr"),
    "nothing": (b"", "tr"),
    "endless": (b"220-x\r\n" * 50, "tr"),
}


async def test_postfix_agrees(postfix_client: PostfixClient, smtp_peers: SmtpPeers) -> None:
    """Read to its end, since Postfix waits for the last line. Who is silent is talked to by neither."""
    peers: dict[str, Peer] = {}
    for name, (greeting, _) in GREETINGS.items():
        peers[name] = smtp_peers.add((Send(greeting), Stay()))
        await asyncio.to_thread(postfix_client.deliver, peers[name].address)
    ended = {name: (await peer.wait_ended(within=20))[0] for name, peer in peers.items()}
    talked = {name for name, session in ended.items() if session.received.startswith((b"EHLO", b"HELO"))}
    assert talked == {name for name, (_, verdict) in GREETINGS.items() if verdict == "gd"}, postfix_client.log


@pytest.mark.parametrize("name", GREETINGS)
async def test_what_is_read_to_its_end(name: str, smtp_peers: SmtpPeers) -> None:
    greeting, verdict = GREETINGS[name]
    peer = smtp_peers.add((Send(greeting), Expect(b"QUIT\r\n"), Close()))
    assert str((await probe(peer.address, smtp_peers.port, quit_after=True)).outcome) == verdict
    await peer.wait_ended()
    assert peer.received == (b"QUIT\r\n" if verdict == "gd" else b"")


@pytest.mark.parametrize(
    ("greeting", "verdict"),
    [(b"220 ", "gd"), (b"220-", "gd"), (b"250-", "gd"), (b"421 ", "err:421"), (b"554-", "err:554"), (b"354 ", "inv")],
)
async def test_without_quit_four_octets_are_enough(greeting: bytes, verdict: str, smtp_peers: SmtpPeers) -> None:
    peer = smtp_peers.add((Send(greeting, gap=0.001), Stay()))
    probed = await probe(peer.address, smtp_peers.port, quit_after=False, patience=60)
    assert str(probed.outcome) == verdict
    assert probed.greeting == (greeting,)
    await peer.wait_ended()
    assert peer.received == b""


@pytest.mark.parametrize(("greeting", "verdict"), [(b"521 no mail", "rf"), (b"521 you are listed", "err:521")])
async def test_a_521_that_is_cut_off_is_judged_by_what_has_come(
    greeting: bytes, verdict: str, smtp_peers: SmtpPeers
) -> None:
    peer = smtp_peers.add((Send(greeting), Close()))
    assert str((await probe(peer.address, smtp_peers.port, quit_after=False)).outcome) == verdict


async def test_a_real_postscreen_that_denies_us_is_no_host_that_never_accepts_mail() -> None:
    """It says 521, too. What it says tells about us, not about the domain."""
    with Postfix(["127.0.0.250"], free_port(), greet_wait=2, denies=True) as denying:
        probed = await probe(denying.address, denying.port, quit_after=False, patience=60)
    assert [line[:3] for line in probed.greeting] == [b"521"]
    assert str(probed.outcome) == "err:521"
    assert complaint(probed.greeting[0]) is Complaint.POLICY


@pytest.mark.parametrize("quit_after", [False, True])
async def test_real_mtas_are_good(quit_after: bool, postfix: Postfix, exim: Exim) -> None:
    for mta in (postfix, exim):
        assert str((await probe(mta.address, mta.port, quit_after=quit_after, patience=60)).outcome) == "gd"
