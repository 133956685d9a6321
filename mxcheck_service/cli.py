"""The command `mxcheck`: parses arguments, prints, returns exit codes."""

import argparse
import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import uvloop
from rich.console import Console

from mxcheck_service import __version__, config, present, targets, workers
from mxcheck_service.app import adapters, checker, instruments, load_maps, serve
from mxcheck_service.bulk import command as bulk
from mxcheck_service.cache import surgery
from mxcheck_service.cache.layers import CacheLayers, Layer
from mxcheck_service.cache.surgery import LAYERS, NoSuchKey
from mxcheck_service.config import ConfigError
from mxcheck_service.core.endpoint import endpoint
from mxcheck_service.doctor.examination import examine
from mxcheck_service.doctor.judgement import judge
from mxcheck_service.doctor.rows import Row, exit_code
from mxcheck_service.importing.convert import convert
from mxcheck_service.importing.dump import ImportFailed
from mxcheck_service.log import configure, escape
from mxcheck_service.maps.errors import MapError
from mxcheck_service.ports import CacheError
from mxcheck_service.settings import ServerSettings, Settings
from mxcheck_service.targets import FAILED, OK, NoTarget
from mxcheck_service.tls import TlsError, certificates
from mxcheck_service.web import schema
from mxcheck_service.workers import WorkersFailed

_log = logging.getLogger(__name__)

ABSENT = 1
"""Exit code of `cache show`: there is no such entry."""

