"""Looking a sender up: what is shown, and how to get there."""

import asyncio
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.console.conftest import OpenConsole
from tests.console.page import Console
from tests.console.world import World
from tests.lab.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="session")

HEADERS = """\
Return-Path: <bounce@bad.test>
Received: from mail.bad.test (host.bad.test [203.0.113.9])
\tby mx.example.org (Postfix) with ESMTPS id 1
From: Jo
 <jo@good.test>
Reply-To: other@null.test
"""


async def test_a_domain_is_asked_about_as_its_postmaster_and_answered_in_a_sentence(console: Console) -> None:
    await console.go()
    await console.look_up("good.test")
    await expect(console.headline).to_have_text("good.test receives mail: mx1.good.test answers")
    await expect(console.headline).to_be_focused()
    assert await console.sent() == [{"sender": "postmaster@good.test"}]
    await expect(console.page).to_have_title("good.test - mxcheck")


async def test_symbols_are_shown_with_their_weights(console: Console) -> None:
    await console.go("/?sender=a@bad.test")
    await console.has_result()
    row = console.page.get_by_role("row", name="MX_REFUSED")
    await expect(row).to_contain_text("mx.bad.test")
    await expect(row.get_by_role("cell")).to_have_text(["+3.0", "+3.0", "MX host refused the connection (port closed)"])
    await expect(console.page.locator(".summary")).to_contain_text("greylist")


async def test_the_path_leads_from_the_domain_over_its_hosts_to_addresses(
    open_console: OpenConsole, world: World
) -> None:
    with world.service() as service:
        console = await open_console(service.url)
        await console.go("/?sender=a@good.test")
        await console.has_result()
        tree = console.domain("good.test").locator(".tree")
        assert await tree.locator("strong").all_inner_texts() == [
            "good.test", "mx1.good.test", world.good.address, "mx2.good.test",
        ]  # fmt: skip
        await expect(tree).to_contain_text("preference 10")
        await expect(tree.get_by_role("listitem").filter(has_text="mx2.good.test").last).to_contain_text(
            "never reached"
        )
        address = tree.get_by_role("listitem").filter(has_text=world.good.address).last
        await expect(address).to_contain_text("public")
        await expect(address).to_contain_text("gd answers")
        await expect(address).to_contain_text("probed just now")

        await console.press("Check again")
        await expect(address).to_contain_text("cached verdict")
        await expect(address).to_contain_text("old, 24 h left")


async def test_an_address_that_is_set_aside_is_shown_with_its_class(console: Console) -> None:
    await console.go("/?sender=a@mixed.test")
    await console.has_result()
    await expect(console.domain("mixed.test")).to_contain_text("10.1.2.3")
    await expect(console.domain("mixed.test")).to_contain_text("set aside, not probed")


async def test_the_waterfall_has_every_step_with_its_time(open_console: OpenConsole, world: World) -> None:
    with world.service() as service:
        console = await open_console(service.url)
        await console.go("/?sender=a@good.test")
        await console.has_result()
        steps = console.domain("good.test").locator(".steps > li")
        names = await steps.locator(".step").all_inner_texts()
        expected = [
            "cache d",
            "DNS MX",
            "cache m",
            "cache m",
            "DNS A",
            "classes",
            "cache i",
            "lock",
            "probe",
            "verdict",
        ]
        assert names == expected
        probe = steps.filter(has_text="220 mx.lab.test ESMTP")
        await expect(probe.locator(".time")).to_have_text(
            re.compile(r"connect [\d.]+ ms, banner [\d.]+ ms, from [\d.]+ ms")
        )
        kinds = [await bar.get_attribute("data-kind") for bar in await steps.locator(".bar").all()]
        assert kinds == [
            "cache",
            "dns",
            "cache",
            "cache",
            "dns",
            "instant",
            "cache",
            "lock",
            "connect",
            "banner",
            "instant",
        ]
        widths = await steps.locator(".track").evaluate_all(
            "tracks => tracks.flatMap(track => [...track.children].map(bar => [bar.offsetLeft, "
            "bar.offsetLeft + bar.offsetWidth, track.offsetWidth]))"
        )
        assert all(0 <= start < end <= whole + 1 for start, end, whole in widths)


