"""Every page: complete, accessible and without errors in every theme.

Every run checks one page of each kind. What the other pages need no scripts for is stated by
test_every_page_without_scripts.py and tests/trust/test_page_structure.py.
"""

from itertools import chain

import pytest

from tests.support.full_site import CheckedPage, FullSite
from tests.support.live_site import LiveSite
from tests.support.page_addresses import NON_PAGES, OTHER_PAGES, PAGES, PUBLIC_PAGES
from tests.support.page_checks import new_context, overflows_horizontally
from tests.support.page_routes import list_routes
from tests.support.tiers import repetition

REPEATED_ELEMENTS = {"/docs": "details.operation"}  # 500 operations and models

KINDS = {
    "/activity",
    "/agents",
    "/agents/new",
    "/agents/{agent}",
    "/agents/{agent}/files/SOUL.md/edit",
    "/agents/{agent}/sessions/{coding_session}",
    "/approvals/requests/{command}",
    "/approvals/{approval}",
    "/approvals?board={board}",
    "/audit",
    "/boards",
    "/boards/{asked}/onboarding",
    "/boards/{board}",
    "/boards/{board}/chat",
    "/boards/{board}/settings",
    "/boards/{board}/tasks/new",
    "/boards/{board}/tasks/{task}",
    "/boards/{board}?view=calendar",
    "/boards/{board}?view=list",
    "/boards/{drafted}/onboarding/review",
    "/boards/{empty}",
    "/dashboard",
    "/gateways/{gateway}",
    "/gateways/{workshop}/sessions/agent:main:main?wait=1",
    "/notifications",
    "/people",
    "/search?q=a",
    "/settings",
    "/settings/policy",
    "/skills/{skill}",
    "/webhooks/{endpoint}",
    "/welcome?step=organization",
}
"""A page of each kind: lists, forms, boards, conversations, decisions, charts, files, diffs."""

ADDRESSES = [
    pytest.param(one, marks=() if one in KINDS else repetition)
    for one in chain.from_iterable(PAGES.values())
]
FILTERED_PAGES = [
    "/approvals",
    pytest.param("/approvals?state=decided", marks=repetition),
    pytest.param("/activity", marks=repetition),
    pytest.param("/activity?board={board}", marks=repetition),
    pytest.param("/agents", marks=repetition),
    "/audit",
    pytest.param("/boards", marks=repetition),
    "/boards/{board}",
    pytest.param("/boards/{board}?view=list", marks=repetition),
    pytest.param("/dashboard", marks=repetition),
    pytest.param("/groups", marks=repetition),
    pytest.param("/gateways", marks=repetition),
    "/search?q=port",
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


def test_the_kinds_are_addresses_of_pages() -> None:
    assert {*chain.from_iterable(PAGES.values())} >= KINDS


async def test_all_components_are_accessible_in_both_themes(world: FullSite) -> None:
    await world.visit("/design")
    await world.windows[0].check()


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_page_is_accessible_and_has_no_errors(world: FullSite, address: str) -> None:
    await world.visit(address)


@repetition
@pytest.mark.parametrize("address", OTHER_PAGES)
async def test_other_pages_are_accessible_and_have_no_errors(world: FullSite, address: str) -> None:
    status = 404 if "no-such" in address else 200
    await world.visit(address, status, repeated=REPEATED_ELEMENTS.get(address, ""))


@pytest.mark.parametrize("address", [*chain.from_iterable(PUBLIC_PAGES.values())])
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
    assert not await overflows_horizontally(page)