_IN_THE_SERVICE = "cache.url is memory://, a cache inside the process of the service, which is to be asked"
_UNWRAPPED = 500
"""Columns for output that no window bounds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except ConfigError as error:
        print("\n".join(map(escape, error.problems)), file=sys.stderr)
    except BrokenPipeError:
        # Whoever reads has had enough; without this the interpreter would complain when it flushes.
        sys.stdout = None
    except ImportFailed as error:
        print(f"mxcheck: {escape(str(error))}", file=sys.stderr)
    except (MapError, TlsError, WorkersFailed, bulk.BulkError, OSError) as error:
        print("\n".join(map(escape, f"mxcheck: {error}".split("\n"))), file=sys.stderr)
    except KeyboardInterrupt:
        pass
    return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mxcheck", description="Does the sender's domain really receive mail?")
    parser.add_argument("--version", action="version", version=f"mxcheck {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    with_config = argparse.ArgumentParser(add_help=False)
    with_config.add_argument("--config", metavar="FILE", type=Path, help="YAML settings (default: built-in ones)")

    serve_ = commands.add_parser("serve", parents=[with_config], help="run the HTTP service")
    serve_.add_argument("--host", help="address to listen on (server.host)")
    serve_.add_argument("--port", type=int, help="TCP port to listen on (server.port)")
    serve_.set_defaults(run=_serve)

    check = commands.add_parser("check", parents=[with_config], help="check addresses or domains, no server needed")
    check.add_argument("targets", nargs="+", metavar="TARGET", help="an e-mail address or a domain")
    check.add_argument("--json", action="store_true", help="print the API's reply, one line per target")
    check.add_argument("--explain", action="store_true", help="show each step with its time")
    check.set_defaults(run=_check)

    many = commands.add_parser("bulk", parents=[with_config], help="check a list of them, a row each")
    bulk.add_arguments(many)
    many.set_defaults(run=_bulk)

    settings = commands.add_parser("config", help="validate or print the settings")
    actions = settings.add_subparsers(required=True, metavar="ACTION")
    validate = actions.add_parser("check", parents=[with_config], help="validate the settings")
    validate.set_defaults(run=_config_check)
    show = actions.add_parser("show", parents=[with_config], help="print the effective settings, secrets masked")
    show.set_defaults(run=_config_show)
    import_ = actions.add_parser("import", help="print settings for what `rspamadm configdump -j mx_check redis` says")
    import_.add_argument(
        "file", nargs="?", metavar="FILE", default="-", help="what rspamadm printed (-: standard input)"
    )
    import_.set_defaults(run=_config_import)

    doctor = commands.add_parser(
        "doctor", parents=[with_config], help="look at DNS, Redis, the way out, clock and limits"
    )
    doctor.add_argument(
        "--target",
        action="append",
        default=[],
        type=_target,
        dest="targets",
        metavar="HOST[:PORT]",
        help="a mail host that surely accepts connections; two or more tell whether the port is blocked",
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.set_defaults(run=_doctor)

    entries = commands.add_parser("cache", help="look at or purge single entries of the cache")
    actions = entries.add_subparsers(required=True, metavar="ACTION")
    layer_and_key = argparse.ArgumentParser(add_help=False)
    layer_and_key.add_argument("layer", metavar="LAYER", choices=LAYERS, help="d: domains, m: MX hosts, i: addresses")
    layer_and_key.add_argument("key", metavar="KEY", help="the domain, host or address")
    look = actions.add_parser("show", parents=[layer_and_key, with_config], help="show an entry")
    look.set_defaults(run=_cache, act=_cache_show)
    purge = actions.add_parser("purge", parents=[layer_and_key, with_config], help="purge an entry, for everyone")
    purge.set_defaults(run=_cache, act=_cache_purge)

    symbols = commands.add_parser("symbols", parents=[with_config], help="print every symbol with weight and meaning")
    symbols.add_argument("--format", choices=("table", "json", "rspamd"), default="table")
    symbols.set_defaults(run=_symbols)
    return parser


def _load(arguments: argparse.Namespace, options: Mapping[str, Any] | None = None) -> Settings:
    loaded = config.load(arguments.config, arguments=options)
    _warn(loaded.warnings)
    return loaded.settings


def _warn(problems: Iterable[str]) -> None:
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)


def _serve(arguments: argparse.Namespace) -> int:
    options = {key: value for key in ("host", "port") if (value := getattr(arguments, key)) is not None}
    settings = _load(arguments, options)
    configure(settings.server.log_level, settings.server.log_format, config.secrets(settings))
    # A reload asked for while the service comes up is none of the things that end it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    reread = partial(config.load, arguments.config, arguments=options)
    library, problems = asyncio.run(load_maps(settings))
    for problem in problems:
        _log.warning(problem)
    if settings.server.workers == 1:
        uvloop.run(serve(settings, library, reread))
    else:
        workers.run(settings, library, reread)
    return OK


def _check(arguments: argparse.Namespace) -> int:
    settings = _load(arguments)
    configure("error", "text", config.secrets(settings))
    return uvloop.run(_check_all(settings, arguments))


async def _check_all(settings: Settings, arguments: argparse.Namespace) -> int:
    """Check the targets one after the other and print each result as soon as it is known."""
    console = _console()
    worst = OK
    async with adapters(settings) as world:
        library, problems = await load_maps(settings)
        _warn(problems)
        checks = checker(settings, library.maps(settings.mx_check).maps, world)
        for target in arguments.targets:
            try:
                question = targets.message(target, settings.improvements, explain=arguments.explain)
            except NoTarget as error:
                print(f"mxcheck: {target!r} {error}", file=sys.stderr)
                worst = FAILED
                continue
            started = time.monotonic()
            report = await checks.check(question)
            seconds = time.monotonic() - started
            if arguments.json:
                print(present.plain_json(schema.encoded(report, seconds)))
            else:
                console.print(present.report(target, report, seconds, explain=arguments.explain))
            worst = max(worst, targets.exit_code(report))
    return worst


def _bulk(arguments: argparse.Namespace) -> int:
    settings = _load(arguments)
    configure("error", "text", config.secrets(settings))
    return uvloop.run(bulk.run(settings, arguments))


def _target(text: str) -> tuple[str, int | None]:
    try:
        return endpoint(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(escape(str(error))) from None


def _doctor(arguments: argparse.Namespace) -> int:
    loaded = config.load(arguments.config)
    configure("error", "text", config.secrets(loaded.settings))
    rows = uvloop.run(_examine(loaded, arguments.targets))
    if arguments.json:
        print(json.dumps(present.health_document(rows), indent=2))
    else:
        _console().print(present.health(rows))
    return exit_code(rows)


async def _examine(loaded: config.Loaded, targets: Sequence[tuple[str, int | None]]) -> list[Row]:
    async with instruments(loaded.settings) as tools:
        return judge(loaded.settings, await examine(loaded.settings, tools, targets, loaded.warnings))


def _config_check(arguments: argparse.Namespace) -> int:
    settings = _load(arguments)
    _warn(asyncio.run(load_maps(settings))[1])
    certificates(settings.server)
    print(f"{arguments.config or 'the built-in settings'}: no problems found")
    return OK


def _config_show(arguments: argparse.Namespace) -> int:
    print(config.dump(_load(arguments)), end="")
    return OK


def _cache(arguments: argparse.Namespace) -> int:
    settings = _load(arguments)
    configure("error", "text", config.secrets(settings))
    try:
        if settings.cache.embedded:
            server, name = settings.server, surgery.name_of(arguments.layer, arguments.key)
            url = f"{_curl(server)}/v1/cache/{arguments.layer}/{name}"
            print(f"mxcheck: {_IN_THE_SERVICE}: curl {url}, with -X DELETE to purge", file=sys.stderr)
        else:
            return uvloop.run(_on_cache(settings, arguments))
    except NoSuchKey as error:
        print(f"mxcheck: {arguments.key!r} {error}", file=sys.stderr)
    except CacheError as error:
        print(f"mxcheck: the cache cannot be asked: {escape(str(error))}", file=sys.stderr)
    return FAILED


def _curl(server: ServerSettings) -> str:
    """Return the beginning of what curl is to be given to ask the service."""
    if server.port is None:
        return f"--unix-socket {server.unix_socket} http://localhost"
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{'https' if server.tls_cert else 'http'}://{host}:{server.port}"


async def _on_cache(settings: Settings, arguments: argparse.Namespace) -> int:
    async with adapters(settings) as world:
        cache = CacheLayers(world.cache, settings.mx_check, settings.improvements)
        return int(await arguments.act(cache, arguments.layer, arguments.key))


async def _cache_show(cache: CacheLayers, layer: Layer, key: str) -> int:
    entry = await surgery.look(cache, layer, key)
    if entry is None:
        print(f"the cache has no entry {layer}:{surgery.name_of(layer, key)}")
        return ABSENT
    _console().print(present.cache_entry(layer, entry))
    return OK


async def _cache_purge(cache: CacheLayers, layer: Layer, key: str) -> int:
    print(f"purged {await surgery.purge(cache, layer, key)}")
    return OK


def _config_import(arguments: argparse.Namespace) -> int:
    given = sys.stdin.buffer.read() if arguments.file == "-" else Path(arguments.file).read_bytes()
    settings, left_out = convert(given.decode(errors="replace"))
    print(settings, end="")
    if left_out:
        print(f"mxcheck: {left_out} settings have no counterpart; their comments say why", file=sys.stderr)
    return OK


def _symbols(arguments: argparse.Namespace) -> int:
    settings = _load(arguments).mx_check
    match arguments.format:
        case "json":
            print(orjson.dumps(present.symbols_document(settings), option=orjson.OPT_INDENT_2).decode())
        case "rspamd":
            print(present.symbols_group(settings), end="")
        case _:
            _console().print(present.symbols_table(settings))
    return OK


def _console() -> Console:
    """Return where a person reads: colours and the window's width on a terminal; elsewhere plain, unwrapped lines."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _UNWRAPPED)
