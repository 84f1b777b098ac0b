"""The sidebar, the menu "More" of phones, and the command palette lead to the same pages."""

import re

import pytest

from tests.support.page_addresses import PAGES
from web.ui.menus import FORM_PAGES, FURTHER_PAGES, MENU_PAGES

NOT_IN_THE_PALETTE = {
    "/design": "for developers",
    "/settings/system": "only for owners of the first organization",
    "/settings/tokens/endings": "opens after the password has changed",
    "/sign-in/again": "opens when a session has ended",
    "/welcome": "the first steps, until there is a board",
}
"""Pages without parameters that the command palette does not offer, and why."""


def list_paths(page: str, start: str, end: str) -> list[str]:
    """Return the paths of the links of a part of a page."""
    return re.findall(r'href="(/[^"#]*)"', page.partition(start)[2].partition(end)[0])


async def test_the_menu_more_of_phones_has_what_the_member_may_open(alice, bob) -> None:
    for user, is_admin in ((alice, True), (bob, False)):
        page = (await user.get("/rail")).text
        tabs = list_paths(page, 'id="tabbar"', 'id="more-pages"')
        more = list_paths(page, 'id="more-pages"', "</details>\n</nav>")
        pages = [one.path for one in MENU_PAGES if is_admin or not one.admins_only]
        assert tabs == ["/approvals", "/boards", "/agents", "/activity"]
        assert sorted(tabs + more) == sorted(pages)
        sidebar = list_paths(page, 'id="rail"', "</aside>")
        assert set(pages) <= set(sidebar)
        assert ("/skills" in more) is is_admin
        assert "/people" in more


async def test_the_palette_leads_to_every_page_without_parameters(alice, bob) -> None:
    routes = {route for route in PAGES if "{" not in route} - set(NOT_IN_THE_PALETTE)
    options = {}
    for user in (alice, bob):
        page = (await user.get("/activity")).text
        options[user] = list_paths(page, 'id="palette-list"', 'id="palette-account"')
        assert len(options[user]) == len(set(options[user]))
    assert routes <= set(options[alice])
    of_admins = {one.path for one in MENU_PAGES + FURTHER_PAGES + FORM_PAGES if one.admins_only}
    assert routes - of_admins <= set(options[bob])
    assert of_admins.isdisjoint(options[bob])


async def test_the_palette_offers_a_member_only_pages_that_open(alice, bob) -> None:
    for user in (alice, bob):
        page = (await user.get("/activity")).text
        for path in list_paths(page, 'id="palette-list"', "</dialog>"):
            assert (await user.get(path)).status_code == 200, path


@pytest.mark.parametrize("part", ["", "/chat", "/notes", "/settings", "/policy"])
async def test_the_palette_has_the_pages_of_the_board_of_a_page(alice, world, part) -> None:
    board = f"/boards/{world.board.id}"
    paths = list_paths((await alice.get(f"{board}{part}")).text, 'id="palette-list"', "</dialog>")
    for other in ("chat", "notes", "feed", "webhooks", "trash", "settings", "policy", "tasks/new"):
        assert paths.count(f"{board}/{other}") == 1, other


async def test_the_palette_has_pages_of_admins_of_a_board_only_for_them(bob, rita, world) -> None:
    board = f"/boards/{world.board.id}"
    for user, may_write in ((bob, True), (rita, False)):
        paths = list_paths((await user.get(f"{board}/chat")).text, 'id="palette-list"', "</dialog>")
        assert f"{board}/webhooks" in paths
        assert not {f"{board}/settings", f"{board}/policy"} & set(paths)
        assert (f"{board}/tasks/new" in paths) is may_write


async def test_pages_below_a_page_of_the_menu_mark_it_as_current(alice) -> None:
    for path, current in (
        ("/tags", "/people"),
        ("/skills/packs", "/skills"),
        ("/boards", "/boards"),
    ):
        page = (await alice.get("/rail", headers={"HX-Current-URL": f"http://x{path}"})).text
        tabbar = page.partition('id="tabbar"')[2]
        assert re.findall(r'<a href="([^"]+)" aria-current="page"', tabbar) == [current]
