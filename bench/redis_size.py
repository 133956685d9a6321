"""What the entries of a domain take in Redis.

    python -m bench.redis_size [--domains 10000 100000] [--json FILE]

A real redis-server is filled with the three entries that a check of a good domain leaves, each domain with a host and
an address of its own; real domains share many. "A domain" is what the server's memory (`used_memory`) has grown by, the
other columns are the medians of `MEMORY USAGE` of some keys of each kind, which knows nothing of the tables that hold
them.
"""

import statistics
from typing import Any, Final

from bench import report
from bench.stage import entries, fill
from tests.lab.redis import RedisServer

_SOME: Final = 1_000
LAYERS: Final = {"d": "domain", "m": "MX host", "i": "address"}


def measure(domains: int) -> dict[str, Any]:
    """Return bytes a domain, bytes an entry of each layer, resident and used bytes, and the server's version."""
    with RedisServer() as redis, redis.client() as client:
        before = client.info("memory")["used_memory"]
        fill(redis, domains)
        after = client.info("memory")
        step = max(1, domains // _SOME)
        keys = [list(entries(number)) for number in range(0, domains, step)]
        usage = [[client.memory_usage(key) or 0 for key in one] for one in keys]
        return {
            "redis": client.info("server")["redis_version"],
            "allocator": after["mem_allocator"],
            "keys": client.dbsize(),
            "bytes_a_domain": (after["used_memory"] - before) / domains,
            "bytes_an_entry": {
                layer: statistics.median(sizes) for layer, sizes in zip(LAYERS, zip(*usage, strict=True), strict=True)
            },
            "used_mib": after["used_memory"] / 2**20,
            "resident_mib": after["used_memory_rss"] / 2**20,
        }


def main() -> None:
    parser = report.options("redis_size", __doc__)
    parser.add_argument("--domains", type=int, nargs="+", default=[10_000, 100_000], help="how many, one size each")
    arguments = parser.parse_args()
    found = {str(domains): measure(domains) for domains in arguments.domains}
    report.save(arguments, found)
    head = ["domains", "bytes a domain", *(f"bytes of the {name}'s entry" for name in LAYERS.values()), "resident MiB"]
    rows = [
        [
            f"{int(domains):,}",
            f"{one['bytes_a_domain']:.0f}",
            *(f"{one['bytes_an_entry'][layer]:.0f}" for layer in LAYERS),
            f"{one['resident_mib']:.0f}",
        ]
        for domains, one in found.items()
    ]
    print(report.table(head, rows))


if __name__ == "__main__":
    main()
