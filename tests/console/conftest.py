"""One browser, one service and one world of mail domains for all tests of the console; a test has pages of its own."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.console.chromium import Chromium
from tests.console.page import Console
from tests.console.world import World
from tests.lab.service import Service

OpenConsole = Callable[..., Awaitable[Console]]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: Chromium) -> AsyncIterator[Browser]:
    async with chromium.driven() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world() -> AsyncIterator[World]:
    async with World() as world:
        yield world


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service(world: World) -> AsyncIterator[Service]:
    """The service that most tests look at; its cache is in its process."""
    with world.service() as service:
        yield service


@pytest_asyncio.fixture(loop_scope="session")
async def open_console(browser: Browser, service: Service) -> AsyncIterator[OpenConsole]:
    """Open pages, of this service unless the `url` of another is given; they are closed after the test."""
    async with AsyncExitStack() as pages:

        async def open_console(url: str = service.url, **options: Any) -> Console:
            return await pages.enter_async_context(Console.opened(browser, url, **options))

        yield open_console


@pytest_asyncio.fixture(loop_scope="session")
async def console(open_console: OpenConsole) -> Console:
    return await open_console()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures are left; MXCHECK_SCREENSHOTS names a folder that is kept."""
    kept = os.environ.get("MXCHECK_SCREENSHOTS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
