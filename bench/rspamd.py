"""What the plugin adds to a message's way through rspamd, beside the reference plugin on the same warm Redis.

    python -m bench.rspamd [--messages 4000] [--json FILE]

rspamds with no other plugin: a bare one, one with rspamd/mxcheck.lua that asks the service, and one with the reference
plugin (MXCHECK_REFERENCE, or beside the project), which asks Redis itself; and as floors two with mxcheck.lua that ask
a bare aiohttp handler, and a socket without any HTTP server behind it, which have the service's answer ready. One
message after the other, in blocks that take turns, for 1 domain in all three sources and for 3 domains; what is added
is the difference to the bare rspamd's percentile. The rspamds share one core; caller, service and Redis share the
other. Every answer must have the symbols.
Needs redis-server and Debian's rspamd.
"""

import asyncio
import json
import re
import socket
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench import report
from bench.stage import ALL_IN_REDIS, OTHER_CORE, SERVER_CORE, Program, domain, fill, in_turn, on_core
from tests.lab.process import missing
from tests.lab.redis import RedisServer
from tests.lab.rspamd import Rspamd
from tests.lab.rspamd_plugin import rspamd_with_plugin
from tests.lab.service import Service
from tests.parity.lua_rspamd import reference_path

BARE, PLUGIN, REFERENCE = "bare rspamd", "mxcheck.lua, service", "reference plugin"
FLOOR, SOCKET = "mxcheck.lua, bare aiohttp", "mxcheck.lua, bare socket"
ADDED: Final = (PLUGIN, FLOOR, SOCKET, REFERENCE)
# Domains of the envelope sender, of Reply-To and of From.
KINDS: Final = {"1 domain": (0, 0, 0), "3 domains": (0, 1, 2)}
SYMBOLS: Final = {"1 domain": {"MX_GOOD"}, "3 domains": {"MX_GOOD", "REPLYTO_MX_GOOD", "MIME_FROM_MX_GOOD"}}
BODIES: Final = {
    kind: {"sender": f"x@{domain(a)}", "reply_to": f"x@{domain(b)}", "mime_from": f"x@{domain(c)}"}
    for kind, (a, b, c) in KINDS.items()
}
_SYMBOL: Final = re.compile(r'"((?:[A-Z_]+_)?MX_[A-Z]+)":\{')
_BLOCK: Final = 25
_WARM_UP: Final = 4
"""Blocks before the measurement, which open connections and fill what remembers."""
_QUIET: Final = {"logging.inc": 'level = "warning";'}


def request(sender: int, reply_to: int, mime_from: int) -> bytes:
    """A message with these domains, as an MTA hands it to rspamd."""
    message = (
        f"From: Jo <jo@{domain(mime_from)}>\r\nReply-To: <jo@{domain(reply_to)}>\r\nTo: kim@rcpt.test\r\n"
        f"Subject: hello\r\nMessage-ID: <1@{domain(0)}>\r\n\r\nhi\r\n"
    )
    head = (
        "POST /checkv2 HTTP/1.0",
        f"From: jo@{domain(sender)}",
        "IP: 198.51.100.7",
        f"Content-Length: {len(message)}",
    )
    return "\r\n".join((*head, "", message)).encode()


def scan(rspamd: Rspamd, sent: bytes) -> tuple[float, str]:
    """Return the seconds until the whole answer is there, and the answer."""
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", rspamd.port)) as connection, connection.makefile("rb") as answer:
        connection.sendall(sent)
        received = answer.read()
    return time.perf_counter() - started, received.decode()


def block(rspamd: Rspamd, kind: str, symbols: set[str], count: int) -> list[float]:
    """The seconds of each of `count` messages; raises RuntimeError when one did not get its symbols."""
    sent = request(*KINDS[kind])
    answers = [scan(rspamd, sent) for _ in range(count)]
    for _, answer in answers:
        if set(_SYMBOL.findall(answer)) != symbols:
            raise RuntimeError(f"{kind}: not the symbols {symbols}: {answer}\n{rspamd.log[-2000:]}")
    return [seconds for seconds, _ in answers]


