"""A scenario while it is being drawn: what the modules of this package add their part to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from tests.parity.world import DnsReply, DnsType, Peer, Redis, RedisMode, Request, Scenario, Setting

T = TypeVar("T")

DEFAULTS: Mapping[str, Setting] = {
    "connect_timeout": 2.0,
    "read_timeout": 5.0,
    "verify_greeting": False,
    "expire_dns": 1800,
    "probe_ipv4": True,
    "probe_ipv6": False,
    "max_mx_a_records": 3,
    "key_prefix": "rmx",
}
"""The settings that other parts of a scenario look at, with the reference's defaults."""


def weighted(rng: Random, choices: Mapping[T, float]) -> T:
    """Draw one of the keys with the likelihood of its value."""
    return rng.choices(list(choices), weights=list(choices.values()))[0]


@dataclass(slots=True)
class Draft:
    """Filled bit by bit, in the order of `generate.scenario`. `hosts` and `ips` are all that were named so far."""

    rng: Random
    settings: dict[str, Setting] = field(default_factory=dict)
    dns: dict[tuple[DnsType, str], DnsReply] = field(default_factory=dict)
    tcp: dict[str, Peer] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)
    wrong_type: list[str] = field(default_factory=list)
    races: dict[str, str | None] = field(default_factory=dict)
    redis_mode: RedisMode = "ok"
    hosts: list[str] = field(default_factory=list)
    ips: list[str] = field(default_factory=list)
    several_domains: bool = False

    def setting(self, name: str) -> Setting:
        """Return the value in force of one of the settings in DEFAULTS."""
        return self.settings.get(name, DEFAULTS[name])

    def seconds(self, name: str) -> float:
        """Return the value in force of a timeout."""
        value = self.setting(name)
        assert isinstance(value, int | float)
        return value

    def chance(self, probability: float) -> bool:
        """Tell, at random, true with the given probability."""
        return self.rng.random() < probability

    @property
    def tag(self) -> str:
        """Return the tag that lists of the enabled families carry in the cache."""
        both = self.setting("probe_ipv4") and self.setting("probe_ipv6")
        return "v64" if both else "v4" if self.setting("probe_ipv4") else "v6"

    @property
    def partial_tags(self) -> tuple[str, ...]:
        """Return the tags that do not cover the enabled families."""
        return {"v64": ("v4", "v6"), "v4": ("v6",), "v6": ("v4",)}[self.tag]

    def key(self, layer: str, name: str) -> str:
        """Return the name of a cache entry."""
        return f"{self.setting('key_prefix')}:{layer}:{name}"

    def cache(self, layer: str, name: str, value: str) -> None:
        """Put a value into the cache."""
        self.entries[self.key(layer, name)] = value

    def spoil(self, layer: str, name: str) -> None:
        """Put something into the cache that is no string."""
        self.wrong_type.append(self.key(layer, name))

    def finish(self, request: Request) -> Scenario:
        """Return the scenario."""
        redis = Redis(self.entries, tuple(self.wrong_type), self.races, self.redis_mode)
        return Scenario(self.settings, self.dns, self.tcp, redis, request)
