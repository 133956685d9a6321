"""A TCP proxy that counts the connections through it, and may be slow."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self, cast

from tests.lab.sockets import free_port

_HOST = "127.0.0.1"
_CHUNK = 65_536


class TcpProxy:
    """Listens on a free port of 127.0.0.1 while entered and passes everything on to `port` there.

    `delay`, which may be changed at any time, is seconds that whatever comes back from there is held. It serves one
    event loop.
    """

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self.connections = 0
        self.delay = 0.0
        self._target = port
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port` of the proxy."""
        return f"http://{_HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, _HOST, self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        self.connections += 1
        opened = [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection(_HOST, self._target)
            opened.append(far_writer)
            await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer, slow=True))
        except (OSError, asyncio.CancelledError):
            return  # a side went, or the proxy ends
        finally:
            for end in opened:
                end.close()
                with suppress(OSError, asyncio.CancelledError):
                    await end.wait_closed()
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool = False) -> None:
        while data := await reader.read(_CHUNK):
            if slow and self.delay:
                await asyncio.sleep(self.delay)
            writer.write(data)
            await writer.drain()
        writer.write_eof()
