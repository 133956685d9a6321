"""How things stand: numbers, plots, and what leads from there to a look-up."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import expect

from docs.screenshots import an_hour
from tests.console.conftest import OpenConsole
from tests.console.page import PHONE, WIDE, Console
from tests.console.world import World
from tests.lab.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVERY_MS = 5000
DRAWN_IN = """(() => {
  const canvas = document.querySelector(".picture canvas");
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  const color = parseInt("%s".slice(1), 16);
  for (let at = 0; at < data.length; at += 4) {
    if ((data[at] << 16 | data[at + 1] << 8 | data[at + 2]) === color && data[at + 3] === 255) return true;
  }
  return false;
})()"""
"""Whether there is a point of this colour in the first plot."""


async def ask_for(service: Service, *names: str) -> None:
    for name in names:
        assert (await service.check({"sender": f"a@{name}"})).status == 200


def polls(console: Console) -> int:
    return sum(request.url.endswith("/v1/stats") for request in console.asked)


async def test_the_numbers_are_those_of_the_service(open_console: OpenConsole, world: World) -> None:
    with world.service() as service:
        await ask_for(service, "good.test", "good.test", "bad.test", "upset.test", "nothing.test")
        console = await open_console(service.url)
        await console.go("/#now")
        tile = console.page.locator(".tiles > div").filter(has_text="Checks, last hour")
        await expect(tile.locator(".figure")).to_have_text("5")
        components = console.page.get_by_role("list", name="State of what the service uses")
        await expect(components.get_by_role("listitem")).to_have_text(
            ["Cache ✓ok", "Resolver ✓ok", "Way out to mail hosts ✓ok"]
        )
        counted = console.page.locator(".counted")
        verdicts = counted.filter(has_text="Verdicts")
        await expect(verdicts.get_by_role("row", name="gd answers")).to_contain_text("2")
        await expect(verdicts.get_by_role("row", name="rf refuses connections")).to_contain_text("1")
        await expect(counted.filter(has_text="Cache").get_by_role("row", name="domains")).to_contain_text("20 %")
        await expect(counted.filter(has_text="DNS").get_by_role("row", name="MX nxdomain")).to_contain_text("1")
        await expect(counted.filter(has_text="Probes").get_by_role("row", name="v4 rf")).to_contain_text("1")


async def test_a_verdict_that_was_not_good_leads_to_its_look_up(open_console: OpenConsole, world: World) -> None:
    with world.service() as service:
        await ask_for(service, "good.test", "bad.test", "bad.test")
        console = await open_console(service.url)
        await console.go("/#now")
        recent = console.page.get_by_role("region", name="Last verdicts that were not good")
        await expect(recent.get_by_role("row")).to_have_count(2)
        await expect(recent.get_by_role("row").last).to_contain_text("mx.bad.test")
        await expect(recent.get_by_role("row").last.get_by_role("cell").last).to_have_text("2")
        await recent.get_by_role("link", name="bad.test").click()
        await console.has_result()
        assert console.page.url == f"{service.url}/?sender=postmaster%40bad.test"
        await expect(console.headline).to_have_text("bad.test: mx.bad.test refuses connections")
        await console.page.go_back()
        await expect(console.page.get_by_role("heading", name="Now", exact=True)).to_be_visible()


async def test_plots_have_a_picture_a_sentence_and_a_table(console: Console, service: Service) -> None:
    await ask_for(service, "good.test", "bad.test")
    await console.go("/#now")
    plots = console.page.get_by_role("img")
    await expect(plots).to_have_count(2)
    await expect(plots.first).to_have_accessible_name(re.compile(r"Verdicts from [\d:]+ to [\d:]+: \d+ good, .* bad\."))
    await expect(plots.last).to_have_accessible_name(re.compile(r"Latency from .*: the median was at most .*"))
    for plot in await plots.all():
        await expect(plot.locator("canvas")).to_be_visible()
    await console.page.get_by_text("The numbers").first.click()
    table = console.page.get_by_role("table", name="Verdicts, each row 15 s")
    await expect(table.get_by_role("columnheader")).to_have_text(["until", "good", "neutral", "unknown", "bad"])
    await expect(table.get_by_role("row").nth(1)).to_be_visible()


async def test_a_plot_fits_its_room_and_takes_the_colours_of_the_theme(console: Console, service: Service) -> None:
    # A service that has just begun has no step yet that is wide enough to be seen.
    await console.answer("/v1/stats", 200, an_hour((await service.get("/v1/stats")).body))
    await console.go("/#now")
    await expect(console.page.locator(".picture canvas").first).to_be_visible()
    await _until(console, DRAWN_IN % "#1b7a3d")
    await console.page.emulate_media(color_scheme="dark")
    await _until(console, DRAWN_IN % "#66c985")
    for width in (PHONE, WIDE):
        await console.page.set_viewport_size({"width": width, "height": 800})
        await _until(
            console,
            "Math.abs(document.querySelector('.picture').clientWidth - "
            "document.querySelector('.picture .u-wrap').offsetWidth) < 2",
        )
        assert await console.page.evaluate("document.documentElement.scrollWidth") == width


async def test_numbers_are_asked_for_only_while_they_are_looked_at(console: Console) -> None:
    await console.page.clock.install()
    await console.go("/#now")
    await expect(console.page.get_by_role("heading", name="Counted, last hour")).to_be_visible()
    assert polls(console) == 1
    async with console.page.expect_response("**/v1/stats"):
        await console.page.clock.run_for(EVERY_MS)
    assert polls(console) == 2

    await console.page.get_by_role("link", name="Look up").click()
    await console.page.clock.run_for(10 * EVERY_MS)
    assert polls(console) == 2
    async with console.page.expect_response("**/v1/stats"):
        await console.page.get_by_role("link", name="Now").click()
    assert polls(console) == 3

    await _hide(console, hidden=True)
    await console.page.clock.run_for(10 * EVERY_MS)
    assert polls(console) == 3
    async with console.page.expect_response("**/v1/stats"):
        await _hide(console, hidden=False)
    assert polls(console) == 4


async def test_what_has_the_focus_keeps_it_and_what_is_the_same_stays(open_console: OpenConsole, world: World) -> None:
    with world.service() as service:
        await ask_for(service, "bad.test")
        console = await open_console(service.url)
        await console.page.clock.install()
        await console.go("/#now")
        link = console.page.get_by_role("link", name="bad.test")
        await link.focus()
        same = await link.element_handle()
        async with console.page.expect_response("**/v1/stats"):
            await console.page.clock.run_for(EVERY_MS)
        assert await link.evaluate("(link, same) => link === same", same)
        await ask_for(service, "nothing.test")
        await console.page.clock.run_for(EVERY_MS)
        await expect(console.page.get_by_role("link", name="nothing.test")).to_be_visible()
        await expect(link).to_be_focused()


async def test_verdicts_that_are_not_kept_are_told_so(open_console: OpenConsole, world: World) -> None:
    with world.service(server={"recent_verdicts": 0}) as service:
        console = await open_console(service.url)
        await console.go("/#now")
        await expect(console.page.get_by_text("They are not kept: the settings turn it off.")).to_be_visible()


async def test_old_numbers_stay_when_the_service_goes_and_are_told_to_be_old(
    open_console: OpenConsole, world: World
) -> None:
    with world.service() as service:
        console = await open_console(service.url)
        await console.page.clock.install()
        await console.go("/#now")
        await expect(console.page.get_by_role("heading", name="Counted, last hour")).to_be_visible()
        await service.stop()
        await console.page.clock.run_for(EVERY_MS)
        await expect(console.failure).to_contain_text("The service does not answer.")
        await expect(console.page.get_by_text("What is shown is as of")).to_be_visible()
        await expect(console.page.get_by_role("heading", name="Counted, last hour")).to_be_visible()
        service.start()
        await console.page.clock.run_for(EVERY_MS)
        await expect(console.failure).to_be_hidden()


async def test_what_is_down_is_told_with_its_fault(console: Console, service: Service) -> None:
    stats = (await service.get("/v1/stats")).body
    down: dict[str, Any] = {"cache": {"status": "down", "detail": "<b>connection refused</b>"}}
    await console.answer("/v1/stats", 200, stats | {"components": down})
    await console.go("/#now")
    components = console.page.get_by_role("list", name="State of what the service uses")
    await expect(components).to_have_text("Cache ✕down <b>connection refused</b>")


async def _until(console: Console, condition: str) -> None:
    async with asyncio.timeout(5):
        while not await console.page.evaluate(condition):
            await console.page.evaluate("new Promise(requestAnimationFrame)")


async def _hide(console: Console, *, hidden: bool) -> None:
    state = "hidden" if hidden else "visible"
    await console.page.evaluate(
        "state => { Object.defineProperty(document, 'visibilityState', { value: state, configurable: true }); "
        "document.dispatchEvent(new Event('visibilitychange')); }",
        state,
    )
