"""Every page: complete, accessible and without errors in every theme.

Every run checks the representative pages. What needs no browser is stated for all of them by
tests/trust/test_page_structure.py.
"""

from itertools import chain

import pytest

from tests.support.full_site import CheckedPage, FullSite
from tests.support.live_site import LiveSite
from tests.support.page_addresses import (
    NON_PAGES,
    OTHER_PAGES,
    PAGES,
    PUBLIC_PAGES,
    REPRESENTATIVE,
)
from tests.support.page_checks import list_overflowing, new_context
from tests.support.page_routes import list_routes
from tests.support.tiers import mark_repetitions, repetition

REPEATED_ELEMENTS = {"/docs": "details.operation"}  # 500 operations and models


FILTERED_PAGES = [
    "/approvals",
    pytest.param("/approvals?state=decided", marks=repetition),
    pytest.param("/activity", marks=repetition),
    pytest.param("/activity?board={board}", marks=repetition),
    pytest.param("/agents", marks=repetition),
    pytest.param("/audit", marks=repetition),
    pytest.param("/boards", marks=repetition),
    "/boards/{board}",
    pytest.param("/boards/{board}?view=list", marks=repetition),
    pytest.param("/dashboard", marks=repetition),
    pytest.param("/groups", marks=repetition),
    pytest.param("/gateways", marks=repetition),
    pytest.param("/search?q=port", marks=repetition),
    pytest.param("/souls", marks=repetition),
    pytest.param("/tags", marks=repetition),
]

LIST_BAD_CONTROLS = """() => {
    const closed = ".topbar details, main details.drop, main #filters, main #search-filters";
    for (const details of document.querySelectorAll(closed)) details.open = true;
    const controls = `main [role=search] :is(input:not([type=hidden]), select, button, summary),
        .topbar .drop summary, :is(main, .topbar) :is(.seg, .tabs) > *, :is(main, .topbar) .chip,
        :is(.filters, .topbar, .board-menu) .menu :is(a, button, select)`;
    return [...document.querySelectorAll(controls)].flatMap((control) => {
        const target = control.type === "checkbox" ? control.closest("label") : control;
        const { width, height, left, right } = target.getBoundingClientRect();
        const name = control.outerHTML.slice(0, 120);
        if (!width) return control.type === "search" ? [`hidden: ${name}`] : [];
        const scrolls = control.closest(".tabs, .col-switch");
        return [
            ...(height < 43.9 ? [`${height} px: ${name}`] : []),
            ...(scrolls || (left >= 0 && right <= innerWidth) ? [] : [`outside: ${name}`]),
        ];
    });
}"""
"""Lists the filters that are hidden, too small or outside of the window."""


def test_the_page_list_contains_every_route() -> None:
    found = {route.path for route in list_routes() if "GET" in (route.methods or ())}
    assert found == {*PAGES, *PUBLIC_PAGES, *NON_PAGES}


def test_the_representative_pages_are_addresses_of_pages() -> None:
    pages = chain.from_iterable([*PAGES.values(), *PUBLIC_PAGES.values(), OTHER_PAGES])
    assert {*pages} >= REPRESENTATIVE


async def test_all_components_are_accessible_in_both_themes(world: FullSite) -> None:
    await world.visit("/design")
    await world.windows[0].check()


@pytest.mark.parametrize(
    "address", mark_repetitions(chain.from_iterable(PAGES.values()), REPRESENTATIVE)
)
async def test_a_page_is_accessible_and_has_no_errors(world: FullSite, address: str) -> None:
    await world.visit(address)


@repetition
@pytest.mark.parametrize("address", OTHER_PAGES)
async def test_other_pages_are_accessible_and_have_no_errors(world: FullSite, address: str) -> None:
    status = 404 if "no-such" in address else 200
    await world.visit(address, status, repeated=REPEATED_ELEMENTS.get(address, ""))


@pytest.mark.parametrize(
    "address", mark_repetitions(chain.from_iterable(PUBLIC_PAGES.values()), REPRESENTATIVE)
)
async def test_pages_without_sign_in_are_accessible_and_have_no_errors(
    site: LiveSite, address: str
) -> None:
    context = await new_context(site.browser, site.installation)
    await CheckedPage.watch(await context.new_page()).visit(address)
    await context.close()


@pytest.mark.parametrize("address", FILTERED_PAGES)
async def test_all_filters_are_shown_and_large_enough(world: FullSite, address: str) -> None:
    page = world.windows[1].page
    await page.goto(address.format(**world.ids))
    bad = await page.evaluate(LIST_BAD_CONTROLS)
    assert not bad, "\n".join(bad)
    assert not await list_overflowing(page)
