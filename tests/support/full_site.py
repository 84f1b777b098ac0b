"""Browser windows that check the pages of a site with objects of every kind."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product

from playwright.async_api import ConsoleMessage, Page

from tests.support import onboarding_stages
from tests.support.fake_agents_gateway import run_fake_agents_gateway
from tests.support.gateway_site import run_gateway_site
from tests.support.live_site import LiveSite
from tests.support.page_checks import (
    AXE,
    LAYOUT,
    LIST_OVERFLOWING,
    PHONE,
    TABLET,
    WIDE,
    list_axe_violations,
    list_cut_buttons,
    list_overflowing,
    list_small_targets,
)
from tests.support.page_signatures import LAYOUT_RULES, CheckedTexts, describe_shown
from tests.support.site_objects import (
    LONG_WORD,
    create_gateway_objects,
    create_short_agent,
    create_site_objects,
    fill_workshop,
)
from tests.support.tiers import IS_COMPLETE_RUN, select_options

CONTRAST = "color-contrast"
"""The rule that takes most of the time."""

REMOVE_DIALOGS = "document.querySelectorAll('dialog:not([open])').forEach(one => one.remove())"

THEMES = ("light", "dark")
SIZES = (WIDE, PHONE, TABLET)
APPEARANCES = [*product((WIDE, PHONE), THEMES), (TABLET, "light")]
"""The sizes and themes in which a page is checked. A tablet has the colours of a phone."""

REMOVE_REPEATED = """selector => {
    const describe = element => {
        const attributes = [...element.attributes].map(({name, value}) =>
            name === "class" || name === "role" || name === "scope" ? `${name}=${value}` : name);
        const children = new Set([...element.children].map(describe));
        return `${element.tagName} ${attributes.join(" ")} (${[...children].join()})`;
    };
    const seen = new Set();
    for (const element of document.querySelectorAll(selector)) {
        const description = describe(element);
        if (seen.has(description)) element.remove();
        seen.add(description);
    }
}"""
"""Removes elements that have the same elements inside as one before."""

LIST_REPEATED_IDS = """() => {
    const ids = [...document.querySelectorAll("[id]")].map(({id}) => id);
    return ids.filter((id, index) => ids.indexOf(id) < index);
}"""

COUNT_HEADINGS = f"""() => [document.querySelectorAll("h1").length, ({LIST_OVERFLOWING})()]"""
"""Returns the number of headings of the first level, and what is too wide."""

SET_THEME = "theme => document.documentElement.dataset.theme = theme"
CHECKED_TEXTS = CheckedTexts()  # of all pages that this process of the tests has checked


@dataclass
class CheckedPage:
    """A page of a browser, and the errors of its console."""

    page: Page
    errors: list[str] = field(default_factory=list)
    is_layout_checked: bool = False  # navigation and closed dialogs, with the first page
    shown: set[int] = field(default_factory=set)  # what all rules were checked for on this page

    @classmethod
    def watch(cls, page: Page) -> "CheckedPage":
        window = cls(page)
        page.on("pageerror", lambda error: window.errors.append(str(error)))
        page.on("console", window.record_error)
        return window

    def record_error(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    async def visit(self, address: str, *, repeated: str = "") -> int:
        """Open an address, check the page in all sizes, and return its HTTP status.

        The accessibility, which takes most of the time, is checked in one of the appearances, and
        in all of them in a complete run. Without one on a tablet, the page is not shown on it.

        It is loaded once: no script asks for the width of the window while the page loads. Of the
        elements that the selector `repeated` matches, those that are made like one before are
        checked for their width and their ids only.
        """
        appearances = select_options(address, APPEARANCES)
        await self.page.set_viewport_size(WIDE)
        response = await self.page.goto(address)
        assert response
        if self.is_layout_checked:  # dialogs: half of the elements, of which nothing is visible
            await self.page.evaluate(REMOVE_DIALOGS)
        if repeated:
            await self.page.set_viewport_size(PHONE)
            assert not await list_overflowing(self.page), self.page.url
            assert await self.page.evaluate(LIST_REPEATED_IDS) == []
            await self.page.evaluate(REMOVE_REPEATED, repeated)
        self.shown.clear()
        for size in SIZES:
            themes = [theme for one, theme in appearances if one == size]
            if size == TABLET and not themes:
                continue
            if self.page.viewport_size != size:
                await self.page.set_viewport_size(size)
            await self.check(response.status, themes)
        self.is_layout_checked = True
        return response.status

    async def check(self, status: int = 200, themes: Sequence[str] = THEMES) -> None:
        """Check the heading, overflow, accessibility, buttons on a phone, and the console.

        A theme changes only colours, so that only texts are checked in a second one.
        """
        page = self.page
        assert await page.evaluate(COUNT_HEADINGS) == [1, []], (page.url, page.viewport_size)
        for theme in themes:
            await page.evaluate(SET_THEME, theme)
            if theme == themes[0]:
                violations = await self._list_violations()
            else:
                violations = await CHECKED_TEXTS.list_violations(page, self._excluded)
            assert violations == [], (violations, page.url, page.viewport_size, theme)
        if page.viewport_size == PHONE:
            assert await list_small_targets(page) == [], page.url
            assert await list_cut_buttons(page) == [], page.url
        complaints, self.errors = self.errors, []
        if status >= 400:  # the browser logs the status of the page
            complaints = [one for one in complaints if f"status of {status}" not in one]
        assert complaints == [], (complaints, page.url, page.viewport_size)

    @property
    def _excluded(self) -> list[str]:
        return [one for [one] in LAYOUT] if self.is_layout_checked else []

    async def _list_violations(self) -> list[str]:
        """Return the violations of all rules.

        If a tablet shows the same elements as one of the other sizes that were checked before, only
        rules about the layout can have other results; its colours are those of a phone.
        """
        with_layout = not self.is_layout_checked
        if not IS_COMPLETE_RUN:  # in one size
            return await list_axe_violations(self.page, with_layout=with_layout)
        is_tablet = self.page.viewport_size == TABLET
        shown = await describe_shown(self.page, [one for [one] in LAYOUT])
        rules = LAYOUT_RULES if is_tablet and shown in self.shown else ()
        has_known_colours = is_tablet and bool(self.shown)
        self.shown.add(shown)
        return await list_axe_violations(
            self.page,
            *rules,
            skip=CONTRAST if has_known_colours and not rules else "",
            with_layout=with_layout,
        )


@dataclass
class FullSite:
    """A site with objects of every kind, whose names contain very long words."""

    site: LiveSite
    ids: dict[str, str]
    windows: list[CheckedPage]  # a wide window and a phone

    async def visit(self, address: str, status: int = 200, *, repeated: str = "") -> None:
        """Open an address, and check the page in a wide window, on a tablet and on a phone."""
        response = await self.windows[0].visit(address.format(**self.ids), repeated=repeated)
        assert response == status


@asynccontextmanager
async def fill_site(site: LiveSite) -> AsyncGenerator[dict[str, str]]:
    """Create objects of every kind in a site, and return their ids by name."""
    ids = create_site_objects(site)
    async with (
        run_fake_agents_gateway() as fake_gateway,
        run_gateway_site(site, f"Quay of the {LONG_WORD}") as quay,
    ):
        ids |= await create_gateway_objects(quay)
        fill_workshop(fake_gateway)
        enter = partial(site.create_gateway, "Workshop", fake_gateway.url, fake_gateway.token)
        ids["workshop"] = (await asyncio.to_thread(enter))["id"]
        asker = await site.connect_gateway_agent(fake_gateway, f"mc-gateway-{ids['workshop']}")
        ids |= onboarding_stages.create_onboardings(site, asker, ids["workshop"], LONG_WORD)
        await create_short_agent(site, fake_gateway, ids["workshop"])
        yield ids


@asynccontextmanager
async def open_full_site(site: LiveSite, ids: dict[str, str]) -> AsyncGenerator[FullSite]:
    """Open a site in two windows, and close them afterwards, because open pages stay connected."""
    windows = [CheckedPage.watch(await site.new_tab(viewport=size)) for size in (WIDE, PHONE)]
    for window in windows:
        await window.page.add_init_script(AXE)  # sent once, not for each of the pages
    try:
        yield FullSite(site, ids, windows)
    finally:
        for window in windows:
            await window.page.context.close()
