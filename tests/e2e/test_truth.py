"""The small world: a real Postfix tells truth, the service is measured by it, and nothing gets out.

`bench.truth` does this with all kinds of mail domain; here are some that are decided quickly.
"""

from dataclasses import dataclass

import pytest

from bench.scores import Answers, Totals
from bench.truth import SetUp, measure
from tests.lab.process import find_program
from tests.lab.truth.kind import OurSide, Truth
from tests.lab.truth.kinds import ALL
from tests.lab.truth.world import Told, World

_YES = (
    "sound-one",
    "backup-first-refused",
    "backup-first-blackhole",
    "backup-third",
    "addresses-private-and-good",
    "mx-underscore",
    "greets-tarpit-5",
    "greets-once-421",
    "mta-postfix",
    "dns-delegated",
)
_NO = ("dead-refused", "dead-host-nxdomain", "null-mx", "implicit-parked")
_UNKNOWABLE = ("dns-servfail-mx", "dns-bogus")
_KINDS = [kind for kind in ALL if kind.name in _YES + _NO + _UNKNOWABLE]
_NAT64 = [kind for kind in ALL if kind.name in ("nat64-good", "nat64-refused", "nat64-aaaa-good")]
_REFERENCE, _RECOMMENDED = SetUp("reference", True), SetUp("recommended", True)


@pytest.fixture(scope="module", autouse=True)
def components() -> None:
    """Skip, or fail, here: benchmarks have no tests to skip."""
    for program in ("ip", "postfix", "knotd", "unbound"):
        find_program(program)


@dataclass(frozen=True)
class Board:
    """What Postfix and both presets say of each kind, by name."""

    told: dict[str, Told]
    reference: dict[str, Answers]
    recommended: dict[str, Answers]

    def totals(self, answers: dict[str, Answers], when: str) -> Totals:
        seen = {name: getattr(both, when) for name, both in answers.items()}
        return Totals.of(seen, {name: told.truth for name, told in self.told.items()})


@pytest.fixture(scope="module")
def board() -> Board:
    with World(_KINDS, OurSide.SOUND) as world:
        # Undeliverable mail takes all of the time: as much as a second try needs.
        told = world.truths(within=22.0)
        return Board(told, measure(world, _KINDS, _REFERENCE), measure(world, _KINDS, _RECOMMENDED))


def test_postfix_tells_truth(board: Board) -> None:
    expected = {
        **dict.fromkeys(_YES, Truth.YES),
        **dict.fromkeys(_NO, Truth.NO),
        **dict.fromkeys(_UNKNOWABLE, Truth.UNKNOWABLE),
    }
    assert {name: told.truth for name, told in board.told.items()} == expected, board.told


@pytest.mark.parametrize("when", ["first", "settled"])
def test_recommended_blames_nobody_who_takes_mail_and_nobody_for_a_fault_that_may_pass(board: Board, when: str) -> None:
    totals = board.totals(board.recommended, when)
    assert totals.false_alarms == []
    assert totals.blamed_unknowable == []
    assert totals.late == []


def test_recommended_alarms_where_the_reference_does(board: Board) -> None:
    reference, recommended = (board.totals(each, "settled") for each in (board.reference, board.recommended))
    assert set(reference.true_alarms) <= set(recommended.true_alarms)
    assert {"dead-refused", "dead-host-nxdomain"} <= set(recommended.true_alarms)


def test_the_reference_judges_a_domain_by_its_first_host(board: Board) -> None:
    seen = board.reference["backup-first-refused"].settled
    assert (seen.verdict, seen.alarm) == ("rf", True)
    false_alarms = board.totals(board.reference, "settled").false_alarms
    assert {"backup-first-refused", "backup-first-blackhole"} <= set(false_alarms)


def test_connections_are_counted_and_few(board: Board) -> None:
    assert board.reference["sound-one"].first.connections == 1
    assert board.reference["null-mx"].first.connections == 0
    assert board.recommended["backup-third"].first.connections == 3
    assert board.totals(board.recommended, "first").connections_most == 3


def test_ipv6_alone_reaches_ipv4_hosts_through_nat64() -> None:
    with World(_NAT64, OurSide.V6_ONLY) as world:
        told = world.truths(within=5.0)
        answers = measure(world, _NAT64, _RECOMMENDED)
    assert {name: one.truth for name, one in told.items()} == {
        "nat64-good": Truth.YES,
        "nat64-aaaa-good": Truth.YES,
        "nat64-refused": Truth.NO,
    }, told
    assert {name for name, both in answers.items() if both.settled.alarm} == {"nat64-refused"}
    assert answers["nat64-good"].first.connections == 1
