"""rspamd's task, as far as the reference uses it, and what the engine makes of the symbols inserted into it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any

from tests.parity.world import Hit, Parsed


@dataclass(frozen=True, slots=True)
class Text:
    """rspamd_text: not a Lua string, but tostring() makes one of it."""

    value: str

    def __str__(self) -> str:
        return self.value


class Ip:
    """rspamd_ip: keeps the text, counts an IPv4-mapped address as IPv4."""

    def __init__(self, text: str, local: bool = False) -> None:
        self._text = text
        self._local = local

    def to_string(self) -> str:
        """Return the address as text."""
        return self._text

    def is_local(self) -> bool:
        """Tell whether the engine counts the address as local."""
        return self._local

    def is_valid(self) -> bool:
        """Tell whether the text was an address."""
        return self.get_version() is not None

    def get_version(self) -> int | None:
        """Return 4 or 6."""
        try:
            address = ip_address(self._text)
        except ValueError:
            return None
        return 4 if isinstance(address, IPv6Address) and address.ipv4_mapped else address.version


@dataclass(slots=True)
class _Insert:
    weight: float
    options: list[str]


class ScanResult:
    """Symbols as rspamd keeps them for one-shot symbols, and the action."""

    def __init__(self) -> None:
        self._inserts: dict[str, list[_Insert]] = {}
        self.greylist = False
        self.reject_message: str | None = None

    def insert(self, symbol: str, weight: float, options: Sequence[str]) -> None:
        """Insert a symbol; a weight that is not finite counts as zero."""
        if not math.isfinite(weight):
            weight = 0.0
        self._inserts.setdefault(symbol, []).append(_Insert(weight, list(options)))

    @property
    def action(self) -> str:
        """A pre-result goes before greylisting."""
        if self.reject_message is not None:
            return "reject"
        return "greylist" if self.greylist else "no action"

    def symbols(self) -> dict[str, Hit]:
        """Merge: of two weights of the same sign the larger stays, else the first; each option is kept once."""
        merged: dict[str, Hit] = {}
        for symbol, inserts in self._inserts.items():
            weight = inserts[0].weight
            for insert in inserts[1:]:
                same_sign = math.copysign(1, insert.weight) == math.copysign(1, weight)
                if same_sign and abs(insert.weight) > abs(weight):
                    weight = insert.weight
            options = tuple(dict.fromkeys(option for insert in inserts for option in insert.options))
            ordered = len(inserts) == 1
            merged[symbol] = Hit(float(weight), options if ordered else tuple(sorted(options)), ordered)
        return dict(sorted(merged.items()))


class Task:
    """The userdata `task`."""

    def __init__(self, parsed: Parsed, resolver: Any, result: ScanResult, to_table: Any) -> None:
        self._parsed = parsed
        self._resolver = resolver
        self._result = result
        self._to_table = to_table

    def get_user(self) -> str | None:
        """Return the name of the authenticated user."""
        return "user" if self._parsed.user else None

    def get_ip(self) -> Ip:
        """Return the client's address; only whether it is local matters."""
        return Ip("client", self._parsed.local)

    def get_helo(self) -> str | None:
        """Return what the client said in HELO."""
        return self._parsed.helo

    def get_from(self, kind: str) -> Any:
        """Return the parsed sender of the envelope, or the addresses of the From headers."""
        if kind == "smtp":
            return None if self._parsed.envelope is None else self._addresses((self._parsed.envelope,))
        return self._addresses(self._parsed.mime_from) if self._parsed.mime_from else None

    def get_header(self, name: str) -> str | None:
        """Return the Reply-To header; its text does not matter, `parse_mail_address` knows what is in it."""
        assert name == "Reply-To"
        return name if self._parsed.reply_to else None

    def parse_mail_address(self, _header: str, _pool: object) -> Any:
        """rspamd_util.parse_mail_address, for the one header it is used on."""
        return self._addresses(self._parsed.reply_to)

    def get_resolver(self) -> Any:
        """Return the DNS resolver."""
        return self._resolver

    def get_mempool(self) -> "Task":
        """Return the pool that holds task variables: this object."""
        return self

    def set_variable(self, name: str, value: str) -> None:
        """The greylist module looks at this variable."""
        assert (name, value) == ("grey_greylisted_required", "1")
        self._result.greylist = True

    def set_pre_result(self, action: str, message: str, _module: str) -> None:
        """Force the action."""
        assert action == "reject"
        self._result.reject_message = message

    def insert_result(self, symbol: str, weight: float, options: Any = None) -> None:
        """Insert a symbol with nothing, a string or a table of strings."""
        if isinstance(options, str):
            options = self._to_table([options])
        self._result.insert(symbol, weight, () if options is None else list(options.values()))

    def _addresses(self, domains: Sequence[str]) -> Any:
        return self._to_table([self._to_table({"domain": domain}) for domain in domains])
