"""Tokens: asked for when they are needed, apart for operators, and never shown."""

import pytest
from playwright.async_api import expect

from tests.console.conftest import OpenConsole
from tests.console.page import Console
from tests.console.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN, ADMIN = "users-token", "admins-token"


async def test_the_token_is_asked_for_and_then_sent(open_console: OpenConsole, world: World) -> None:
    with world.service(server={"auth_token": TOKEN}) as service:
        console = await open_console(service.url)
        await console.go("/?sender=a@good.test")
        await expect(console.dialog).to_contain_text("A token is needed")
        await expect(console.dialog.get_by_label("Token")).to_be_focused()
        await console.give_token("wr\u00f6ng \u2713")
        await expect(console.dialog.get_by_role("alert")).to_have_text(
            "The service does not take the token that was entered."
        )
        await console.give_token(TOKEN)
        await expect(console.headline).to_contain_text("good.test receives mail")
        await expect(console.dialog).to_be_hidden()
        assert TOKEN not in await console.page.content()

        await console.page.get_by_text("The same with curl").click()
        line = await console.page.locator("#curl").inner_text()
        assert '-H "Authorization: Bearer $MXCHECK_TOKEN"' in line
        assert TOKEN not in line

        await console.page.reload()
        await expect(console.headline).to_contain_text("good.test receives mail")
        await console.press("Forget tokens")
        await expect(console.page.get_by_role("button", name="Forget tokens")).to_be_hidden()
        await console.page.reload()
        await expect(console.dialog).to_be_visible()
        await console.page.keyboard.press("Escape")
        await expect(console.failure).to_contain_text("A token is needed.")
        await console.press("Try again")
        await console.give_token(TOKEN)
        await expect(console.headline).to_contain_text("good.test receives mail")


async def test_the_admin_token_is_another_one(open_console: OpenConsole, world: World) -> None:
    with world.service(server={"auth_token": TOKEN, "admin_token": ADMIN}) as service:
        console = await open_console(service.url)
        await console.go("/?sender=a@good.test")
        await console.give_token(TOKEN)
        await console.has_result()

        await console.press("Purge good.test from layer d of the cache")
        await expect(console.dialog).to_contain_text("The admin token is needed")
        await console.dialog.get_by_role("button", name="Cancel").click()
        await expect(console.page.locator(".entry").first).to_contain_text("A token is needed.")
        await console.press("Check again, fresh")
        await console.give_token("wrong")
        await expect(console.dialog.get_by_role("alert")).to_contain_text("does not take")
        await console.give_token(ADMIN)
        await expect(console.page.locator(".notice.done")).to_contain_text("Checked anew")

        await console.page.get_by_role("link", name="Settings").click()
        await console.press("Reload")
        await expect(console.page.locator("#settings-content .notice.done")).to_contain_text("Reloaded")
        text = await console.text()
        assert TOKEN not in text
        assert ADMIN not in text


async def test_the_one_token_is_the_operator_s_where_there_is_no_other(open_console: OpenConsole, world: World) -> None:
    with world.service(server={"auth_token": TOKEN}) as service:
        console = await open_console(service.url)
        await console.go("/?sender=a@good.test")
        await console.give_token(TOKEN)
        await console.has_result()
        await console.press("Check again, fresh")
        await expect(console.page.locator(".notice.done")).to_contain_text("Checked anew")
        await expect(console.dialog).to_be_hidden()


async def test_numbers_are_not_asked_for_again_and_again_without_a_token(
    open_console: OpenConsole, world: World
) -> None:
    """Who has closed the dialog has it back when he asks for it."""
    with world.service(server={"auth_token": TOKEN}) as service:
        console = await open_console(service.url)
        await console.page.clock.install()
        await console.go("/#now")
        await console.dialog.get_by_role("button", name="Cancel").click()
        await expect(console.failure).to_contain_text("A token is needed.")
        await console.page.clock.run_for(60_000)
        await expect(console.dialog).to_be_hidden()
        await console.press("Try again")
        await console.give_token(TOKEN)
        await expect(console.page.get_by_role("heading", name="Verdicts, last hour")).to_be_visible()


async def test_no_token_is_asked_for_where_none_is_set(console: Console) -> None:
    await console.go("/?sender=a@good.test")
    await console.has_result()
    await console.press("Check again, fresh")
    await expect(console.page.locator(".notice.done")).to_be_visible()
    await expect(console.page.get_by_role("button", name="Forget tokens")).to_be_hidden()