async def test_pasted_headers_are_read_and_looked_up(console: Console) -> None:
    await console.go()
    await console.page.get_by_text("Paste message headers").click()
    await console.page.get_by_label("Headers, as the mail program shows them").fill(HEADERS)
    await console.press("Read headers and look up")
    await expect(console.headline).to_have_text("3 domains looked up")
    assert await console.sent() == [
        {
            "sender": "bounce@bad.test",
            "mime_from": "Jo <jo@good.test>",
            "reply_to": "other@null.test",
            "helo": "mail.bad.test",
            "client_ip": "203.0.113.9",
        }
    ]
    for name in ("bad.test", "good.test", "null.test"):
        await expect(console.domain(name)).to_be_visible()


async def test_headers_pasted_where_an_address_belongs_are_taken_for_what_they_are(console: Console) -> None:
    await console.go()
    await console.page.evaluate("text => navigator.clipboard.writeText(text)", HEADERS)
    await console.page.get_by_label("Address or domain").press("Control+v")
    await expect(console.headline).to_have_text("3 domains looked up")


async def test_headers_that_tell_nothing_are_no_question(console: Console) -> None:
    await console.go()
    await console.page.get_by_text("Paste message headers").click()
    await console.page.get_by_label("Headers, as the mail program shows them").fill("Subject: hello")
    await console.press("Read headers and look up")
    await expect(console.page.locator("#complaint")).to_contain_text("These are no headers that tell a sender")
    assert await console.sent() == []


async def test_a_link_asks_the_question_that_was_asked(console: Console) -> None:
    await console.go("/?sender=a%40bad.test&mime_from=b@good.test&client_ip=10.0.0.1&helo=h.test&authenticated=1")
    await expect(console.headline).to_have_text("Not checked")
    await expect(console.page.get_by_text("Such mail is not checked: the client was authenticated.")).to_be_visible()
    await expect(console.page.get_by_label("The client was authenticated")).to_be_checked()
    await console.page.get_by_label("The client was authenticated").uncheck()
    await console.page.get_by_label("Client address").fill("")
    await console.press("Look up")
    await expect(console.headline).to_have_text("2 domains looked up")
    await console.press("Copy link")
    await expect(console.page.get_by_text("copied", exact=True)).to_be_visible()
    link = await console.page.evaluate("navigator.clipboard.readText()")
    assert link == console.page.url == f"{console.url}/?sender=a%40bad.test&mime_from=b%40good.test&helo=h.test"


async def test_back_and_forward_lead_from_question_to_question(console: Console) -> None:
    await console.go()
    await console.look_up("good.test")
    await console.look_up("bad.test")
    await console.page.go_back()
    await expect(console.headline).to_contain_text("good.test receives mail")
    await expect(console.page.get_by_label("Address or domain")).to_have_value("good.test")
    await console.page.go_back()
    await expect(console.headline).to_have_count(0)
    await console.page.go_forward()
    await console.page.go_forward()
    await expect(console.headline).to_contain_text("refuses connections")


async def test_fresh_purges_every_entry_that_was_read_and_probes_again(console: Console, world: World) -> None:
    await console.go("/?sender=a@good.test")
    await console.has_result()
    before = world.good.connections
    await console.press("Check again, fresh")
    await expect(console.page.locator(".notice.done")).to_contain_text(
        "Checked anew, 4 entries of the cache purged first"
    )
    deleted = {request.url.removeprefix(console.url) for request in console.asked if request.method == "DELETE"}
    assert deleted == {
        "/v1/cache/d/good.test", "/v1/cache/m/mx1.good.test", "/v1/cache/m/mx2.good.test",
        f"/v1/cache/i/{world.good.address}",
    }  # fmt: skip
    await expect(console.domain("good.test").locator(".tree")).to_contain_text("probed just now")
    await expect(console.headline).to_be_focused()
    assert world.good.connections == before + 1


