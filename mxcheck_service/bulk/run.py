"""The run: lines are taken one after the other, checked side by side, and their rows written in the order of the lines.

    lines -> at most `concurrency` checks -> a window of rows in order -> written as soon as the first one is there

Whatever is held is bounded: the checks under way, and the rows that wait for an earlier one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from mxcheck_service.bulk.lines import Line
from mxcheck_service.bulk.rows import Format, Row
from mxcheck_service.bulk.tally import Tally

GRACE: Final = 2.0
"""Seconds that checks under way are given when the run is stopped."""
_WINDOW: Final = 20
"""Rows that may wait for an earlier one, for each check that may be under way."""
_LARGEST_BATCH: Final = 500
"""Rows that are written together."""


class Run:
    """One run, from the first line to the last or until it is stopped."""

    def __init__(
        self,
        check: Callable[[Line], Awaitable[Row]],
        write: Callable[[bytes], Awaitable[None]],
        form: Format,
        tally: Tally,
        *,
        concurrency: int,
    ) -> None:
        self._check = check
        self._write = write
        self._form = form
        self._tally = tally
        self._free = asyncio.Semaphore(concurrency)
        self._room = asyncio.Semaphore(concurrency * _WINDOW)
        self._window: asyncio.Queue[tuple[Line, asyncio.Task[Row]] | None] = asyncio.Queue()
        self._checks: set[asyncio.Task[Row]] = set()

    async def run(self, lines: AsyncIterator[Line], stop: asyncio.Event) -> bool:
        """Check every line and write its row; tell whether the end was reached before `stop`.

        Raises what `lines` and `write` raise; when it was `lines`, the rows of all lines before are written.
        """
        reading = asyncio.create_task(self._read(lines))
        writing = asyncio.create_task(self._write_rows())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({writing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                # No more lines. What is under way may end, and its rows are written.
                reading.cancel()
                await asyncio.wait({writing}, timeout=GRACE)
            finished = writing.done() and not reading.cancelled()
            if writing.done():
                writing.result()
            if finished:
                await reading
            return finished
        finally:
            left = (reading, writing, stopping, *self._checks)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _read(self, lines: AsyncIterator[Line]) -> None:
        try:
            async for line in lines:
                await self._room.acquire()
                await self._free.acquire()
                check = asyncio.create_task(self._one(line))
                self._checks.add(check)
                check.add_done_callback(self._checks.discard)
                self._window.put_nowait((line, check))
        finally:
            self._window.put_nowait(None)

    async def _one(self, line: Line) -> Row:
        try:
            return await self._check(line)
        finally:
            self._free.release()

    async def _write_rows(self) -> None:
        """Write what is there whenever the next row is not, so that rows come together but none is held back."""
        batch: list[bytes] = []
        while True:
            if batch and self._window.empty():
                batch = await self._flush(batch)
            entry = await self._window.get()
            if entry is None:
                break
            line, check = entry
            if batch and (not check.done() or len(batch) >= _LARGEST_BATCH):
                batch = await self._flush(batch)
            row = await check
            self._room.release()
            self._tally.add(row, line.end)
            batch.append(self._form.encode(row))
        await self._flush(batch)

    async def _flush(self, batch: list[bytes]) -> list[bytes]:
        """Write the rows and return an empty batch."""
        await self._write(b"".join(batch))
        return []
