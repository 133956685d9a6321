"""The differential test can fail: each of these defects, put in on purpose, is noticed."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mxcheck_service import names
from mxcheck_service.cache import layers
from mxcheck_service.core import addresses, candidates, codec, mx, policy, symbols
from mxcheck_service.core.codec import MxList, Slot
from mxcheck_service.core.model import ClassEvidence, Verdict
from tests.parity import service, vectors
from tests.parity.generate import COUNT, scenario
from tests.parity.test_reference import differ
from tests.parity.virtual_time import VirtualTimeLoop


def returns(owner: Any, name: str, change: Callable[[Any], Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """Return a patch that puts what a function returns through `change`."""
    original = getattr(owner, name)
    return lambda patch: patch.setattr(owner, name, lambda *args, **kwargs: change(original(*args, **kwargs)))


def is_now(owner: Any, name: str, value: object) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(owner, name, value)


DEFECTS = {
    "worst MX host first": returns(mx, "usable", lambda v: MxList(v.hosts[::-1]) if isinstance(v, MxList) else v),
    "Null MX taken for broken": returns(mx, "usable", lambda v: Verdict.BROKEN if v is Verdict.NULL else v),
    "one address is enough": returns(names, "interleave", lambda ips: ips[:1]),
    "cached addresses of a disabled family used": is_now(names, "of_families", lambda ips, _: tuple(ips)),
    "df never outweighs no": returns(codec, "decode_host", lambda v: Verdict.NONE if v is Verdict.DNS_FAIL else v),
    "a lock in the cache not seen": returns(codec, "decode_address", lambda v: None if v is Slot.LOCKED else v),
    "garbage taken for a miss": returns(codec, "decode_address", lambda v: None if v is Slot.GARBAGE else v),
    "link-local taken for public": is_now(addresses, "_BOGON", tuple(c for c in addresses._BOGON if c[:3] != "169")),
    "a mix told as all": returns(
        addresses.IpClasses, "partition", lambda v: (v[0], ClassEvidence(v[1].local, v[1].bogon, has_public=False))
    ),
    "the lock lives too long": returns(layers, "lock_ttl", lambda ttl: ttl + 1),
    "read timeouts forgotten soon": returns(layers, "verdict_ttl", lambda ttl: min(ttl, 7200)),
    "everybody greylisted": is_now(policy, "greylists", lambda *_: True),
    "no symbols for implicit MX": is_now(symbols, "_A_TWIN", {}),
    "Reply-To not decoded": is_now(candidates, "decode_words", lambda value: value),
    "comments not dropped": is_now(candidates, "_without_comments", lambda value: value),
}


@pytest.fixture
def virtual_time() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        yield runner


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_noticed(defect: str, monkeypatch: pytest.MonkeyPatch, virtual_time: asyncio.Runner) -> None:
    DEFECTS[defect](monkeypatch)
    recorded = vectors.load()
    assert any(differ(virtual_time.run(service.run(scenario(n))), recorded[n].outcome) for n in range(COUNT))
