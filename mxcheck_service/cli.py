"""The command `mxcheck`: parses arguments, prints, returns exit codes."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import uvloop
from rich.console import Console

from mxcheck_service import __version__, config, maps, present, targets, workers
from mxcheck_service.app import adapters, checker, load_maps, serve
from mxcheck_service.bulk import command as bulk
from mxcheck_service.config import ConfigError
from mxcheck_service.log import configure
from mxcheck_service.maps import MapError
from mxcheck_service.settings import Settings
from mxcheck_service.targets import FAILED, OK, NoTarget
from mxcheck_service.web import schema
from mxcheck_service.workers import WorkersFailed

_UNWRAPPED = 500
"""Columns for output that no window bounds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
    except BrokenPipeError:
        # Whoever reads has had enough; without this the interpreter would complain when it flushes.
        sys.stdout = None
    except (MapError, WorkersFailed, bulk.BulkError, OSError) as error:
        print(f"mxcheck: {error}", file=sys.stderr)
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

    symbols = commands.add_parser("symbols", parents=[with_config], help="print every symbol with weight and meaning")
    symbols.add_argument("--format", choices=("table", "json", "rspamd"), default="table")
    symbols.set_defaults(run=_symbols)
    return parser


def _load(arguments: argparse.Namespace, options: Mapping[str, Any] | None = None) -> Settings:
    loaded = config.load(arguments.config, arguments=options)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return loaded.settings


def _serve(arguments: argparse.Namespace) -> int:
    options = {key: value for key in ("host", "port") if (value := getattr(arguments, key)) is not None}
    settings = _load(arguments, options)
    configure(settings.server.log_level, settings.server.log_format)
    if settings.server.workers == 1:
        uvloop.run(serve(settings, load_maps(settings)))
    else:
        workers.run(settings)
    return OK


def _check(arguments: argparse.Namespace) -> int:
    settings = _load(arguments)
    configure("error", "text")
    return uvloop.run(_check_all(settings, arguments))


async def _check_all(settings: Settings, arguments: argparse.Namespace) -> int:
    """Check the targets one after the other and print each result as soon as it is known."""
    console = _console()
    worst = OK
    async with adapters(settings) as world:
        checks = checker(settings, maps.load(settings.mx_check), world)
        for target in arguments.targets:
            try:
                question = targets.message(target, settings.improvements, explain=arguments.explain)
            except NoTarget as error:
                print(f"mxcheck: {target!r} {error}", file=sys.stderr)
                worst = FAILED
                continue
            report = await checks.check(question)
            if arguments.json:
                print(orjson.dumps(schema.reply(report)).decode())
            else:
                console.print(present.report(target, report, explain=arguments.explain))
            worst = max(worst, targets.exit_code(report))
    return worst


def _bulk(arguments: argparse.Namespace) -> int:
    settings = _load(arguments)
    configure("error", "text")
    return uvloop.run(bulk.run(settings, arguments))


def _config_check(arguments: argparse.Namespace) -> int:
    settings = _load(arguments)
    for problem in maps.load(settings.mx_check).problems:
        print(f"warning: {problem}", file=sys.stderr)
    print(f"{arguments.config or 'the built-in settings'}: no problems found")
    return OK


def _config_show(arguments: argparse.Namespace) -> int:
    print(config.dump(_load(arguments)), end="")
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
