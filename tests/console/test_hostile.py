"""What strangers write is shown as the text it is: no element comes of it, and nothing in it is hidden."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.console.conftest import OpenConsole
from tests.console.page import Console
from tests.console.world import HOSTILE, SHOWN, World
from tests.lab.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="session")

_HIDDEN = "\u202e\u202d\u2066\u2069\u200e\u200f\u200b\x1b\x9b"


async def assert_only_text(console: Console) -> None:
    """There are the page's own elements only, and nothing that turns or hides text."""
    assert await console.elements("script") == 2  # those of index.html
    assert await console.elements("img, iframe, object, embed, b, svg, style, [onerror], [style*='url']") == 0
    text = await console.page.locator("html").evaluate("page => page.textContent + page.outerHTML + document.title")
    assert not set(text) & set(_HIDDEN)


async def test_a_greeting(console: Console) -> None:
    await console.go("/?sender=a@upset.test")
    await console.has_result()
    await console.press("Check again, fresh")
    said = console.domain("upset.test").locator(".said")
    # The service tells the octets of a greeting, each as a character of its own.
    await expect(said).to_contain_text("<script>alert(1)</script><img src=x onerror=alert(2)>")
    await expect(said).to_contain_text("\\u001b[31m")
    await assert_only_text(console)


async def test_names_in_dns(console: Console, service: Service) -> None:
    await console.go("/?sender=a@hostile.test")
    await console.has_result()
    await console.press("Check again, fresh")
    await expect(console.page.locator(".notice.done")).to_be_visible()
    article = console.domain("hostile.test")
    for place in (".steps", ".tree"):
        # DNS has a form of its own for what is odd in a name.
        await expect(article.locator(place)).to_contain_text(r"<script>alert\(3\)</script>.\226\128\174.test")
    await assert_only_text(console)


async def test_what_is_asked_about(console: Console) -> None:
    await console.go()
    await console.look_up(f"{HOSTILE}@{HOSTILE}.test")
    await console.page.get_by_text("The same with curl").click()
    await expect(console.page.locator("#curl")).to_contain_text("\\u202e")
    await console.page.get_by_text("More of the message").click()
    for label in ("Reply-To", "HELO", "Client address"):
        await console.page.get_by_label(label).fill(HOSTILE)
    await console.press("Look up")
    await expect(console.failure).to_contain_text("client_ip: must be")
    await assert_only_text(console)


async def test_a_link(console: Console) -> None:
    await console.go(
        "/?sender=%3Cscript%3Ealert(1)%3C/script%3E%E2%80%AE@good.test&x=%3Cimg%20src=x%20onerror=alert(1)%3E"
    )
    await expect(console.headline).to_have_text("Nothing to look up")
    await expect(console.page).to_have_title("<script>alert(1)</script>\\u202e@good.test - mxcheck")
    await assert_only_text(console)


async def test_pasted_headers(console: Console) -> None:
    await console.go()
    await console.page.get_by_text("Paste message headers").click()
    head = f"From: {HOSTILE} <a@good.test>\nReceived: from {HOSTILE} (x [203.0.113.9]) by y\nReply-To: {HOSTILE}@b\n"
    await console.page.get_by_label("Headers, as the mail program shows them").fill(head)
    await console.press("Read headers and look up")
    await console.has_result()
    await assert_only_text(console)


async def test_values_of_the_cache_that_nobody_of_ours_wrote(console: Console) -> None:
    trace = [
        {"at_ms": 1, "step": "cache", "layer": "d", "key": "x.test", "value": f"mx:{HOSTILE}:10,:5,{HOSTILE}"},
        {"at_ms": 2, "step": "cache", "layer": "m", "key": HOSTILE, "value": f"v4:{HOSTILE},127.0.0.1"},
        {"at_ms": 2, "step": "ip_class", "public": [HOSTILE, "127.0.0.1"], "local": [], "bogon": []},
        {"at_ms": 3, "step": "cache", "layer": "i", "key": "127.0.0.1", "value": HOSTILE},
        {"at_ms": 4, "step": HOSTILE, HOSTILE: HOSTILE},
        {"at_ms": 4, "step": "map", "setting": "bad_mxs", "key": HOSTILE, "value": HOSTILE, "entry": f"/{HOSTILE}:1"},
        {"at_ms": 5, "step": "verdict", "verdict": "bad_mx", "host": HOSTILE, "cached": True},
    ]
    symbol = {
        "name": HOSTILE, "metric_score": 1, "weight": 2, "score": 2, "options": [HOSTILE], "description": HOSTILE,
    }  # fmt: skip
    domain = {
        "domain": "x.test", "source": HOSTILE, "verdict": "bad_mx", "host": HOSTILE, "cached": True, "time_ms": 5,
        "trace": trace,
    }  # fmt: skip
    reply = {
        "is_skipped": False, "skip_reason": None, "action": HOSTILE, "messages": {"smtp_message": HOSTILE}, "score": 2,
        "symbols": {HOSTILE: symbol}, "domains": [domain], "partial": False, "time_real": 1,
    }  # fmt: skip
    await console.answer("/v1/check?explain=1", 200, reply)
    await console.go("/?sender=a@x.test")
    await expect(console.headline).to_have_text(f"x.test has an MX host listed as bad: {SHOWN}")
    for place in (".tree", ".steps", "table", ".summary"):
        await expect(console.page.locator(place).first).to_contain_text(SHOWN)
    await assert_only_text(console)


