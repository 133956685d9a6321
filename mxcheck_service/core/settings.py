"""What decisions depend on: the reference's settings and the improvements on it.

Plain data. Names and defaults of `MxCheckSettings` are those of the reference's `settings` table, because operators
know them. Reading files and the environment is `mxcheck_service.config`'s job, which also turns the constraints in the
annotations into messages.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MinLen

Seconds = Annotated[int, Gt(0)]
Timeout = Annotated[float, Gt(0), Le(3600)]
SymbolName = Annotated[str, MinLen(1)]
MapSetting = str | tuple[str, ...] | None
"""A map: None, the path of a file, or a list of entries and paths in any mix."""

RSPAMD_LOCAL_ADDRS = (
    "192.168.0.0/16",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "fd00::/8",
    "169.254.0.0/16",
    "fe80::/10",
)
"""rspamd's default `options.local_addrs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MxCheckSettings:
    """The section `mx_check`: every setting of the reference, by its own name, with its own default."""

    connect_timeout: Timeout = 2.0
    """Seconds a TCP connect may take."""
    read_timeout: Timeout = 5.0
    """Seconds of silence after which a greeting is given up; only with `verify_greeting`."""
    verify_greeting: bool = False
    """Read and judge the SMTP greeting; false: an accepted connection is proof enough."""
    send_quit: bool = False
    """Send QUIT after a good greeting; only with `verify_greeting`."""

    expire: Seconds = 86400
    """Seconds the verdicts gd, tr and err:NNN of an address are cached."""
    expire_dns: Annotated[int, Ge(0)] = 1800
    """Seconds DNS results (d: and m:) are cached; 0 neither reads nor writes them."""
    expire_novalid: Seconds = 14400
    """Seconds the verdicts rf and inv of an address are cached."""
    expire_timeout: Seconds = 7200
    """Seconds the verdict tc of an address is cached."""

    reject_null_mx: bool = False
    """Reject a message whose domain publishes a Null MX (RFC 7505)."""
    reject_null_mx_message: str = "Domain published RFC 7505 Null MX"
    """The SMTP reply text of that rejection."""
    reject_authorized: bool = False
    """Reject authenticated senders too."""
    reject_local: bool = False
    """Reject local clients too."""

    greylist_invalid: bool = True
    """Greylist on inv."""
    greylist_none: bool = True
    """Greylist on no."""
    greylist_broken: bool = True
    """Greylist on bkn."""
    greylist_refused: bool = True
    """Greylist on rf."""
    greylist_null: bool = True
    """Greylist on null."""
    greylist_timeout_connect: bool = True
    """Greylist on tc."""
    greylist_timeout_read: bool = True
    """Greylist on tr."""
    greylist_authorized: bool = False
    """Greylist authenticated senders too."""
    greylist_local: bool = False
    """Greylist local clients too."""

    check_authorized: bool = False
    """Check messages of authenticated senders."""
    check_local: bool = False
    """Check messages of local clients."""
    local_addrs: tuple[str, ...] = RSPAMD_LOCAL_ADDRS
    """Networks whose clients are local, besides loopback and link-local."""
    test_mode: bool = False
    """For tests only: loopback counts as a public, probeable address."""

    check_from: bool = True
    """Check the envelope sender's domain (HELO for the null sender)."""
    check_mime_from: bool = True
    """Check the domains of the header From."""
    check_reply_to: bool = True
    """Check the domains of the header Reply-To."""

    probe_ipv4: bool = True
    """Ask for A records and probe IPv4 addresses."""
    probe_ipv6: bool = False
    """Ask for AAAA records and probe IPv6 addresses."""
    prefer_ipv6: bool = True
    """With both families: IPv6 comes first in the interleaved list."""
    max_mx_a_records: Annotated[int, Ge(1)] = 3
    """Most MX hosts of a domain and most addresses of a host that are used."""
    port: Annotated[int, Ge(1), Le(65535)] = 25
    """TCP port to probe."""
    key_prefix: Annotated[str, MinLen(1)] = "rmx"
    """First part of every cache key."""

    exclude_domains: MapSetting = None
    """Glob map of domains that are trusted: MX_WHITE, nothing is looked up."""
    exclude_mxs: MapSetting = None
    """Glob map of MX hosts that are trusted: MX_WHITE, nothing is probed."""
    exclude_ips: MapSetting = None
    """Radix map of addresses that are never probed; MX_SKIP when no other is left."""
    bad_mxs: MapSetting = None
    """Glob map of MX hosts that are punished: MX_BAD, times the entry's value."""
    bad_ips: MapSetting = None
    """Radix map of addresses that are punished: MX_IP_BAD, times the entry's value."""

    symbol_prefix_from: str = ""
    symbol_prefix_mime_from: str = "MIME_FROM_"
    symbol_prefix_reply_to: str = "REPLYTO_"
    symbol_bad_mx: SymbolName = "MX_INVALID"
    symbol_good_mx: SymbolName = "MX_GOOD"
    symbol_white_mx: SymbolName = "MX_WHITE"
    symbol_mx_refused: SymbolName = "MX_REFUSED"
    symbol_mx_timeout_connect: SymbolName = "MX_TIMEOUT_CONNECT"
    symbol_mx_timeout_read: SymbolName = "MX_TIMEOUT_READ"
    symbol_mx_error: SymbolName = "MX_ERROR"
    symbol_mx_none: SymbolName = "MX_NONE"
    symbol_mx_null: SymbolName = "MX_NULL"
    symbol_mx_broken: SymbolName = "MX_BROKEN"
    symbol_mx_dns_fail: SymbolName = "MX_DNS_FAIL"
    symbol_mx_a_good: SymbolName = "MX_A_GOOD"
    symbol_mx_a_refused: SymbolName = "MX_A_REFUSED"
    symbol_mx_a_timeout_connect: SymbolName = "MX_A_TIMEOUT_CONNECT"
    symbol_mx_a_timeout_read: SymbolName = "MX_A_TIMEOUT_READ"
    symbol_mx_a_error: SymbolName = "MX_A_ERROR"
    symbol_mx_a_invalid: SymbolName = "MX_A_INVALID"
    symbol_mx_local_only: SymbolName = "MX_LOCAL_ONLY"
    symbol_mx_local_mix: SymbolName = "MX_LOCAL_MIX"
    symbol_mx_bogon_only: SymbolName = "MX_BOGON_ONLY"
    symbol_mx_bogon_mix: SymbolName = "MX_BOGON_MIX"
    symbol_mx_skip: SymbolName = "MX_SKIP"
    symbol_mx_bad: SymbolName = "MX_BAD"
    symbol_mx_ip_bad: SymbolName = "MX_IP_BAD"
    symbol_mx_inflight: SymbolName = "MX_INFLIGHT"
    symbol_mx_redis_error: SymbolName = "MX_REDIS_ERROR"
    symbol_mx_probe_unavailable: SymbolName = "MX_PROBE_UNAVAILABLE"
    """One the reference does not have; see `improvements.blame_local_errors`."""
    symbol_mx_ratelimited: SymbolName = "MX_RATELIMITED"
    """The other one; see `improvements.probes_per_address` and the limits beside it."""

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield (settings involved, what is wrong) for values that are each valid but do not go together.

        Source: the set-up checks of the reference, which disable the module.
        """
        families = ("probe_ipv4", "probe_ipv6")
        sources = ("check_from", "check_mime_from", "check_reply_to")
        if not (self.probe_ipv4 or self.probe_ipv6):
            yield families, "is off, and so is probe_ipv6: nothing could be probed; switch one on"
        if not (self.check_from or self.check_mime_from or self.check_reply_to):
            yield sources, "is off, and so are check_mime_from and check_reply_to: nothing is checked; switch one on"
        if self.probe_ipv4 and self.probe_ipv6 and self.max_mx_a_records < 2:
            yield ("max_mx_a_records", *families), "must be at least 2 with both address families on, one for each"


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvements:
    """The section `improvements`: what this service does better. The defaults are those of the preset `recommended`."""

    probe_attempts: Annotated[int, Ge(1), Le(32)] = 3
    """Addresses tried, over the MX list in preference order, before a failure is believed."""
    attempt_stagger: Annotated[float, Gt(0)] | None = 1.0
    """Seconds after which the next address is tried while the one before has told nothing; null: once it has failed."""
    benefit_of_doubt: bool = True
    """A failure is believed once every host and address was tried or known; until then it is what kept us from that."""
    max_targets: Annotated[int, Ge(1)] | None = 16
    """Most MX hosts and most addresses of a host that are used, if more than max_mx_a_records; null: only that many."""
    blame_mixed_classes: bool = False
    """A host that takes mail, or may, is still blamed for private or bogon addresses beside the one that does."""
    other_families: bool = True
    """A name with addresses only in a family that is not probed is no missing one: MX_PROBE_UNAVAILABLE."""
    nat64: bool = True
    """An address of 64:ff9b::/96 (NAT64) has the class of the IPv4 address in it."""
    special_addresses: bool = True
    """An IPv6 address that IANA's registries give to no host of the Internet is private or a bogon, and one of 6to4 has
    the class of the IPv4 address in it; false: the ranges of the reference alone count."""
    underscore_hosts: bool = True
    """An MX host whose name begins with `_` is used like any other."""
    numeric_hosts: bool = True
    """An MX host whose name is an IPv4 address is that address, as it is to sending MTAs."""
    stop_at_loopback: bool = True
    """An MX host at a loopback address ends the list: to every MTA that is itself (RFC 5321 section 5.1)."""
    try_again: bool = True
    """A host that hung up at once, or spoke no SMTP at once, is tried a second time while attempts are left."""
    impossible_domains: bool = True
    """A domain that cannot be in DNS (a label of 64 octets or none, a name of 254) does not exist: MX_NONE."""
    wait_for_inflight: bool = True
    """Wait (until the deadline) for a probe that another task or worker holds, instead of MX_INFLIGHT at once."""
    blame_local_errors: bool = False
    """Our own network faults count as a connect timeout of the target; false: MX_PROBE_UNAVAILABLE, never cached."""
    loopback_class: Literal["local", "bogon"] = "local"
    """Class of 127.0.0.0/8 and ::1."""
    expire_dns_fail: Annotated[int, Ge(0)] | None = 60
    """Seconds a failed DNS lookup (df) is cached; null: as long as expire_dns."""
    skip_address_literals: bool = True
    """A HELO or mail domain like `[192.0.2.1]` is no domain and is not looked up."""
    refresh_ahead: bool = True
    """Renew what is asked for often in the background shortly before it expires, so that nobody waits for it."""
    probes_per_address: Annotated[int, Ge(0)] = 6
    """Most probes of one address in a minute, by all services that share the cache; 0: any number. Over it:
    MX_RATELIMITED, never cached."""
    probes_per_network: Annotated[int, Ge(0)] = 60
    """Likewise of one network of addresses, /24 of IPv4 and /64 of IPv6."""
    probes_per_suffix: Annotated[int, Ge(0)] = 300
    """Likewise of the MX hosts under one registered name, such as `example.com` or `example.co.uk`."""
    probes_globally: Annotated[int, Ge(0)] = 6000
    """Likewise of all addresses together."""
    probes_at_once: Annotated[int, Ge(0)] = 2048
    """Most connections to mail hosts that a process has open, never more than a third of its open files; a network has
    no more of them than are free. Over it: MX_PROBE_UNAVAILABLE, never cached. 0: any number."""
    tolerant_greeting: bool = True
    """A greeting that a sending MTA accepts is good: any 2xx, LF as line end, a code without text, long lines."""
    believe_521: bool = True
    """A greeting of 521 (RFC 7504: this host never accepts mail) is rf; false: err:521, which is good."""
    slow_greeting: Timeout | None = 3.0
    """Seconds without a greeting after which an accepted connection is gd for the time being; null: it ends as tr."""
    greeting_patience: Timeout = 300.0
    """Seconds from the connect that such a greeting is waited for in the background (RFC 5321 section 4.5.3.2.1)."""
    circuit_breaker: bool = True
    """When nobody answers any more, our own network is supposed to be at fault: MX_PROBE_UNAVAILABLE without a probe
    (but for trials), and the timeouts cached in the last minutes are deleted."""
    egress_check: tuple[str, ...] = ()
    """Mail hosts outside of our own network that surely are up, `host` or `host:port`: connected to before a timeout is
    believed, unless anybody else answers meanwhile; only with `circuit_breaker`. Empty: hosts that answered lately."""

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield (settings involved, what is wrong), as `MxCheckSettings.problems` does."""
        if self.slow_greeting is not None and self.greeting_patience <= self.slow_greeting:
            yield ("greeting_patience", "slow_greeting"), f"must be above slow_greeting ({self.slow_greeting:g})"


RECOMMENDED = Improvements()
REFERENCE = Improvements(
    probe_attempts=1,
    attempt_stagger=None,
    benefit_of_doubt=False,
    max_targets=None,
    blame_mixed_classes=True,
    other_families=False,
    nat64=False,
    special_addresses=False,
    underscore_hosts=False,
    numeric_hosts=False,
    stop_at_loopback=False,
    try_again=False,
    impossible_domains=False,
    wait_for_inflight=False,
    blame_local_errors=True,
    loopback_class="bogon",
    expire_dns_fail=None,
    skip_address_literals=False,
    refresh_ahead=False,
    probes_per_address=0,
    probes_per_network=0,
    probes_per_suffix=0,
    probes_globally=0,
    probes_at_once=0,
    tolerant_greeting=False,
    believe_521=False,
    slow_greeting=None,
    circuit_breaker=False,
)
PRESETS = {"recommended": RECOMMENDED, "reference": REFERENCE}
