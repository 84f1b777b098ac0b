"""The boards of the sidebar are pinned, moved and collapsed by forms, with and without scripts."""

import re
from collections.abc import Mapping

import httpx2
import pytest

from models import Board
from services.sidebar import MAX_RECENT
from tests.support.board_rows import make_board

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "aside#rail"}


def list_section(page: str, section: str) -> list[str]:
    """Return the names of the boards in a section of the sidebar."""
    found = page.partition(f'<ul class="nav__list" id="rail-{section}"')[2].partition("</ul>")[0]
    return re.findall(r'<span class="trunc" dir="auto">(.*?)</span>', found)


async def load_rail(browser: httpx2.AsyncClient) -> str:
    return (await browser.get("/rail")).text


def board_ids(*boards: Board) -> dict[str, list[str]]:
    return {"board_ids": [str(board.id) for board in boards]}


async def test_boards_are_pinned_moved_and_unpinned_without_scripts(alice, world) -> None:
    page = {"Referer": "http://testserver/activity?kind=comments"}

    async def post(path: str, data: Mapping[str, object]) -> str:
        response = await alice.post(path, data=data, headers=page)
        assert response.status_code == 303, response.text
        return response.headers["Location"]

    shown = await post("/pins", board_ids(world.board, world.garden))
    assert shown == f"/activity?kind=comments#rail-row-{world.board.id}"
    assert list_section(await load_rail(alice), "pinned") == ["Launch", "Garden"]
    assert list_section(await load_rail(alice), "recent") == []
    await post("/pins/moves", {"down": str(world.board.id)})
    assert list_section(await load_rail(alice), "pinned") == ["Garden", "Launch"]
    await post("/pins/moves", {"up": str(world.board.id)})
    moved = {"board_id": str(world.garden.id), "before": str(world.board.id)}
    await post("/pins/moves", moved)
    assert list_section(await load_rail(alice), "pinned") == ["Garden", "Launch"]
    await post("/pins/moves", {"board_id": str(world.garden.id), "before": ""})
    assert list_section(await load_rail(alice), "pinned") == ["Launch", "Garden"]
    await post("/pins/endings", board_ids(world.garden))
    rail = await load_rail(alice)
    assert (list_section(rail, "pinned"), list_section(rail, "recent")) == (["Launch"], ["Garden"])


async def test_a_collapsed_section_still_says_what_waits(alice, transaction, world) -> None:
    async with transaction() as session:
        session.add_all(world.make_approval())
    for action, count in (("collapse", 0), ("expand", 2)):
        response = await alice.post("/rail/collapses", data={action: "recent"}, headers=HTMX)
        assert response.status_code == 200
        assert len(list_section(response.text, "recent")) == count
        heading = response.text.partition('id="rail-recent-title"')[2].partition("</h2>")[0]
        assert f'aria-expanded="{"true" if count else "false"}"' in heading
        assert ('data-n="1"' in heading) == (count == 0)
    nothing = await alice.post("/rail/collapses", data={"collapse": "agents"}, headers=HTMX)
    assert nothing.status_code == 422


async def test_opening_a_page_of_a_board_makes_it_recent(alice, transaction, world) -> None:
    boards = [make_board(f"Board {number}", world.tern) for number in range(MAX_RECENT + 2)]
    async with transaction() as session:
        session.add_all(boards)
    opened = boards[-1]
    part = {"HX-Request": "true", "HX-Request-Type": "partial"}
    for headers in (part, {"Sec-Purpose": "prefetch"}, {"Sec-Fetch-Dest": "image"}):
        await alice.get(f"/boards/{opened.id}", headers=headers)
        assert opened.name not in list_section(await load_rail(alice), "recent")
    assert (await alice.get(f"/boards/{opened.id}")).status_code == 200
    assert opened.name in list_section(await load_rail(alice), "recent")
    rail = await load_rail(alice)
    assert re.search(r">All boards</span><span class=\"count\">12</span>", rail)


async def test_an_update_of_the_sidebar_keeps_the_board_of_the_page(
    alice, bob, transaction, world
) -> None:
    boards = [make_board(f"Board {number}", world.tern) for number in range(MAX_RECENT + 2)]
    async with transaction() as session:
        session.add_all(boards)
    page = {**HTMX, "HX-Current-URL": f"http://testserver/boards/{boards[-1].id}/notes?q=x"}
    for updated in (
        await alice.get("/rail", headers=page),
        await alice.post("/pins/endings", data=board_ids(world.board), headers=page),
    ):
        shown = list_section(updated.text, "recent")
        assert boards[-1].name in shown
        assert len(shown) == MAX_RECENT
    assert list_section((await bob.get("/rail", headers=page)).text, "recent") == ["Launch"]
    alone = {"HX-Current-URL": page["HX-Current-URL"]}
    assert (await alice.get("/boards", headers=alone)).status_code == 200
    for address in ("/boards", "/boards/new", "/boards/x/notes", "//[", "/boards/" + "9" * 9_000):
        rail = await alice.get("/rail", headers={**HTMX, "HX-Current-URL": address})
        assert rail.status_code == 200, address


@pytest.mark.parametrize("path", ["/pins", "/pins/endings", "/pins/moves", "/rail/collapses"])
async def test_the_sidebar_of_nobody_cannot_be_changed(anonymous, world, path) -> None:
    response = await anonymous.post(path, data=board_ids(world.board))
    assert (response.status_code, response.headers["Location"][:8]) == (303, "/sign-in")


async def test_invalid_and_hidden_boards_are_refused(bob, charlie, world) -> None:
    garden = board_ids(world.garden)
    assert (await bob.post("/pins", data=garden, headers=HTMX)).status_code == 404
    assert (await charlie.post("/pins", data=garden)).status_code == 404
    move = {"up": str(world.garden.id)}
    assert (await bob.post("/pins/moves", data=move, headers=HTMX)).status_code == 404
    assert (await bob.post("/pins/endings", data=garden, headers=HTMX)).status_code == 200
    for data in ({}, {"board_ids": ["no id"]}, {"board_ids": [str(world.board.id)] * 51}):
        assert (await bob.post("/pins", data=data, headers=HTMX)).status_code == 422
    assert (await bob.post("/pins/moves", data={"up": "x"}, headers=HTMX)).status_code == 422
