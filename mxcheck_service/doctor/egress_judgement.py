"""What connections to mail hosts tell about the way out."""

from collections.abc import Iterator, Sequence
from typing import Final

from mxcheck_service.doctor.facts import Target
from mxcheck_service.doctor.rows import Row, fail, ok, skip, warn
from mxcheck_service.ports import ConnectProblem
from mxcheck_service.settings import Settings

_AREA: Final = "egress"
_SEE: Final = "port-25-is-blocked"
_NO_ANSWER: Final = frozenset({ConnectProblem.TIMEOUT, ConnectProblem.UNREACHABLE})
_OPEN_IT: Final = (
    "ask the provider to open it (most clouds and homes block it), look at your own firewall, or run the service where "
    "mail is sent from"
)


def egress(settings: Settings, targets: Sequence[Target], dns_only: Sequence[str] = ()) -> Iterator[Row]:
    """Judge each target, what they have in common, and the families that the running service probes nobody over."""
    for family in dns_only:
        found = f"the service that runs is in DNS-only mode over IP{family}: nobody answered it, and nothing is probed"
        yield warn(_AREA, found, "it ends by itself once somebody answers; see the targets, or name some", _SEE)
    port = settings.mx_check.port
    if not targets:
        advice = (
            "name two mail hosts that surely are up: mxcheck doctor --target MX1 --target MX2, or in the settings, "
            "where they serve the service, too: improvements.egress_check"
        )
        yield skip(_AREA, f"no target was named, so whether port {port} is open outwards is not known", advice)
        return
    probed = [target for target in targets if target.address and target.port == port]
    problems = {target.problem for target in probed}
    several = len({target.address for target in probed}) > 1
    if several and problems <= _NO_ANSWER:
        found = f"port {port} is blocked: none of {len(probed)} targets answers, so every sender is MX_TIMEOUT_CONNECT"
        yield fail(_AREA, found, _OPEN_IT, _SEE)
    elif several and problems == {ConnectProblem.REFUSED}:
        found = (
            f"port {port} is rejected on the way: all of {len(probed)} targets refuse, so every sender is MX_REFUSED"
        )
        yield fail(_AREA, found, _OPEN_IT, _SEE)
    for target in targets:
        yield _target(target, alone=not several)


def _target(target: Target, *, alone: bool) -> Row:
    where = f"{target.name}, port {target.port}"
    if target.address is None:
        return warn(
            _AREA, f"{where}: the name has no address: {target.detail}", "name another target, or see dns above"
        )
    if target.address != target.name:
        where = f"{target.name} ({target.address}), port {target.port}"
    another = "it may be down by itself: name another target" if alone else "see the other targets"
    match target.problem:
        case None:
            return ok(_AREA, f"{where} accepts connections, in {target.seconds * 1000:.1f} ms")
        case ConnectProblem.LOCAL:
            advice = "no route, no address of that family, or a rule of this host's own firewall"
            return fail(_AREA, f"{where}: this host cannot even try: {target.detail}", advice, _SEE)
        case ConnectProblem.REFUSED:
            return warn(_AREA, f"{where} refuses connections", another, _SEE)
        case _:
            return warn(_AREA, f"{where} does not answer: {target.detail}", another, _SEE)