async def test_maps_by_name_place_entry_and_error(open_console: OpenConsole, world: World, tmp_path: Path) -> None:
    """A map's file, the comments and values in it, what is wrong with them, and its last error."""
    folder = tmp_path / "<img src=x onerror=alert(4)>\u202e"
    folder.mkdir()
    listed = folder / "map"
    listed.write_text("mx.bad.test 1 # <script>alert(5)</script>\n# <script>alert(6)</script>\n")
    networks = folder / "networks"
    networks.write_text("<script>alert(7)</script>\n11.0.0.1 <b>\n")
    gone = "http://127.0.0.1:1/<script>alert(8)</script>\u202e"
    maps = {"bad_mxs": str(listed), "bad_ips": str(networks), "exclude_domains": gone}
    with world.service(mx_check={**maps}, maps={"watch": 0}) as service:
        console = await open_console(service.url)
        await console.go("/#settings")
        table = console.page.get_by_role("table", name="By setting and place")
        await expect(table).to_contain_text("<img src=x onerror=alert(4)>\\u202e/map")
        await expect(table).to_contain_text("alert(8)")
        await console.press("Reload")
        report = console.page.locator("#settings-content .notice.failed")
        await expect(report).to_contain_text("<script>alert(7)</script>")
        await assert_only_text(console)

        await console.page.get_by_role("link", name="Look up").click()
        await console.look_up("bad.test")
        await expect(console.headline).to_have_text("bad.test has an MX host listed as bad: mx.bad.test")
        await expect(console.domain("bad.test")).to_contain_text("<img src=x onerror=alert(4)>\\u202e/map")
        await assert_only_text(console)


async def test_errors(console: Console) -> None:
    problem = {"title": HOSTILE, "status": 500, "detail": HOSTILE, "errors": [{"field": HOSTILE, "message": HOSTILE}]}
    for path in ("/v1/check?explain=1", "/v1/stats", "/v1/stats?settings=1", "/-/reload"):
        await console.answer(path, 500, problem)
    for path in ("/?sender=a@good.test", "/#now", "/#settings"):
        await console.go(path)
        await console.page.reload()
        await expect(console.failure).to_contain_text(SHOWN)
        await assert_only_text(console)


async def test_numbers(console: Console, service: Service) -> None:
    stats = (await service.get("/v1/stats")).body
    stats["recent"] = [
        {"time": 1, "domain": HOSTILE, "source": HOSTILE, "verdict": HOSTILE, "host": HOSTILE, "count": 1}
    ]
    stats["components"] = {HOSTILE: {"status": HOSTILE, "detail": HOSTILE}}
    stats["hour"]["dns"] = stats["hour"]["probes"] = {HOSTILE: {HOSTILE: 3}}
    stats["history"]["verdicts"] = {HOSTILE: [1 for _ in stats["history"]["times"]]}
    await console.answer("/v1/stats", 200, stats)
    await console.go("/#now")
    await expect(console.page.get_by_role("list", name="State of what the service uses")).to_contain_text(SHOWN)
    await expect(console.page.get_by_role("region", name="Last verdicts")).to_contain_text(SHOWN)
    await assert_only_text(console)
    await console.page.get_by_role("link", name="<script>").click()
    await console.has_result()
    assert await console.sent() == [{"sender": f"postmaster@{HOSTILE}"}]
    await assert_only_text(console)
