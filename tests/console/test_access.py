"""For everybody: axe-core finds nothing, the keyboard is enough, a phone is wide enough."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import expect

from tests.console.conftest import OpenConsole
from tests.console.page import PHONE, WIDE, Console, Theme
from tests.console.world import World
from tests.lab.process import missing
from tests.lab.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE: Final = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
BEST: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
THEMES: Final[tuple[Theme, ...]] = ("light", "dark")


async def violations(console: Console) -> list[str]:
    """What axe-core finds. It runs beside the page's scripts, in a world of its own: the policy stays in force."""
    if not AXE.exists():
        missing("axe-core (npm ci)")
    session = await console.page.context.new_cdp_session(console.page)
    frame = (await session.send("Page.getFrameTree"))["frameTree"]["frame"]["id"]
    world = await session.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "axe"})
    asked = f"axe.run(document, {{runOnly: {json.dumps(BEST)}}}).then(found => JSON.stringify(found.violations))"
    reply: dict[str, Any] = {}
    for script in (AXE.read_text(), asked):
        reply = await session.send(
            "Runtime.evaluate",
            {"expression": script, "contextId": world["executionContextId"]}
            | {"awaitPromise": True, "returnByValue": True},
        )
        assert "exceptionDetails" not in reply, reply
    await session.detach()
    found = json.loads(reply["result"]["value"])
    return [f"{rule['id']}: {node['html']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


async def show(console: Console, view: str) -> None:
    """Show one of the views, with everything in it unfolded."""
    await console.go(VIEWS[view])
    match view:
        case "result":
            await expect(console.page.get_by_role("article")).to_have_count(4)
        case "failure":
            await expect(console.failure).to_be_visible()
        case "now":
            await expect(console.page.locator(".picture canvas").last).to_be_visible()
        case "settings":
            await expect(console.page.get_by_role("heading", name="improvements")).to_be_visible()
            await console.press("Reload")
            await expect(console.page.locator("#settings-content .notice")).to_be_visible()
        case "token":
            await expect(console.dialog).to_be_visible()
            await console.give_token("wrong")
            await expect(console.dialog.get_by_role("alert")).not_to_be_empty()
    await console.page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


VIEWS: Final = {
    "empty": "/",
    "result": "/?sender=a@upset.test&mime_from=a@good.test,b@bad.test&reply_to=c@mixed.test",
    "failure": "/?sender=a@good.test&client_ip=x",
    "now": "/#now",
    "settings": "/#settings",
    "token": "/?sender=a@good.test",
}


@pytest.mark.parametrize("view", VIEWS)
async def test_axe_finds_nothing(open_console: OpenConsole, world: World, service: Service, view: str) -> None:
    for name in ("good.test", "bad.test", "upset.test", "nothing.test"):
        await service.check({"sender": f"a@{name}"})
    with world.service(server={"auth_token": "t"}) if view == "token" else nullcontext(service) as shown:
        for theme, width in zip(THEMES, (WIDE, PHONE), strict=True):
            console = await open_console(shown.url, theme=theme, width=width)
            await show(console, view)
            assert await violations(console) == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [WIDE, PHONE])
async def test_nothing_reaches_over_the_side(
    open_console: OpenConsole, service: Service, theme: Theme, width: int, screenshots: Path
) -> None:
    """And there are pictures of every view to look at, of each theme and width."""
    await service.check({"sender": "a@bad.test"})
    console = await open_console(theme=theme, width=width)
    for view in ("empty", "result", "now", "settings"):
        await show(console, view)
        assert await console.page.evaluate("document.documentElement.scrollWidth") == width
        await console.page.screenshot(path=screenshots / f"{view}-{theme}-{width}.png", full_page=True)


async def test_a_view_needs_360_pixels(open_console: OpenConsole) -> None:
    console = await open_console(width=360)
    for view in ("result", "now", "settings"):
        await show(console, view)
        assert await console.page.evaluate("document.documentElement.scrollWidth") == 360


