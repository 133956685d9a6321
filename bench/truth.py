"""How far verdicts are true: every kind of mail domain there is in the lab, a real Postfix's word on it, and ours.

    python -m bench.truth [--kinds REGEX] [--json FILE]

Kinds are checked by the service with `preset: reference` and `preset: recommended`, with and without reading greetings,
eight at a time and in an order drawn by lot: once as a domain never seen before, and once more when what that began has
come to an end. Then our own side is broken in several ways, with a handful of domains that anybody else could deliver
to. Needs root, postfix, knot, unbound, exim and opensmtpd; takes about a quarter of an hour.
"""

import http.client
import json
import os
import random
import re
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Semaphore
from typing import Any, Final
from urllib.parse import urlsplit

from bench import report
from bench.scores import HEAD, UNSETTLED, Answers, Seen, Totals, counted, told
from tests.lab.exposition import Exposition
from tests.lab.service import Service
from tests.lab.truth.kind import Kind, OurSide, Truth
from tests.lab.truth.kinds import ALL
from tests.lab.truth.namespaces import Namespace
from tests.lab.truth.postfix import PATIENCE
from tests.lab.truth.world import World

_AT_ONCE: Final = 8
_LOOKS: Final = 6
"""How often a domain is asked about until there is a verdict: as often as a sender comes back."""
_SEED: Final = 20
_KNOCKS: Final = 50
_GRACE: Final = 0.5
"""Seconds after the deadline that are no fault of the check: HTTP, and everybody on few cores."""
_SOUND_SIDES: Final = (OurSide.SOUND, OurSide.DUAL_STACK, OurSide.V6_ONLY)
WITNESSES: Final = tuple(
    Kind(
        f"witness-{number}", "our-side", "A good domain, asked about under a fault of ours.", "@ MX 10 mx\nmx A {good}"
    )
    for number in range(20)
)
_SURE: Final = Kind("sure", "our-side", "The mail host that is known to be up.", "@ MX 10 mx\nmx A {good}")


@dataclass(frozen=True, slots=True)
class SetUp:
    """A service to be measured."""

    preset: str
    verify_greeting: bool
    egress_check: bool = False

    def __str__(self) -> str:
        parts = [self.preset, "greetings read" if self.verify_greeting else "connect only"]
        return ", ".join([*parts, "egress_check set"] if self.egress_check else parts)

    def settings(self, side: OurSide, sure: str) -> dict[str, Any]:
        """Return the configuration, which is the default one but for what the lab needs."""
        improvements: dict[str, Any] = {}
        if self.preset == "recommended":
            # All hosts of the lab have names in one zone; elsewhere that is one provider.
            improvements = {"greeting_patience": PATIENCE, "probes_per_suffix": 0}
            if self.egress_check:
                improvements["egress_check"] = [sure]
        return {
            "preset": self.preset,
            "server": {"log_level": "error"},
            "mx_check": {
                "verify_greeting": self.verify_greeting,
                "probe_ipv4": side is not OurSide.V6_ONLY,
                "probe_ipv6": side in (OurSide.DUAL_STACK, OurSide.V6_ONLY),
            },
            "improvements": improvements,
        }


_PRESETS: Final = ("reference", "recommended")
SET_UPS: Final = tuple(SetUp(preset, verify) for verify in (True, False) for preset in _PRESETS)
FAULTY_SET_UPS: Final = (
    SetUp("reference", True),
    SetUp("recommended", True),
    SetUp("recommended", True, egress_check=True),
)


