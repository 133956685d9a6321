"""Settings and maps in use, and reading them again."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.console.conftest import OpenConsole
from tests.console.page import Console
from tests.console.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_settings_stand_by_section_and_those_that_were_changed_are_marked(console: Console) -> None:
    await console.go("/#settings")
    section = console.page.locator("section section").filter(has=console.page.get_by_role("heading", name="mx_check"))
    row = section.locator("dl > div").filter(has_text="test_mode")
    await expect(row).to_contain_text("true")
    await expect(row).to_contain_text("changed")
    await expect(section.locator("dl > div").filter(has_text="connect_timeout").first).not_to_contain_text("changed")
    await expect(console.page.locator("dl.settings").first).to_contain_text("recommended")


async def test_the_filter_leaves_what_has_the_word(console: Console) -> None:
    await console.go("/#settings")
    rows = console.page.locator("dl.settings > div")
    await console.page.get_by_label("Filter").fill("NAMESERV")
    await expect(rows).to_have_count(1)
    await expect(console.page.get_by_text("1 setting shown")).to_be_visible()
    await console.page.get_by_label("Filter").fill("")
    await console.page.get_by_label("only what differs from the preset").check()
    for row in await rows.all():
        await expect(row).to_contain_text("changed")


async def test_secrets_are_masked(open_console: OpenConsole, world: World) -> None:
    with world.service(cache={"url": "redis://:s3cret-word@127.0.0.1:1/0"}) as service:
        console = await open_console(service.url)
        await console.go("/#settings")
        await expect(console.page.get_by_text("redis://:**********@127.0.0.1:1/0")).to_be_visible()
        assert "s3cret-word" not in await console.page.content()


async def test_maps_are_shown_with_entries_age_and_error(
    open_console: OpenConsole, world: World, tmp_path: Path
) -> None:
    (tmp_path / "good.map").write_text("a.test\nb.test\n")
    maps = {"exclude_domains": str(tmp_path / "good.map"), "bad_mxs": "http://127.0.0.1:1/gone.map"}
    with world.service(mx_check={**maps}) as service:
        console = await open_console(service.url)
        await console.go("/#settings")
        table = console.page.get_by_role("table", name="By setting and place")
        row = table.get_by_role("row", name="exclude_domains")
        await expect(row).to_contain_text(f"{tmp_path}/good.map")
        await expect(row.get_by_role("cell").nth(1)).to_have_text("2")
        await expect(row.get_by_role("cell").nth(2)).to_have_text(re.compile(r"(under 1|\d+) s ago"))
        await expect(row.get_by_role("cell").nth(3)).to_have_text("none")
        broken = table.get_by_role("row", name="bad_mxs")
        await expect(broken.get_by_role("cell").nth(2)).to_have_text("never read")
        await expect(broken.get_by_role("cell").nth(3)).not_to_have_text("none")


async def test_a_reload_tells_what_it_changed(open_console: OpenConsole, world: World, tmp_path: Path) -> None:
    listed = tmp_path / "map"
    listed.write_text("a.test\n")
    with world.service(mx_check={"exclude_domains": str(listed)}, maps={"watch": 0}) as service:
        console = await open_console(service.url)
        await console.go("/#settings")
        await console.press("Reload")
        report = console.page.locator("#settings-content .notice")
        await expect(report).to_contain_text("Reloaded Nothing has changed.")
        listed.write_text("a.test\nb.test\n")
        await console.press("Reload")
        await expect(report).to_contain_text(f"exclude_domains: {listed}")
        row = console.page.get_by_role("table", name="By setting and place").get_by_role("row", name="exclude_domains")
        await expect(row.get_by_role("cell").nth(1)).to_have_text("2")


async def test_a_reload_that_meets_something_broken_tells_what(
    open_console: OpenConsole, world: World, tmp_path: Path
) -> None:
    listed = tmp_path / "map"
    listed.write_text("a.test\n")
    with world.service(mx_check={"exclude_domains": str(listed)}, maps={"watch": 0}) as service:
        console = await open_console(service.url)
        await console.go("/#settings")
        listed.unlink()
        await console.press("Reload")
        report = console.page.locator("#settings-content .notice.failed")
        await expect(report).to_contain_text("Broken, and not taken")
        await expect(report.get_by_role("listitem").first).to_contain_text(str(listed))
        row = console.page.get_by_role("table", name="By setting and place").get_by_role("row", name="exclude_domains")
        await expect(row.get_by_role("cell").nth(3)).not_to_have_text("none")


async def test_a_reload_that_is_refused_is_told(console: Console) -> None:
    await console.go("/#settings")
    await console.answer("/-/reload", 503, {"title": "Service Unavailable", "detail": "the service is draining"})
    await console.press("Reload")
    await expect(console.failure).to_contain_text("503 Service Unavailable: the service is draining")
