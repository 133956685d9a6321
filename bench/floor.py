"""The floor of a cold check: for each domain just the two DNS queries and the connection.

    python -m bench.floor NAMESERVER PORT FIRST COUNT CONCURRENCY

It prints a line of JSON: the seconds and the CPU seconds that took, and how many failed.
"""

import asyncio
import json
import socket
import sys
import time
from typing import Any

import aiodns
import uvloop

from bench.stage import domain

_WARM_UP = 200


async def look_up(resolver: aiodns.DNSResolver, name: str, port: int) -> None:
    mx: Any = (await resolver.query_dns(name, "MX")).answer[0].data
    a: Any = (await resolver.query_dns(mx.exchange, "A")).answer[0].data
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
        await asyncio.get_running_loop().sock_connect(connection, (a.addr, port))


async def measure(nameserver: str, port: int, first: int, count: int, concurrency: int) -> dict[str, float]:
    resolver = aiodns.DNSResolver(nameservers=[nameserver], timeout=1.0, tries=2)

    async def look_up_all(numbers: range) -> int:
        left = iter(numbers)
        failed = 0

        async def worker() -> None:
            nonlocal failed
            for number in left:
                try:
                    await look_up(resolver, domain(number), port)
                except (aiodns.error.DNSError, OSError):
                    failed += 1

        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(worker())
        return failed

    await look_up_all(range(first, first + _WARM_UP))
    started, used = time.perf_counter(), time.process_time()
    failed = await look_up_all(range(first + _WARM_UP, first + _WARM_UP + count))
    found = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - used, "failed": failed}
    await resolver.close()
    return found


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(sys.argv[1], *map(int, sys.argv[2:])))))
