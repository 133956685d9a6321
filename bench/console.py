"""How long the console takes until it can be used, on a service that is warm, and what it ships.

    python -m bench.console [--rounds 15] [--json FILE]

Headless Chromium opens the page, each time with an empty cache of its own, and once more with what it has then: until
the form can be filled in (`/`), until a look-up by link shows its verdict, and until the numbers of the last hour and
their plots are there. Times are from the navigation on, as the page itself measures them. Bytes are those of its files
as the browser unpacked them, and as they came over the wire. Needs chromium.
"""

import asyncio
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from playwright.async_api import Browser, Page

from bench import report
from tests.console.chromium import Chromium
from tests.console.world import World

FIRST, AGAIN = "first", "again"
VIEWS: Final = {
    "form": ("/", "#view-lookup:not([hidden])"),
    "look-up": ("/?sender=a@good.test", "#result h2"),
    "now": ("/#now", ".plot canvas"),
    "settings": ("/#settings", "dl.settings"),
}
_WATCH: Final = """
window.usable = new Promise((done) => {
  const look = () => {
    if (document.querySelector(SELECTOR)) return void done(performance.now());
    requestAnimationFrame(look);
  };
  look();
});
"""
_BYTES: Final = """
performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
  .filter((entry) => !entry.name.includes("/v1/"))
  .reduce(([unpacked, sent], entry) => [unpacked + entry.decodedBodySize, sent + entry.transferSize], [0, 0])
"""


async def measure(browser: Browser, url: str, path: str, selector: str) -> dict[str, Any]:
    """Milliseconds until it is usable, at first and again, and bytes of the first time."""
    context = await browser.new_context()
    try:
        await context.add_init_script(_WATCH.replace("SELECTOR", repr(selector)))
        page = await context.new_page()
        await page.goto(url + path)
        first, sizes = await _usable(page), await page.evaluate(_BYTES)
        await page.reload()
        return {FIRST: first, AGAIN: await _usable(page), "unpacked": sizes[0], "sent": sizes[1]}
    finally:
        await context.close()


async def _usable(page: Page) -> float:
    return float(await page.evaluate("window.usable"))


async def run(rounds: int) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in VIEWS}
    with Chromium() as chromium:
        async with World() as world, chromium.driven() as browser:
            with world.service() as service:
                await service.check({"sender": "a@good.test"})
                for _ in range(rounds):
                    for name, (path, selector) in VIEWS.items():
                        found[name].append(await measure(browser, service.url, path, selector))
    return found


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Medians and the longest, in Markdown."""

    def row(name: str, rounds: Sequence[Mapping[str, Any]]) -> list[str]:
        cuts = [cut([each[when] for each in rounds]) for when in (FIRST, AGAIN) for cut in (statistics.median, max)]
        times = [f"{cut:.0f} ms" for cut in cuts]
        size = [f"{statistics.median(each[kind] for each in rounds) / 1000:.1f} kB" for kind in ("unpacked", "sent")]
        return [name, *times, *size]

    head = ("", "first, median", "longest", "again, median", "longest", "files", "over the wire")
    return report.table(head, [row(name, rounds) for name, rounds in found.items()])


def main() -> None:
    parser = report.options("console", __doc__)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    results = asyncio.run(run(arguments.rounds))
    print(table(results))
    report.save(arguments, results)


if __name__ == "__main__":
    main()
