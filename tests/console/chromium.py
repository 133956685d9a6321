"""Headless Chromium as a child process, driven over its debugging port."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from playwright.async_api import Browser, async_playwright

from tests.lab.process import Child, find_program
from tests.lab.sockets import accepts_connections, free_port

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--disable-extensions", "--metrics-recording-only", "--no-default-browser-check", "--no-proxy-server",
    "--force-color-profile=srgb", "--font-render-hinting=none", "--hide-scrollbars", "--mute-audio",
)  # fmt: skip
_HOST_RULES = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
"""Whatever a page asks of another host, no question about it leaves this machine."""


class Chromium:
    """The browser as a context manager, with a profile of its own."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="mxcheck-chromium-", ignore_cleanup_errors=True)
        try:
            folder, port = Path(self._folder.name), free_port()
            program = find_program("chromium")
            where = (f"--user-data-dir={folder / 'profile'}", f"--remote-debugging-port={port}", "about:blank")
            self._child = Child("chromium", [program, *_FLAGS, _HOST_RULES, *where], folder / "log")
            self._child.start(lambda: accepts_connections("127.0.0.1", port))
        except BaseException:
            self._folder.cleanup()
            raise
        self._url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()
        self._folder.cleanup()

    @asynccontextmanager
    async def driven(self) -> AsyncIterator[Browser]:
        """Drive it from the running event loop."""
        async with async_playwright() as playwright:
            browser = await playwright.chromium.connect_over_cdp(self._url)
            try:
                yield browser
            finally:
                await browser.close()
