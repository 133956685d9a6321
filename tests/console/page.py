"""The console as a person uses it, by what there is to read and to press; and what must never happen meanwhile."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, Self

from playwright.async_api import Browser, Locator, Page, Request, Route, expect

Theme = Literal["light", "dark"]

WIDE, PHONE = 1280, 375
_WATCH = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""
_REFUSED = "Failed to load resource"
"""What Chromium says of every reply that is an error, and of none at all; some tests ask for those."""


class Console:
    """A page in a browser context of its own. Once it is closed, nothing forbidden may have happened."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.asked: list[Request] = []
        self.complaints: list[str] = []
        page.on("request", self._asked)
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, browser: Browser, url: str, *, theme: Theme = "light", width: int = WIDE
    ) -> AsyncIterator[Self]:
        """Open an empty page; `go` leads to the service at `url`."""
        context = await browser.new_context(color_scheme=theme, viewport={"width": width, "height": 800})
        await context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
        await context.add_init_script(_WATCH)
        context.set_default_timeout(10_000)
        try:
            console = cls(await context.new_page(), url)
            yield console
            console.assert_clean()
        finally:
            await context.close()

    def assert_clean(self) -> None:
        """Nothing was asked of another origin, and neither the policy nor the scripts had anything to complain of."""
        elsewhere = [request.url for request in self.asked if not request.url.startswith(f"{self.url}/")]
        assert not elsewhere, elsewhere
        assert not self.complaints, self.complaints

    async def go(self, path: str = "/") -> None:
        await self.page.goto(self.url + path)

    async def look_up(self, sender: str) -> None:
        """Ask by the form, and wait for the result."""
        await self.ask(sender)
        await self.has_result()

    async def ask(self, sender: str) -> None:
        await self.page.get_by_label("Address or domain").fill(sender)
        await self.press("Look up")

    async def has_result(self) -> None:
        await expect(self.headline).to_be_visible()
        await expect(self.page.locator("#result[aria-busy]")).to_have_count(0)

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def give_token(self, token: str) -> None:
        """Fill in the dialog, which has to be there."""
        await self.dialog.get_by_label("Token").fill(token)
        await self.dialog.get_by_role("button", name="Go on").click()

    @property
    def headline(self) -> Locator:
        """The verdict in a sentence."""
        return self.page.locator("#result h2")

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    @property
    def failure(self) -> Locator:
        """What went wrong, and what to do."""
        return self.page.get_by_role("group", name="What went wrong")

    def domain(self, name: str) -> Locator:
        return self.page.get_by_role("article", name=name)

    async def text(self) -> str:
        """Everything that can be read."""
        return await self.page.locator("body").inner_text()

    async def sent(self) -> list[Any]:
        """The bodies of the checks that were asked for."""
        posts = [request for request in self.asked if request.method == "POST" and "/v1/check" in request.url]
        return [json.loads(request.post_data or "") for request in posts]

    async def elements(self, selector: str) -> int:
        return await self.page.locator(selector).count()

    async def answer(self, path: str, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        """Answer requests for a path in place of the service, with what it would not say by itself."""

        async def fulfil(route: Route) -> None:
            problem = "application/json" if status < 400 else "application/problem+json"
            await route.fulfill(
                status=status, body=json.dumps(body), headers={"Content-Type": problem, **(headers or {})}
            )

        await self.page.route(f"{self.url}{path}", fulfil)

    def _asked(self, request: Request) -> None:
        self.asked.append(request)

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith(_REFUSED):
            self.complaints.append(f"{kind}: {text}")
