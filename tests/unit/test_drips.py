"""How often a greeting is read that comes in drops."""

import asyncio

import pytest

from mxcheck_service.background import Background
from mxcheck_service.core.model import Outcome, Verdict
from mxcheck_service.core.settings import REFERENCE, MxCheckSettings
from mxcheck_service.ports import Probed
from mxcheck_service.prober import SmtpProber
from tests.unit.fakes import FakeConnection

GREETING = b"220 mx.example ESMTP with patience\r\n"
DROP_SECONDS = 4.0


class DrippingDialer:
    """Every address sends the greeting an octet at a time."""

    async def connect(self, ip: str, port: int, timeout: float) -> FakeConnection:
        return FakeConnection([bytes((octet,)) for octet in GREETING])


async def test_drops_are_read_at_an_eighth_of_the_time_so_far_however_long_that_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    start = now = loop.time()
    pauses: list[tuple[float, float]] = []

    async def pass_by(seconds: float) -> None:
        nonlocal now
        pauses.append((seconds, now - start))
        now += seconds + DROP_SECONDS

    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr("mxcheck_service.prober.asyncio.sleep", pass_by)
    settings = MxCheckSettings(verify_greeting=True, read_timeout=3600.0)
    probed = await SmtpProber(settings, REFERENCE, DrippingDialer(), Background()).probe("192.0.2.1")
    assert isinstance(probed, Probed)
    assert probed.outcome == Outcome(Verdict.GOOD)
    assert pauses[-1][1] > 100
    for pause, passed in pauses[1:]:
        assert pause == pytest.approx(passed / 8)