async def test_a_single_entry_is_purged(console: Console, service: Service) -> None:
    await console.go("/?sender=a@bad.test")
    await console.has_result()
    assert (await service.get("/v1/cache/m/mx.bad.test")).status == 200
    await console.press("Purge mx.bad.test from layer m of the cache")
    await expect(console.page.get_by_text("purged", exact=True)).to_be_visible()
    assert (await service.get("/v1/cache/m/mx.bad.test")).status == 404
    assert (await service.get("/v1/cache/d/bad.test")).status == 200


@pytest.mark.parametrize("sender", ["a@good.test", 'it\'s $HOME `id` \\ "x"@good.test', "a\u202eb\x1b@b.test"])
async def test_the_curl_line_sends_what_the_page_sent(console: Console, sender: str, tmp_path: Path) -> None:
    """A shell makes words of it, and curl, here a script that tells them, gets the same URL and JSON."""
    await console.go()
    await console.look_up(sender)
    await console.page.get_by_text("The same with curl").click()
    await console.press("Copy curl line")
    await expect(console.page.get_by_text("copied", exact=True)).to_be_visible()
    line = await console.page.evaluate("navigator.clipboard.readText()")
    assert line.isascii()
    assert line.isprintable()
    assert await console.page.locator("#curl").inner_text() == line
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done\n')
    curl.chmod(curl.stat().st_mode | stat.S_IXUSR)
    shell = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", line, stdout=-1, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    words = (await shell.communicate())[0].decode().split("\0")
    assert words[:2] == ["-sS", f"{console.url}/v1/check?explain=1"]
    assert json.loads(words[words.index("-d") + 1]) == (await console.sent())[-1]
    assert "Authorization" not in line


async def test_what_is_no_question_is_said(console: Console) -> None:
    await console.go()
    await console.press("Look up")
    await expect(console.page.locator("#complaint")).to_have_text("Enter an address or a domain, or paste headers.")
    await console.look_up("[192.0.2.1]")
    await expect(console.headline).to_have_text("Nothing to look up")


async def test_a_wrong_field_is_named(console: Console) -> None:
    await console.go("/?sender=a@good.test&client_ip=localhost")
    await expect(console.failure).to_contain_text("client_ip: must be an IPv4 or IPv6 address")
    await expect(console.failure).to_contain_text("Mend what is named")


async def test_a_service_that_turns_away_is_asked_again_by_a_button(console: Console) -> None:
    await console.answer(
        "/v1/check?explain=1", 503, {"title": "Service Unavailable", "detail": "x"}, {"Retry-After": "2"}
    )
    await console.go("/?sender=a@good.test")
    await expect(console.failure).to_contain_text("503 Service Unavailable: x")
    await expect(console.failure).to_contain_text("Try again in 2 s.")
    await console.page.unroute_all()
    await console.press("Try again")
    await expect(console.headline).to_contain_text("good.test receives mail")


async def test_a_service_that_is_gone_is_told(open_console: OpenConsole, world: World) -> None:
    with world.service() as service:
        console = await open_console(service.url)
        await console.go()
        await console.look_up("good.test")
    await console.ask("bad.test")
    await expect(console.failure).to_contain_text("The service does not answer.")


async def test_what_the_deadline_cut_off_is_told(console: Console) -> None:
    reply: dict[str, Any] = {
        "is_skipped": False, "skip_reason": None, "action": "no action", "messages": {}, "score": 0, "symbols": {},
        "domains": [{
            "domain": "x.test", "source": "from", "verdict": "inflight", "host": "x.test", "cached": False,
            "time_ms": 1, "trace": [{"at_ms": 1, "step": "deadline", "seconds": 5}],
        }],
        "partial": True, "time_real": 5.0,
    }  # fmt: skip
    await console.answer("/v1/check?explain=1", 200, reply)
    await console.go("/?sender=a@x.test")
    await expect(console.headline).to_have_text("x.test is being probed; no verdict yet")
    await expect(console.page.get_by_text("The deadline came before some verdict.")).to_be_visible()