class Asker:
    """Asks a service on our side, from there."""

    def __init__(self, here: Namespace, service: Service, world: World) -> None:
        self._here = here
        self._address = urlsplit(service.url)
        self._world = world
        self._places = Semaphore(_AT_ONCE)
        self._deadline = here.run(self._metric, "mxcheck_deadline_seconds")

    def ask_all(self, kinds: Sequence[Kind], *, settled: bool = False) -> dict[str, Seen]:
        """Ask about all kinds, a few at a time; `settled`: again until there is a verdict."""
        order = random.Random(_SEED).sample(kinds, len(kinds))
        found = dict(zip((kind.name for kind in order), self._here.map(self._until(settled), order), strict=True))
        return {kind.name: found[kind.name] for kind in kinds}

    def ask(self, kind: Kind) -> Seen:
        with self._places:
            started = time.monotonic()
            body = json.dumps(self._world.plan.message(kind))
            reply = json.loads(self._request("POST", "/v1/check", body))
            seconds = time.monotonic() - started
        domains = reply["domains"]
        verdict = " ".join(domain["verdict"] for domain in domains) or "no domain"
        return Seen(verdict, reply["score"], seconds, late=seconds > self._deadline + _GRACE)

    def wait_idle(self, within: float) -> None:
        """Return once nothing is looked up in the background any more, or so many seconds have passed."""
        end = time.monotonic() + within
        while time.monotonic() < end and self._here.run(self._under_way):
            time.sleep(1.0)

    def _under_way(self) -> bool:
        return any(map(self._metric, ("mxcheck_background_tasks", "mxcheck_lingering_probes")))

    def _metric(self, name: str) -> float:
        return Exposition(self._request("GET", "/metrics")).value(name)

    def _until(self, settled: bool) -> Callable[[Kind], Seen]:
        def ask(kind: Kind) -> Seen:
            for looks in range(1, (_LOOKS if settled else 1) + 1):
                seen = self.ask(kind)._replace(looks=looks)
                if seen.verdict not in UNSETTLED:
                    break
            return seen

        return ask

    def _request(self, method: str, path: str, body: str | None = None) -> str:
        """Return a reply's text. A service that has no descriptor for us is asked again."""
        knocks = _KNOCKS if self._world.side is OurSide.NO_DESCRIPTORS else 1
        for _ in range(knocks - 1):
            with suppress(ConnectionError):
                return self._request_once(method, path, body)
            time.sleep(0.1)
        return self._request_once(method, path, body)

    def _request_once(self, method: str, path: str, body: str | None) -> str:
        connection = http.client.HTTPConnection(self._address.netloc, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
            if response.status != 200:
                raise RuntimeError(f"{method} {path}: {response.status} {text}")
            return text
        finally:
            connection.close()


def measure(world: World, kinds: Sequence[Kind], set_up: SetUp, sure: str = "") -> dict[str, Answers]:
    """Return what a service says of each kind."""
    with (
        world.service(set_up.settings(world.side, sure)) as service,
        _short_of_descriptors(service, world.side),
        world.watched() as connections,
    ):
        asker = Asker(world.here, service, world)
        first = asker.ask_all(kinds)
        asker.wait_idle(PATIENCE + 15.0)
        made = connections()
        settled = asker.ask_all(kinds, settled=True)
        made_then = connections()
    return {
        name: Answers(seen._replace(connections=made[name]), settled[name]._replace(connections=made_then[name]))
        for name, seen in first.items()
    }


@contextmanager
def _short_of_descriptors(service: Service, side: OurSide) -> Iterator[None]:
    """Leave the service, where that is the fault, one descriptor besides those for its callers.

    They get in each other's way then: some have none left for DNS, some none for the connection.
    """
    if side is OurSide.NO_DESCRIPTORS:
        in_use = len(os.listdir(Path("/proc", str(service.pid), "fd")))
        _, hard = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (in_use + _AT_ONCE + 1, hard))
    yield


Results = dict[str, dict[str, Answers]]
"""By set-up and kind."""


def on_a_sound_side(kinds: Sequence[Kind], set_ups: Sequence[SetUp]) -> tuple[dict[str, tuple[Truth, str]], Results]:
    """Return the truth of each kind with Postfix's words for it, and what every set-up says."""
    truths: dict[str, tuple[Truth, str]] = {}
    results: Results = {str(set_up): {} for set_up in set_ups}
    for side in _SOUND_SIDES:
        chosen = [kind for kind in kinds if kind.our_side is side]
        if not chosen:
            continue
        with World(chosen, side) as world:
            truths |= world.truths()
            for set_up in set_ups:
                results[str(set_up)] |= measure(world, chosen, set_up)
                print(f"{side}: {set_up}", flush=True)
    return truths, results


