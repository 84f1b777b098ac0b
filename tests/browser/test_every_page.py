"""Every page: complete, accessible and without errors in every theme."""

from collections.abc import Iterator
from itertools import chain

import pytest
from starlette.routing import BaseRoute, Mount, Route

from tests.browser import test_board_pages as pages_of_boards
from tests.browser import test_gateway_pages as pages_of_gateways
from tests.support.full_site import CheckedPage, FullSite
from tests.support.live_site import LiveSite
from tests.support.page_addresses import NON_PAGES, OTHER_PAGES, PAGES, PUBLIC_PAGES, list_addresses
from tests.support.page_checks import new_context
from web.pages import pages

REST = (
    "/welcome",
    "/dashboard",
    "/agents",
    "/groups",
    "/design",
    "/audit",
    "/people",
    "/search",
    "/organization",
    "/tags",
    "/souls",
    "/skills",
    "/fields",
    "/settings",
    "/activity",
    "/my-tasks",
    "/notifications",
    "/webhooks",
    "/sign-in",
    "/my-tasks",
    "/questions",
    "/notifications",
)

REPEATED_ELEMENTS = {"/docs": "details.operation"}  # 500 operations and models


def routes_of(route: BaseRoute) -> Iterator[Route]:
    if isinstance(route, Mount):
        for inner in route.routes:
            yield from routes_of(inner)
    else:
        assert isinstance(route, Route)
        yield route


def test_the_page_list_contains_every_route() -> None:
    found = {route.path for route in routes_of(pages) if "GET" in (route.methods or ())}
    assert found == {*PAGES, *PUBLIC_PAGES, *NON_PAGES}


def test_every_page_is_opened_by_one_of_the_test_files() -> None:
    files = (REST, pages_of_boards.ROOTS, pages_of_gateways.ROOTS)
    addresses = [address for roots in files for address in list_addresses(*roots)]
    assert sorted(addresses) == sorted(chain.from_iterable(PAGES.values()))


@pytest.mark.parametrize("address", list_addresses(*REST))
async def test_a_page_is_accessible_and_has_no_errors(world: FullSite, address: str) -> None:
    await world.visit(address)


@pytest.mark.parametrize("address", OTHER_PAGES)
async def test_other_pages_are_accessible_and_have_no_errors(world: FullSite, address: str) -> None:
    status = 404 if "no-such" in address else 200
    await world.visit(address, status, repeated=REPEATED_ELEMENTS.get(address, ""))


@pytest.mark.parametrize("address", [one for many in PUBLIC_PAGES.values() for one in many])
async def test_pages_without_sign_in_are_accessible_and_have_no_errors(
    site: LiveSite, address: str
) -> None:
    context = await new_context(site.browser, site.installation)
    await CheckedPage.watch(await context.new_page()).visit(address)
    await context.close()