async def test_the_keyboard_is_enough(console: Console) -> None:
    """From the first key to a result, to another view and back."""
    await console.go()
    keys = console.page.keyboard
    await keys.press("Tab")
    await expect(console.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await expect(console.page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    await keys.press("Enter")
    await expect(console.page.get_by_role("main")).to_be_focused()
    await keys.press("Tab")
    await expect(console.page.get_by_label("Address or domain")).to_be_focused()
    await keys.type("bad.test")
    await keys.press("Enter")
    await expect(console.headline).to_be_focused()
    await keys.press("Tab")
    await expect(console.page.get_by_role("button", name="Check again", exact=True)).to_be_focused()
    await keys.press("Tab")
    await expect(console.page.get_by_role("button", name="Check again, fresh")).to_be_focused()
    await keys.press("Space")
    await expect(console.page.locator(".notice.done")).to_be_visible()
    await expect(console.headline).to_be_focused()
    await tab_to(console, "The same with curl")
    await keys.press("Enter")
    await expect(console.page.locator("#curl")).to_be_visible()
    await tab_to(console, "Purge")
    await keys.press("Enter")
    await expect(console.page.get_by_text("purged", exact=True)).to_be_visible()

    await console.go()
    await tab_to(console, "Now")
    await keys.press("Enter")
    await expect(console.page.get_by_role("heading", name="Now", exact=True)).to_be_focused()
    await expect(console.page.get_by_role("link", name="Now")).to_have_attribute("aria-current", "page")
    await console.page.go_back()
    await expect(console.page.get_by_role("heading", name="Look up a sender")).to_be_focused()


async def test_where_the_focus_is_can_be_seen(console: Console) -> None:
    await console.go("/?sender=a@bad.test")
    await console.has_result()
    for _ in range(14):
        await console.page.keyboard.press("Tab")
        outline = await console.page.evaluate("getComputedStyle(document.activeElement).outline")
        assert "solid 2px" in outline, await console.page.evaluate("document.activeElement.outerHTML")


async def test_who_listens_is_told_what_came(console: Console) -> None:
    await console.go("/?sender=a@bad.test")
    announcement = console.page.locator("#announcement")
    await expect(announcement).to_have_text("bad.test: mx.bad.test refuses connections")
    assert await announcement.get_attribute("role") == "status"
    await console.answer("/v1/check?explain=1", 503, {"title": "Service Unavailable"})
    await console.press("Look up")
    await expect(announcement).to_contain_text("503 Service Unavailable Try again in a few s.")


async def test_a_dialog_keeps_the_focus_and_gives_it_back(open_console: OpenConsole, world: World) -> None:
    with world.service(server={"admin_token": "t"}) as service:
        console = await open_console(service.url)
        await console.go("/?sender=a@good.test")
        await console.has_result()
        purge = console.page.get_by_role("button", name="Purge good.test from layer d of the cache")
        await purge.focus()
        await console.page.keyboard.press("Enter")
        await expect(console.dialog.get_by_label("Token")).to_be_focused()
        await console.page.keyboard.press("Escape")
        await expect(console.dialog).to_be_hidden()
        await expect(purge).to_be_focused()


async def test_verdicts_are_told_by_more_than_a_colour(console: Console) -> None:
    await console.go(VIEWS["result"])
    await expect(console.page.get_by_role("article")).to_have_count(4)
    shapes = {
        await badge.get_attribute("data-kind"): await badge.inner_text()
        for badge in await console.page.locator(".badge .shape").all()
    }
    assert shapes == {"good": "\u2713", "bad": "\u2715"}


async def tab_to(console: Console, name: str) -> None:
    """Press Tab until what is called so has the focus."""
    for _ in range(40):
        await console.page.keyboard.press("Tab")
        if await console.page.evaluate("document.activeElement.textContent") == name:
            return
    raise AssertionError(f"Tab does not lead to {name}")
