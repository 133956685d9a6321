"""Bearer tokens: which are taken, how they are compared, what is open without one, and that none is ever written."""

import hmac
import logging
from typing import Any

import pytest

from mxcheck_service.web import callers
from mxcheck_service.web.routes import ENDPOINTS
from tests.web.conftest import StartService

CHECK = "/v1/check?sender=a@null.test"
OLD, NEW = "the-old-token", "the-new-one/+=~."
OPEN = {"/", "/console/{name}", "/healthz", "/readyz", "/metrics", "/openapi.json", "/ping"}


async def status(client: Any, authorization: str | None, path: str = CHECK, method: str = "GET") -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with client.request(method, path, headers=headers) as response:
        if response.status == 401:
            assert response.headers["WWW-Authenticate"] == "Bearer"
        return int(response.status)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"Bearer {OLD}", 200),
        (f"Bearer {NEW}", 200),
        (f"bearer {OLD}", 200),  # RFC 9110 section 11.1: a scheme has no case
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        (OLD, 401),
        (f"Basic {OLD}", 401),
        (f"Bearer{OLD}", 401),
        (f"Bearer {OLD.upper()}", 401),
        (f"Bearer {OLD[:-1]}", 401),
        (f"Bearer {OLD}x", 401),
        (f"Bearer {OLD} {NEW}", 401),
        (f"Bearer {OLD}\t{NEW}", 401),
        ("Bearer t\xf6ken", 401),
        (f"Bearer {'x' * 4000}", 401),
    ],
)
async def test_any_of_several_tokens_will_do_and_nothing_else(
    start: StartService, given: str | None, expected: int
) -> None:
    client = await start(server={"auth_token": f"{OLD}\n{NEW}"})
    assert await status(client, given) == expected


@pytest.mark.parametrize("given", [OLD, NEW, "x", "x" * 4000])
async def test_the_time_tells_neither_which_token_nor_how_much_of_it_was_right(
    start: StartService, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    client = await start(server={"auth_token": f"{OLD}\n{NEW}"})
    monkeypatch.setattr(callers, "hmac", type("Hmac", (), {"compare_digest": staticmethod(compare)}))
    await status(client, f"Bearer {given}")
    assert compared == [(32, 32)] * 2


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_what_is_open_and_what_is_not(start: StartService, path: str) -> None:
    client = await start(server={"auth_token": OLD, "admin_token": NEW})
    allowed = await status(client, None, path.format(key="a.test", name="words.json"), method="PUT")
    assert allowed == 405  # told to anybody
    for method in ("GET", "POST", "DELETE"):
        found = await status(client, None, path.format(key="a.test", name="words.json"), method)
        assert found in ((200, 405) if path in OPEN else (401, 405)), method
    if path not in OPEN:
        admin = path.startswith(("/-/", "/v1/cache/"))
        method = "GET" if path.startswith("/v1/") else "POST"
        assert await status(client, f"Bearer {OLD}", path.format(key="a.test", name="words.json"), method) != (
            200 if admin else 401
        )
        assert (
            await status(client, f"Bearer {NEW}", path.format(key="a.test", name="words.json"), method) == 401
        ) is not admin


async def test_a_wrong_token_is_not_written(start: StartService, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = await start(server={"auth_token": OLD})
    assert await status(client, "Bearer guessed-in-vain") == 401
    assert await status(client, f"Bearer {OLD}") == 200
    assert "guessed-in-vain" not in caplog.text
    assert OLD not in caplog.text
