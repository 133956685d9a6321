"""Facts into rows: what is well, what is not, and what to do about it. Nothing is asked here."""

from collections.abc import Iterator, Sequence
from typing import Final

from mxcheck_service.core.networks import parse_ip
from mxcheck_service.doctor.cache_judgement import cache
from mxcheck_service.doctor.egress_judgement import egress
from mxcheck_service.doctor.facts import KNOWN, ClockFacts, Facts, Listening, Nameserver, PortFacts, ProcessFacts
from mxcheck_service.doctor.rows import Row, fail, ok, skip, warn
from mxcheck_service.ports import DnsFailure, Found, NotFound
from mxcheck_service.settings import Settings

_OTHER_FILES: Final = 64
"""Descriptors for everything but requests, probes and Redis: the log, the event loop, DNS, libraries."""
_STRETCHED: Final = 0.5
"""Seconds that a short sleep may take longer, and that clocks may drift apart in it."""
_EARLIEST: Final = 1_700_000_000
"""A time that has passed (2023)."""
_SLOW: Final = 0.5
"""An answer of DNS that takes this part of `dns.timeout` is a slow one."""


def judge(settings: Settings, facts: Facts) -> list[Row]:
    """Return what was found, area by area."""
    return [
        *_settings(settings, facts),
        *_port(settings, facts.port),
        *_dns(settings, facts.nameservers),
        *cache(settings, facts.cache),
        *egress(settings, facts.targets, facts.port.dns_only),
        *_clock(facts.clock),
        *_limits(settings, facts.process),
    ]


def _settings(settings: Settings, facts: Facts) -> Iterator[Row]:
    area, fine = "settings", True
    for warning in facts.warnings:
        fine = False
        yield warn(area, warning, "change the settings or the map")
    if facts.maps:
        fine = False
        yield fail(area, facts.maps, "the service does not start without its maps", "it-does-not-start")
    if facts.tls:
        fine = False
        yield fail(area, facts.tls, "the service does not start without its certificate", "it-does-not-start")
    if settings.mx_check.test_mode:
        fine = False
        yield warn(area, "mx_check.test_mode is on: loopback counts as a public address", "it is for tests: remove it")
    server = settings.server
    guarded = server.auth_token or server.tls_client_ca or server.allow or server.port is None
    if not (guarded or _is_loopback(server.host)):
        fine = False
        yield warn(
            area,
            f"server.host is {server.host}, and no token is asked for: whoever gets there makes us probe",
            "set server.auth_token, server.tls_client_ca or server.allow",
        )
    if settings.mx_check.connect_timeout >= settings.deadline:
        fine = False
        yield warn(
            area,
            f"the deadline ({settings.deadline:g} s) comes before mx_check.connect_timeout "
            f"({settings.mx_check.connect_timeout:g} s): a host that does not answer is MX_INFLIGHT at first",
            "raise server.deadline or lower mx_check.connect_timeout",
            "latency-near-the-deadline",
        )
    if fine:
        yield ok(area, "no problems found")


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or (host.startswith("127.") and parse_ip(host) is not None)


def _port(settings: Settings, port: PortFacts) -> Iterator[Row]:
    server, area = settings.server, "port"
    where = f"unix:{server.unix_socket}" if server.port is None else f"{server.host}, port {server.port}"
    who = f"`ss -lxp src {server.unix_socket}`" if server.port is None else f"`ss -ltnp 'sport = :{server.port}'`"
    match port.listening:
        case Listening.FREE if server.port == 0:
            yield skip(area, "server.port is 0, which takes any free one", "set it, so that others find the service")
        case Listening.FREE:
            yield ok(area, f"{where} is free")
        case Listening.OURS:
            yield ok(area, f"{where} is served by mxcheck {port.detail}")
        case Listening.TAKEN:
            yield fail(
                area,
                f"{where} is taken by another program",
                f"{who} names it; end it, or set another server.port or server.unix_socket",
                "it-does-not-start",
            )
        case Listening.GUARDED:
            yield skip(
                area,
                f"{where} is taken, by whom is not known: it lets us in as little as server.allow and "
                "server.tls_client_ca would",
                f"{who} names it; the service can be asked at a server.unix_socket",
            )
        case Listening.REFUSED:
            yield fail(
                area,
                f"{where} cannot be had: {port.detail}",
                "server.host must be an address of this machine, ports below 1024 need CAP_NET_BIND_SERVICE, and "
                "server.unix_socket a folder to write to",
                "it-does-not-start",
            )