def under_faults(kinds: Sequence[Kind], set_ups: Sequence[SetUp]) -> dict[str, Results]:
    """Return what every set-up says while our own side is broken, by what is broken."""
    results: dict[str, Results] = {}
    for side in OurSide:
        chosen = [kind for kind in kinds if kind.our_side is side]
        if side in _SOUND_SIDES or not chosen:
            continue
        results[side] = {}
        with World([*chosen, *WITNESSES, _SURE], side) as world:
            sure = world.plan.places[-1].address
            for set_up in set_ups:
                results[side][str(set_up)] = measure(world, [*chosen, *WITNESSES], set_up, sure)
                print(f"{side}: {set_up}", flush=True)
    return results


def show(kinds: Sequence[Kind], truths: Mapping[str, tuple[Truth, str]], results: Results) -> None:
    """Print a line for each kind, and the totals."""
    names = [kind.name for kind in kinds if kind.name in truths]
    set_ups = [str(set_up) for set_up in SET_UPS if set_up.verify_greeting and str(set_up) in results]
    head = ["kind", "truth", *(f"{set_up}: {when}" for when in ("first", "settled") for set_up in set_ups)]
    rows = [
        [
            name,
            truths[name][0],
            *(told(results[set_up][name].first) for set_up in set_ups),
            *(told(results[set_up][name].settled) for set_up in set_ups),
        ]
        for name in names
    ]
    print(report.table(head, rows))
    only = {name: truths[name][0] for name in names}
    print(f"\n{len(names)} kinds: {counted(only.values())}\n")
    every = {
        f"{set_up}: {when}": Totals.of({name: getattr(answers[name], when) for name in names}, only)
        for when in ("first", "settled")
        for set_up, answers in results.items()
    }
    print(report.table(HEAD, [totals.row(name) for name, totals in every.items()]))
    for name, totals in every.items():
        print(f"\n{name}\n  false alarms: {', '.join(totals.false_alarms)}\n  misses: {', '.join(totals.misses)}")


def show_faults(results: Mapping[str, Results]) -> None:
    """Print how many domains were blamed for a fault of ours."""
    rows = [
        [side, set_up, *(_blamed(answers, when) for when in ("first", "settled"))]
        for side, each in results.items()
        for set_up, answers in each.items()
    ]
    print(report.table(["our side", "", "blamed at first", "blamed when settled"], rows))


def _blamed(answers: Mapping[str, Answers], when: str) -> str:
    witnesses = [getattr(answers[kind.name], when) for kind in WITNESSES]
    verdicts = Counter(seen.verdict for seen in witnesses)
    each = ", ".join(f"{times} {verdict}" for verdict, times in sorted(verdicts.items()))
    return f"{sum(seen.alarm for seen in witnesses)} of {len(witnesses)}: {each}"


def main() -> None:
    parser = report.options("truth", __doc__)
    parser.add_argument("--kinds", default="", help="only kinds whose name matches this regular expression")
    parser.add_argument("--preset", choices=_PRESETS, help="only this one of both")
    arguments = parser.parse_args()
    kinds = [kind for kind in ALL if re.search(arguments.kinds, kind.name)]
    presets = [arguments.preset] if arguments.preset else _PRESETS
    truths, results = on_a_sound_side(kinds, [set_up for set_up in SET_UPS if set_up.preset in presets])
    content: dict[str, Any] = {"truths": truths, "answers": {name: _plain(each) for name, each in results.items()}}
    report.save(arguments, content)
    if truths:
        show(kinds, truths, results)
    faults = under_faults(kinds, [set_up for set_up in FAULTY_SET_UPS if set_up.preset in presets])
    content["faults"] = {side: {name: _plain(each) for name, each in every.items()} for side, every in faults.items()}
    report.save(arguments, content)
    show_faults(faults)


def _plain(answers: Mapping[str, Answers]) -> dict[str, Any]:
    return {name: {"first": both.first._asdict(), "settled": both.settled._asdict()} for name, both in answers.items()}


if __name__ == "__main__":
    main()
