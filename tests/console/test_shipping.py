"""What the service ships, and what the browser makes of it: no more than said, from nowhere else, under the policy."""

import re
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, Response, expect

import mxcheck_service
from bench import console as bench
from docs import screenshots
from tests.console.page import Console
from tests.console.world import World
from tests.lab.service import Service

in_session = pytest.mark.asyncio(loop_scope="session")

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = Path(mxcheck_service.__file__).parent / "console"
MOST_BYTES: Final = 150_000
MOST_LINES: Final = 350


@in_session
async def test_all_of_it_is_small(console: Console) -> None:
    """What the browser was sent, uncompressed, for all views together; and it is every script there is."""
    answers: list[Response] = []
    console.page.on("response", lambda response: _keep(answers, response))
    await console.go("/")
    await console.look_up("good.test")
    await console.page.get_by_role("link", name="Now").click()
    await expect(console.page.locator(".picture canvas").first).to_be_visible()
    await console.page.get_by_role("link", name="Settings").click()
    await expect(console.page.get_by_role("heading", name="improvements")).to_be_visible()
    files = [each for each in answers if each.url == f"{console.url}/" or "/console/" in each.url]
    received = {each.url.removeprefix(console.url): len(await each.body()) for each in files}
    shipped = {f"/console/{path.name}": path.stat().st_size for path in FOLDER.rglob("*") if path.suffix == ".js"}
    assert {name: size for name, size in received.items() if name.endswith(".js")} == shipped
    assert sum(received.values()) < MOST_BYTES


def test_the_files_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < MOST_BYTES
    for path in FOLDER.glob("*.*"):
        assert len(path.read_text().splitlines()) <= MOST_LINES, path.name


def test_nothing_in_the_sources_makes_markup_of_text_or_stands_in_line() -> None:
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|DOMParser|javascript:"
    for path in FOLDER.glob("*.js"):
        assert not re.search(sinks, path.read_text()), path.name
    page = (FOLDER / "index.html").read_text()
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=|https?://", page)


@in_session
async def test_the_policy_is_in_force(service: Service, console: Console) -> None:
    """What a script would have to do, if one got in: it is refused, and the page hears of it."""
    await console.go()
    refused = await console.page.evaluate(
        """async () => {
          const told = [];
          document.addEventListener("securitypolicyviolation", (event) => told.push(event.effectiveDirective));
          const attempt = (what) => { try { what(); } catch (error) { told.push(error.name); } };
          const script = document.createElement("script");
          attempt(() => { script.src = "http://127.0.0.2:1/"; });
          attempt(() => { script.append("window.broken = 1"); });
          attempt(() => { document.body.append(script); });
          attempt(() => { document.body.innerHTML = "<p>"; });
          attempt(() => { document.body.setAttribute("onclick", "window.broken = 1"); document.body.click(); });
          await fetch("http://127.0.0.2:1/").catch(() => {});
          await new Promise((done) => setTimeout(done, 0));
          return [window.broken, ...told.sort()];
        }"""
    )
    assert refused[0] is None
    assert {"TypeError", "connect-src", "require-trusted-types-for"} <= set(refused[1:])
    console.complaints.clear()
    console.asked[:] = [request for request in console.asked if request.url.startswith(console.url)]


@in_session
async def test_without_scripts_the_page_says_so(service: Service, console: Console) -> None:
    reply = await console.page.request.get(f"{service.url}/")
    assert "Without them ask with curl" in await reply.text()


@in_session
async def test_the_pictures_of_the_readme_can_be_taken(
    browser: Browser, world: World, service: Service, tmp_path: Path
) -> None:
    """`python -m docs.screenshots` takes them; it refuses to write one that is too large."""
    await screenshots.lookup(browser, world, service, tmp_path)
    await screenshots.now(browser, service, tmp_path)
    assert_shown(tmp_path)


@in_session
async def test_the_benchmark_finds_every_view_usable(browser: Browser, service: Service) -> None:
    """And weighs what came: `python -m bench.console`."""
    await service.check({"sender": "a@good.test"})
    found = {
        name: [await bench.measure(browser, service.url, path, selector)]
        for name, (path, selector) in bench.VIEWS.items()
    }
    for (each,) in found.values():
        assert each[bench.FIRST] > 0
        assert each[bench.AGAIN] > 0
        assert 0 < each["unpacked"] < MOST_BYTES
    assert len(bench.table(found).splitlines()) == 2 + len(bench.VIEWS)


def assert_shown(taken: Path) -> None:
    """README.md shows pictures of these names, which are not too large."""
    readme = (ROOT / "README.md").read_text()
    names = sorted(path.name for path in taken.iterdir())
    assert names == ["console-lookup.png", "console-now.png"]
    for name in names:
        assert f"](docs/img/{name})" in readme
        assert (ROOT / "docs" / "img" / name).stat().st_size < screenshots.MOST_BYTES


def _keep(answers: list[Response], response: Response) -> None:
    answers.append(response)