def measure(messages: int) -> dict[str, dict[str, list[list[float]]]]:
    """The seconds of each message, in blocks, by kind of message and rspamd."""
    if not reference_path().exists():
        missing(f"the reference plugin at {reference_path()} or MXCHECK_REFERENCE")
    with ExitStack() as stack:
        stack.enter_context(on_core(OTHER_CORE))
        redis = stack.enter_context(RedisServer())
        fill(redis, 3)
        service = stack.enter_context(Service(ALL_IN_REDIS | {"cache": {"url": redis.url}}))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return {kind: _measure(kind, messages, redis, service, folder) for kind in KINDS}


def _measure(
    kind: str, messages: int, redis: RedisServer, service: Service, folder: Path
) -> dict[str, list[list[float]]]:
    reply = folder / kind
    reply.write_text(json.dumps(asyncio.run(service.check(BODIES[kind])).body))
    with ExitStack() as stack:
        bare = stack.enter_context(Program("bare", str(reply)))
        prepared = stack.enter_context(Program("prepared", str(reply)))
        reference = Rspamd(
            plugins={"mx_check.lua": reference_path()},
            local_d=_QUIET | {"mx_check.conf": "enabled = true; test_mode = true;"},
            redis_url=redis.url,
            stock_plugins=(),
        )
        rspamds = {BARE: Rspamd(local_d=_QUIET, stock_plugins=()), REFERENCE: reference} | {
            name: rspamd_with_plugin({"url": url}, local_d=_QUIET, stock_plugins=())
            for name, url in ((PLUGIN, service.url), (FLOOR, bare.url), (SOCKET, prepared.url))
        }
        with on_core(SERVER_CORE):
            for rspamd in rspamds.values():
                stack.enter_context(rspamd)
        found: dict[str, list[list[float]]] = {name: [] for name in rspamds}
        for number in range(-_WARM_UP, max(2, messages // _BLOCK)):
            for name in in_turn(list(rspamds), number):
                seconds = block(rspamds[name], kind, set() if name == BARE else SYMBOLS[kind], _BLOCK)
                if number >= 0:
                    found[name].append(seconds)
        return found


def summary(found: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> dict[str, dict[str, dict[str, Any]]]:
    """What each plugin adds, in microseconds; `quartiles`: of the blocks' medians, to show the noise."""
    added: dict[str, dict[str, dict[str, Any]]] = {}
    for kind, each in found.items():
        flat = {name: [seconds * 1e6 for block in blocks for seconds in block] for name, blocks in each.items()}
        bare = {percent: report.percentile(flat[BARE], percent) for percent in (50, 99)}
        added[kind] = {BARE: {"p50": bare[50], "p99": bare[99]}}
        bare_blocks = [statistics.median(block) * 1e6 for block in each[BARE]]
        for name in ADDED:
            differences = [
                statistics.median(block) * 1e6 - bare_block
                for block, bare_block in zip(each[name], bare_blocks, strict=True)
            ]
            added[kind][name] = {
                "added_p50": report.percentile(flat[name], 50) - bare[50],
                "added_p99": report.percentile(flat[name], 99) - bare[99],
                "quartiles": [report.percentile(differences, 25), report.percentile(differences, 75)],
            }
        for name in ADDED:
            of = added[kind][name]["added_p50"] / added[kind][REFERENCE]["added_p50"]
            added[kind][name]["of_reference"] = of
    return added


def main() -> None:
    parser = report.options("rspamd", __doc__)
    parser.add_argument("--messages", type=int, default=4000, help="for each rspamd and kind of message")
    arguments = parser.parse_args()
    added = summary(measure(arguments.messages))
    report.save(arguments, {"added": added})
    rows = []
    for kind, each in added.items():
        rows.append([kind, BARE, f"({each[BARE]['p50']:.0f})", f"({each[BARE]['p99']:.0f})", "-", "-"])
        for name in ADDED:
            figures = each[name]
            low, high = figures["quartiles"]
            rows.append(
                [
                    kind,
                    name,
                    f"{figures['added_p50']:.0f}",
                    f"{figures['added_p99']:.0f}",
                    f"{low:.0f} to {high:.0f}",
                    f"{figures['of_reference']:.2f}",
                ]
            )
    head = ["", "", "added p50, µs", "added p99, µs", "half of the blocks' p50", "of the reference's p50"]
    print(report.table(head, rows))


if __name__ == "__main__":
    main()
