"""`mxcheck bulk`: its options, and how they become a run."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Final

from mxcheck_service import targets
from mxcheck_service.app import adapters, checker, load_maps
from mxcheck_service.bulk import progress
from mxcheck_service.bulk.files import InUse, Sink, Source, output_file
from mxcheck_service.bulk.lines import CsvColumn, InputError, Line, Plain, Reader
from mxcheck_service.bulk.rows import FORMATS, ForeignOutput, Format, Row, checked, failed, written
from mxcheck_service.bulk.run import Run
from mxcheck_service.bulk.tally import Tally
from mxcheck_service.politeness import PerNetwork
from mxcheck_service.settings import Settings

PATIENCE: Final = 3600.0
"""Seconds after which a line gets no verdict unless told otherwise. Each step has a limit of its own, but a turn at a
busy network may be long in coming, and nobody waits for a single line."""


class BulkError(Exception):
    """The run cannot begin or go on; says why and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `mxcheck bulk` takes, less `--config`."""
    add = parser.add_argument
    add("input", metavar="FILE", help="addresses or domains, one a line; - for standard input")
    add(
        "--column",
        metavar="NAME|N",
        type=_column,
        help="FILE is a CSV: the column to check, by its name in the header, or by number from 1 where there is none",
    )
    add("--delimiter", metavar="C", default=",", type=_delimiter, help="of the CSV (default: a comma)")
    add("--format", choices=tuple(FORMATS), default="csv", help="of the rows (default: csv)")
    add("--output", metavar="FILE", help="where the rows go (default: standard output)")
    add("--resume", action="store_true", help="go on after the last row in --output")
    add("--concurrency", metavar="N", type=_count, default=50, help="lines checked at once (default: 50)")
    add(
        "--per-mx",
        metavar="N",
        type=_count,
        default=2,
        help="connections at once to one network of MX hosts, /24 or /64 (default: 2)",
    )
    add(
        "--deadline",
        metavar="SECONDS",
        type=_seconds,
        default=PATIENCE,
        help=f"give a line up after so long (default: {PATIENCE:g})",
    )
    add("--quiet", action="store_true", help="neither progress nor summary")


def _column(text: str) -> str | int:
    return _count(text) if text.isascii() and text.isdigit() else text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= PATIENCE:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, {PATIENCE:g} at most")
    return seconds


def _delimiter(text: str) -> str:
    character = {"tab": "\t", r"\t": "\t"}.get(text, text)
    if len(character) != 1 or character in '"\r\n':
        raise argparse.ArgumentTypeError(f"{text!r} is not one character (or `tab`)")
    return character


async def run(settings: Settings, options: argparse.Namespace) -> int:
    """Do what the options say and return the exit code; raises BulkError and OSError."""
    if options.resume and not options.output:
        raise BulkError("--resume goes on with the rows of an earlier run: say with --output where they are")
    try:
        with ExitStack() as files:
            source = Source(options.input)
            files.callback(source.close)
            fd = files.enter_context(output_file(options.output)) if options.output else sys.stdout.fileno()
            return await _run(settings, options, source, fd)
    except (InputError, InUse) as error:
        raise BulkError(str(error)) from None


async def _run(settings: Settings, options: argparse.Namespace, source: Source, fd: int) -> int:
    form, tally, stop = FORMATS[options.format](), Tally(), _Stop()
    reader: Reader = Plain() if options.column is None else CsvColumn(options.column, options.delimiter)
    sink = Sink(fd)
    async with aclosing(source.lines(reader)) as lines:
        if not (options.output and await _go_on(fd, lines, form, tally, options)):
            await sink.write(form.head)
        watch = progress.Stopwatch()
        async with _checker(settings, options) as check:
            job = Run(check, sink.write, form, tally, concurrency=options.concurrency)
            # Rows on the same terminal are progress enough.
            shown = not options.quiet and sys.stderr.isatty() and not os.isatty(fd)
            with progress.live(tally, source.size, shown=shown):
                finished = await job.run(lines, stop.asked)
    if not options.quiet:
        progress.show_summary(tally, watch.seconds)
    if finished:
        return tally.exit_code
    advice = "; the same command with --resume goes on from there" if options.output else ""
    print(f"mxcheck: stopped after {tally.rows} rows{advice}", file=sys.stderr)
    return 128 + stop.number


@asynccontextmanager
async def _checker(settings: Settings, options: argparse.Namespace) -> AsyncIterator[Callable[[Line], Awaitable[Row]]]:
    """Yield what turns lines into rows."""
    # A line has nothing better to do than to wait for a probe that is under way. A row is final: no verdict in it is
    # provisional, and no network is kept waiting for hosts that never greet.
    improvements = replace(settings.improvements, wait_for_inflight=True, slow_greeting=None)
    library, problems = await load_maps(settings)
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    async with adapters(settings) as world:
        polite = PerNetwork(options.per_mx)
        checks = checker(
            settings.model_copy(update={"improvements": improvements}),
            library.maps(settings.mx_check).maps,
            replace(world, dialer=polite.dialer(world.dialer), turns=polite),
            deadline=options.deadline,
        )

        async def check(line: Line) -> Row:
            if line.problem:
                return failed(line, line.problem)
            try:
                question = targets.message(line.text, improvements)
            except targets.NoTarget as error:
                return failed(line, str(error))
            return checked(line, await checks.check(question))

        yield check


async def _go_on(fd: int, lines: AsyncIterator[Line], form: Format, tally: Tally, options: argparse.Namespace) -> bool:
    """Tell whether the output holds rows to go on after. Their lines are taken from the input, and must be the same."""
    status = os.fstat(fd)
    if not status.st_size:
        return False
    if not options.resume:
        raise BulkError(f"{options.output} is not empty: go on with it with --resume, or remove it")
    kept = 0
    with os.fdopen(os.dup(fd), "rb") as file:
        try:
            for row, end in written(file, form):
                line = await anext(lines, None)
                if line is None or (line.number, line.shown) != (row.line, row.input):
                    raise BulkError(_difference(options, tally.rows + 1, row, line))
                tally.add(row, line.end)
                kept = end
        except ForeignOutput as error:
            raise BulkError(f"{options.output}: {error} (--format {options.format}): cannot resume from it") from None
    tally.resumed = tally.rows
    os.ftruncate(fd, kept)
    os.lseek(fd, kept, os.SEEK_SET)
    return kept > 0


def _difference(options: argparse.Namespace, number: int, row: Row, line: Line | None) -> str:
    found = "ends before it" if line is None else f"has {line.shown!r} at line {line.number} instead"
    return (
        f"{options.output}: row {number} is about line {row.line} of the input, {row.input!r}, but the input {found}: "
        "resume with the input and the --column that the rows were made from, or remove the output"
    )


class _Stop:
    """Set by SIGINT or SIGTERM; `number` is the one that came."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.number = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._came, number)

    def _came(self, number: int) -> None:
        self.number = self.number or number
        self.asked.set()
