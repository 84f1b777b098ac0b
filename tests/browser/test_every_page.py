"""Every page that a person can open: whole, readable and without an error, in every look."""

from collections.abc import Iterator
from itertools import chain

import pytest
from starlette.routing import BaseRoute, Mount, Route

from tests.browser import test_pages_of_boards as pages_of_boards
from tests.browser import test_pages_of_gateways as pages_of_gateways
from tests.browser.addresses import FOR_STRANGERS, NO_PAGES, OTHERS, PAGES, addresses_of
from tests.browser.furnished import Window, World
from tests.browser.home import Home
from tests.browser.pages import PHONE, WIDE, new_context
from web.app import pages

REST = ("/welcome", "/agents", "/people", "/settings", "/activity")


def routes_of(route: BaseRoute) -> Iterator[Route]:
    if isinstance(route, Mount):
        for inner in route.routes:
            yield from routes_of(inner)
    else:
        assert isinstance(route, Route)
        yield route


def test_no_page_is_forgotten() -> None:
    found = {route.path for route in routes_of(pages) if "GET" in (route.methods or ())}
    assert found == {*PAGES, *FOR_STRANGERS, *NO_PAGES}


def test_every_page_is_looked_at_in_one_of_these_files() -> None:
    files = (REST, pages_of_boards.ROOTS, pages_of_gateways.ROOTS)
    looked_at = [address for roots in files for address in addresses_of(*roots)]
    assert sorted(looked_at) == sorted(chain.from_iterable(PAGES.values()))


@pytest.mark.parametrize("address", addresses_of(*REST))
async def test_a_page(world: World, address: str) -> None:
    await world.visit(address)


@pytest.mark.parametrize("address", OTHERS)
async def test_a_page_beside_them(world: World, address: str) -> None:
    await world.visit(address, status=404 if "no-such" in address else 200)


@pytest.mark.parametrize("address", [one for many in FOR_STRANGERS.values() for one in many])
async def test_a_page_for_strangers(home: Home, address: str) -> None:
    for size in (WIDE, PHONE):
        context = await new_context(home.browser, home.installation, viewport=size)
        window = Window.of(await context.new_page())
        response = await window.page.goto(address)
        assert response
        await window.looks_well(response.status)
        await context.close()
