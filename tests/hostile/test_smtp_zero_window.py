"""A peer with no receive window at all: QUIT cannot be sent to it, and nothing stays behind for its sake."""

import asyncio
import time

import pytest

from mxcheck_service import prober
from mxcheck_service.background import Background
from mxcheck_service.core.model import Outcome, Verdict
from mxcheck_service.core.settings import RECOMMENDED, MxCheckSettings
from mxcheck_service.ports import LocalFault, Probed
from mxcheck_service.prober import SmtpProber, TcpDialer
from tests.lab.waiting import poll_until
from tests.lab.zero_window import ADDRESS, PORT, ZeroWindow

FAREWELL, UNDELIVERED = 0.3, 1.0


async def probe(settings: MxCheckSettings) -> Probed | LocalFault:
    background = Background()
    probed = await SmtpProber(settings, RECOMMENDED, TcpDialer(), background).probe(ADDRESS)
    assert not await background.drain(10)
    return probed


@pytest.mark.parametrize(("verify", "quit_after"), [(False, False), (True, False), (True, True)])
def test_nothing_is_left_of_a_connection(verify: bool, quit_after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober, "_LONGEST_FAREWELL", FAREWELL)
    monkeypatch.setattr(prober, "_UNDELIVERED", int(UNDELIVERED * 1000))
    settings = MxCheckSettings(port=PORT, verify_greeting=verify, send_quit=quit_after)
    # What came after the end would be answered with a reset, and the connection be gone.
    with ZeroWindow(b"220 mx.hostile.test ESMTP\r\n" if verify else b"") as peer:
        began = time.monotonic()
        probed = peer.namespace.run(asyncio.run, probe(settings))
        assert isinstance(probed, Probed)
        assert probed.outcome == Outcome(Verdict.GOOD)
        assert time.monotonic() - began < FAREWELL + 2
        assert peer.connections() == 1, "closed, and not gone"
        # By itself the kernel would keep what cannot be sent, QUIT or the end of the stream, for minutes.
        poll_until(lambda: not peer.connections(), 10, "nothing left in the kernel")
        assert peer.heard == b""
        assert peer.packets > 0
