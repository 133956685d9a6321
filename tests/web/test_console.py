"""GET / and /console/: the page and its files, and when there are any."""

from typing import Any

import pytest

from mxcheck_service.core.model import Verdict
from mxcheck_service.settings import ServerSettings
from mxcheck_service.web.console import assets
from tests.web.conftest import Client, StartService

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"


async def test_the_page_is_html_that_may_load_nothing_from_elsewhere(client: Client) -> None:
    async with client.get("/?sender=a@good.test") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Content-Security-Policy"].startswith(POLICY)
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert (await response.text()).startswith("<!doctype html>")


async def test_every_file_is_served_by_its_name_and_once(client: Client) -> None:
    for name, document in assets().items():
        async with client.get(f"/console/{name}") as response:
            assert (response.status, await response.read()) == (200, document.body)
            assert response.headers["Content-Security-Policy"].startswith(POLICY)
            tag = response.headers["ETag"]
        async with client.get(f"/console/{name}", headers={"If-None-Match": tag}) as response:
            assert (response.status, await response.read()) == (304, b"")


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2Fapp.py", "%2e%2e%2fapp.py", "uPlot.LICENSE", "vendor%2FuPlot.LICENSE", "%00"]
)
async def test_nothing_else_is_served(client: Client, name: str) -> None:
    async with client.get(f"/console/{name}") as response:
        assert response.status == 404


async def test_the_words_are_those_of_every_verdict(client: Client) -> None:
    async with client.get("/console/words.json") as response:
        words = (await response.json())["verdicts"]
    assert list(words) == list(Verdict)
    assert words["rf"] == {"kind": "bad", "sentence": "{host} refuses connections"}


@pytest.mark.parametrize("path", ["/", "/console/words.json", "/v1/stats"])
async def test_without_a_console_there_is_nothing_of_it(start: StartService, path: str) -> None:
    client = await start(server={"console": False})
    async with client.get(path) as response:
        assert response.status == 404
        assert (await response.json())["detail"] == f"GET {path}: there is no such path"
    async with client.get("/v1/check?sender=a@null.test") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),
        ({"host": "::1"}, True),
        ({"host": "localhost"}, True),
        ({"host": "127.1.2.3"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "::"}, False),
        ({"host": "192.0.2.1"}, False),
        ({"host": "mx.example"}, False),
        ({"host": "0.0.0.0", "port": None, "unix_socket": "/run/mxcheck.sock"}, True),
        ({"host": "0.0.0.0", "console": True}, True),
        ({"console": False}, False),
    ],
)
def test_by_default_there_is_one_where_only_this_host_can_ask(settings: dict[str, Any], expected: bool) -> None:
    assert ServerSettings(**settings).has_console is expected
