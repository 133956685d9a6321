"""GET / and /console/: the page for the browser, and what it consists of.

Its files are the same for everybody and hold no data, so no token is asked for: the page asks for it, and sends it with
whatever it asks of the rest of the interface.
"""

import asyncio
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePath
from typing import Final

import orjson
from aiohttp import hdrs, web

from mxcheck_service import __version__
from mxcheck_service.core.words import WORDS
from mxcheck_service.web.conditional import Document
from mxcheck_service.web.errors import ApiError
from mxcheck_service.web.gate import State

_PAGE: Final = "index.html"
_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served; other files, such as licences, are there for who reads the sources."""
_HEADERS: Final[Mapping[str, str]] = {
    # Everything comes from the service itself. Scripts can neither be written into the page nor make markup of text.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A link out of a look-up would tell whose mail was looked at.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    hdrs.CACHE_CONTROL: "no-cache",
}


async def page(request: web.Request, state: State) -> web.Response:
    """Send the page."""
    return (await _found(_PAGE)).answer(request, _HEADERS)


async def asset(request: web.Request, state: State) -> web.Response:
    """Send a file that the page consists of."""
    return (await _found(request.match_info["name"])).answer(request, _HEADERS)


async def _found(name: str) -> Document:
    # Looked up among those that there are, never as a path. They are read when first asked for.
    document = (await asyncio.to_thread(assets)).get(name)
    if document is None:
        raise ApiError(404, "the console has no such file")
    return document


@cache
def assets() -> Mapping[str, Document]:
    """Return every file of the console by its name, and `words.json`, which is made here."""
    found = {"words.json": Document.of(_words(), "application/json")}
    for file in _files(files("mxcheck_service") / "console"):
        if content_type := _TYPES.get(PurePath(file.name).suffix):
            found[file.name] = Document.of(file.read_bytes(), content_type)
    return found


def _files(folder: Traversable) -> list[Traversable]:
    entries = list(folder.iterdir())
    inner = [file for entry in entries if entry.is_dir() for file in _files(entry)]
    return [*(entry for entry in entries if entry.is_file()), *inner]


def _words() -> bytes:
    """Return what verdicts mean, in the words of the command line."""
    verdicts = {verdict.value: words._asdict() for verdict, words in WORDS.items()}
    return orjson.dumps({"version": __version__, "verdicts": verdicts})