def _dns(settings: Settings, nameservers: Sequence[Nameserver]) -> Iterator[Row]:
    if not nameservers:
        yield fail("dns", "the system names no nameserver", "set dns.nameservers, or /etc/resolv.conf", "dns-fails")
    for nameserver in nameservers:
        findings = list(_nameserver(settings, nameserver))
        yield from findings
        if not findings:
            yield ok("dns", f"{nameserver.address} answers in {nameserver.seconds * 1000:.1f} ms, and is honest")


def _nameserver(settings: Settings, asked: Nameserver) -> Iterator[Row]:
    area, see, who = "dns", "dns-fails", asked.address
    match asked.known:
        case DnsFailure("TIMEOUT" | "CONNREFUSED" as reason):
            yield fail(
                area,
                f"{who} does not answer ({reason}, {settings.dns.tries} tries of {settings.dns.timeout:g} s)",
                "check the address in dns.nameservers, that it runs, and that UDP and TCP port 53 get there",
                see,
            )
            return
        case DnsFailure("REFUSED"):
            yield fail(area, f"{who} answers REFUSED", "let it resolve for this host: its access list says no", see)
            return
        case DnsFailure(reason):
            advice = "it has no way to the root servers or its forwarder, or refuses their DNSSEC: see its log"
            yield fail(area, f"{who} cannot resolve {KNOWN} ({reason})", advice, see)
            return
        case NotFound():
            advice = "a resolver that knows only its own zones makes every domain MX_NONE: give it a way to the others"
            yield warn(area, f"{who} says that {KNOWN} has no address", advice, see)
        case Found():
            if asked.seconds > _SLOW * settings.dns.timeout:
                advice = "use a resolver on this host or near it"
                yield warn(area, f"{who} took {asked.seconds * 1000:.0f} ms", advice, "latency-near-the-deadline")
    match asked.unknown:
        case Found(records):
            yield fail(
                area,
                f"{who} lies: it gives {', '.join(records)} for {asked.unknown_name}, which does not exist",
                "use a resolver that answers NXDOMAIN; with this one no domain is ever found missing",
                "domains-that-do-not-exist-are-found",
            )
        case DnsFailure(reason):
            advice = "a resolver that fails on names that do not exist makes them MX_DNS_FAIL"
            yield warn(area, f"{who} fails on a name that does not exist ({reason})", advice, see)
    if isinstance(asked.over_tcp, DnsFailure):
        advice = "open TCP port 53 to it: answers that do not fit into a datagram come over TCP"
        yield warn(area, f"{who} does not answer over TCP ({asked.over_tcp.reason})", advice, see)


def _clock(clock: ClockFacts) -> Iterator[Row]:
    area, advice = "clock", "let chrony or systemd-timesyncd keep the time"
    if clock.monotonic < 0.9 * clock.slept:
        found = f"the monotonic clock saw {clock.monotonic:.3f} s of {clock.slept:g} s"
        yield fail(area, found, "timeouts are wrong on this machine: look at its clock source")
    elif clock.monotonic > clock.slept + _STRETCHED:
        found = f"{clock.slept:g} s took {clock.monotonic:.1f} s"
        yield warn(area, found, "the machine is overloaded or was stopped meanwhile", "latency-near-the-deadline")
    elif abs(clock.wall - clock.monotonic) > _STRETCHED:
        yield warn(area, f"the time of day jumped by {clock.wall - clock.monotonic:+.1f} s", advice)
    elif clock.now < _EARLIEST:
        yield warn(area, "the time of day is years behind", advice)
    else:
        yield ok(area, "runs evenly")


def _limits(settings: Settings, process: ProcessFacts) -> Iterator[Row]:
    area, see = "limits", "requests-are-shed"
    server, cache_ = settings.server, settings.cache
    redis = 0 if cache_.embedded else cache_.max_connections
    needed = 2 * server.max_concurrent_requests + redis + _OTHER_FILES
    limit = process.files_soft
    reckoning = f"{server.max_concurrent_requests} requests and as many probes, {redis} connections to Redis"
    advice = f"ulimit -n {needed}, LimitNOFILE={needed} in the unit, or lower server.max_concurrent_requests"
    if limit is None or limit >= needed:
        yield ok(area, f"{'any number of' if limit is None else limit} files, {needed} may be needed")
    elif limit - process.files_open < _OTHER_FILES:
        yield fail(
            area, f"{limit} files, of which {process.files_open} are open: there is no room to work", advice, see
        )
    else:
        hard = "" if process.files_hard is None else f" (up to {process.files_hard} may be asked for)"
        yield warn(area, f"{limit} files{hard}, but {needed} may be needed: {reckoning}", advice, see)
    if server.workers > process.cpus:
        found = f"server.workers is {server.workers}, and there are {process.cpus} cores"
        yield warn(area, found, "more workers than cores only cost memory")
