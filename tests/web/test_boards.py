"""The list of boards, a new board, and the settings of a board."""

import html
import re

import httpx2
import pytest
from sqlalchemy import select

from models import Board
from tests.support.board_rows import make_board
from tests.support.gateway_rows import make_gateway, make_main_agent

HTMX = {"HX-Request": "true"}

NEW = {"name": "Release operations", "description": "Everything between a change and a customer."}


@pytest.fixture
def settings_of(world) -> str:
    return f"/boards/{world.board.id}/settings"


@pytest.fixture
def now_in_the_database(transaction):
    """Returns a board as it was committed, None if it is gone."""

    async def look(board: Board) -> Board | None:
        async with transaction() as session:
            return await session.scalar(select(Board).where(Board.id == board.id))

    return look


async def test_members_see_readable_boards(alice, bob, dana, charlie) -> None:
    of_alice, of_bob = (await alice.get("/boards")).text, (await bob.get("/boards")).text
    assert "Launch" in of_alice
    assert "Garden" in of_alice
    assert "Launch" in of_bob
    assert "Garden" not in of_bob
    assert "No boards yet." in (await dana.get("/boards")).text
    assert "Launch" not in (await charlie.get("/boards")).text


async def test_only_admins_can_create_boards(alice, bob) -> None:
    assert 'href="/boards/new">' in (await alice.get("/boards")).text
    assert 'href="/boards/new"' not in (await bob.get("/boards")).text
    assert (await bob.get("/boards/new")).status_code == 403
    assert (await bob.post("/boards", data=NEW)).status_code == 403


async def test_htmx_gets_only_the_list(alice) -> None:
    part = (await alice.get("/boards", headers=HTMX)).text
    assert "Launch" in part
    assert "<html" not in part


async def test_the_list_is_filtered_by_name_group_and_objective(alice, world, transaction) -> None:
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).objective = "Reach the MOON"
    found = (await alice.get("/boards?q=moon")).text
    assert f'id="board-{world.board.id}"' in found
    assert found.count('id="board-') == 1
    assert 'hx-get="/boards?q=moon" hx-trigger' in found
    nothing = (await alice.get("/boards", params={"q": "%_" * 900})).text
    assert "No matching boards." in nothing
    assert "No boards yet." not in nothing


@pytest.mark.parametrize("sort", ["name", "group", "tasks", "agents", "updated"])
async def test_the_list_is_sorted_in_both_directions(alice, sort, world) -> None:
    def order(page: str) -> list[str]:
        return re.findall(r'id="board-([^"]*)"', page)

    up, down = [(await alice.get(f"/boards?sort={sign}{sort}")).text for sign in ("", "-")]
    assert order(up) == order(down)[::-1] or sort != "name"
    assert sorted(order(up)) == sorted(order(down))
    assert up.count('aria-sort="ascending"') == 1
    assert down.count('aria-sort="descending"') == 1
    assert order((await alice.get("/boards?sort=invalid")).text)[-1] == str(world.board.id)


async def test_the_list_has_pages_of_fifty_boards_with_their_number(
    alice, bob, transaction, world
) -> None:
    boards = [make_board(f"Board {number:03}", world.tern) for number in range(118)]
    async with transaction() as session:
        session.add_all(boards)

    async def load(query: str = "", browser: httpx2.AsyncClient = alice) -> tuple[list[str], str]:
        page = (await browser.get(f"/boards{query}", headers=HTMX)).text
        found = re.findall(r'class="n" dir="auto" href="[^"]*">([^<]*)</a>', page)
        pager = page.partition('<nav class="pager"')[2]
        return found, pager.partition('<span class="num">')[2].partition("</span>")[0]

    first, position = await load()
    assert (first, position) == ([one.name for one in boards[:50]], "1 to 50 of 120")
    last, position = await load("?offset=100")
    assert (last[-3:], position) == (["Board 117", "Garden", "Launch"], "101 to 120 of 120")
    assert await load("?offset=90000") == (last, position)
    assert (await load("?sort=-name"))[0][:3] == ["Launch", "Garden", "Board 117"]
    found, position = await load("?q=board+1&offset=50")
    assert (len(found), position) == (18, "")
    assert await load(browser=bob) == (["Launch"], "")
    page = (await alice.get("/boards?q=board&sort=-updated&offset=50")).text
    assert 'id="boards-count">120</span>' in page
    assert 'href="/boards?q=board&amp;sort=-updated&amp;offset=100">Next</a>' in page
    assert 'hx-get="/boards?q=board&amp;sort=-updated&amp;offset=50"' in page


async def test_boards_of_the_list_are_pinned_together(alice, world) -> None:
    page = (await alice.get("/boards")).text
    ids = re.findall(r'name="board_ids" value="([^"]*)" form="pin-selected" data-pick', page)
    assert set(ids) == {str(world.board.id), str(world.garden.id)}
    rail = await alice.post("/pins", data={"board_ids": ids}, headers=HTMX)
    assert rail.headers["HX-Trigger"] == "boards"
    part = (await alice.get("/boards", headers=HTMX)).text
    assert part.count('form="unpin"') == part.count('aria-pressed="true"') == 2


async def test_a_new_board_has_the_selected_rules(alice, transaction) -> None:
    form = await alice.get("/boards/new")
    assert 'name="require_approval_for_done" value="true" checked' in form.text

    made = await alice.post(
        "/boards",
        data=NEW | {"objective": "Ship 2.4", "require_review_before_done": "true"},
    )

    assert made.status_code == 303
    async with transaction() as session:
        board = await session.scalar(select(Board).where(Board.name == NEW["name"]))
    assert made.headers["Location"] == f"/boards/{board.id}/onboarding"
    assert (board.objective, board.board_type) == ("Ship 2.4", "goal")
    assert board.require_review_before_done
    assert not board.require_approval_for_done


async def test_ongoing_work_is_not_asked_for_an_objective(alice, transaction) -> None:
    made = await alice.post("/boards", data=NEW)
    async with transaction() as session:
        board = await session.scalar(select(Board).where(Board.name == NEW["name"]))
    assert made.headers["Location"] == f"/boards/{board.id}"
    page = (await alice.get(f"/boards/{board.id}")).text
    assert "Setup incomplete." not in page
    assert "objective" not in page[page.index("<main") :]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": ""}, "Enter a name."),
        ({"name": "N" * 201}, "At most 200 characters."),
        ({"description": "a\0b"}, "It contains a character that cannot be stored."),
        ({"objective": "O" * 20_001}, "At most 20,000 characters."),
    ],
)
async def test_an_invalid_new_board_keeps_the_submitted_values(alice, wrong, sentence) -> None:
    page = await alice.post("/boards", data=NEW | wrong | {"only_lead_can_change_status": "true"})

    assert page.status_code == 422
    assert sentence in page.text
    assert 'name="only_lead_can_change_status" value="true" checked' in page.text
    assert 'name="require_approval_for_done" value="true">' in page.text
    if "description" not in wrong:
        assert NEW["description"] in page.text


async def test_each_settings_section_is_saved_separately(
    alice, world, settings_of, now_in_the_database
) -> None:
    about = {"section": "about", "name": "Lift-off", "slug": "", "description": "Up"}
    saved = await alice.post(settings_of, data=about)
    assert saved.status_code == 303
    assert saved.headers["Location"].startswith(f"{settings_of}?saved=")
    page = (await alice.get(saved.headers["Location"])).text
    assert "Saved " in page

    goal = {
        "section": "goal",
        "board_type": "goal",
        "objective": "Ten partners",
        "measure": ["Partners live", "", "Tickets"],
        "target": ["10", "", "0"],
        "target_date": "2027-01-31",
        "goal_confirmed": "on",
    }
    assert (await alice.post(settings_of, data=goal)).status_code == 303
    assert (
        await alice.post(settings_of, data={"section": "agents", "max_agents": "7"})
    ).status_code == 303

    board = await now_in_the_database(world.board)
    assert (board.name, board.slug, board.description) == ("Lift-off", "lift-off", "Up")
    assert board.success_metrics == {"Partners live": "10", "Tickets": "0"}
    assert f"{board.target_date:%Y-%m-%d %H:%M}" == "2027-01-31 00:00"
    assert (board.goal_confirmed, board.max_agents) == (True, 7)
    assert 'value="2027-01-31"' in (await alice.get(settings_of)).text


async def test_a_metric_that_is_not_text_keeps_its_type(
    alice, world, settings_of, transaction, now_in_the_database
) -> None:
    async with transaction() as session:
        world.board.success_metrics = {"Partners": 10, "Where": ["here"]}
        await session.merge(world.board)
    goal = {
        "section": "goal",
        "board_type": "general",
        "measure": ["Partners", "Where"],
        "target": ["10", "there"],
    }
    assert (await alice.post(settings_of, data=goal)).status_code == 303
    board = await now_in_the_database(world.board)
    assert board.success_metrics == {"Partners": 10, "Where": "there"}


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"section": "about", "name": "", "description": "kept"}, "Enter a name."),
        (
            {"section": "goal", "board_type": "goal", "objective": "kept"},
            "A goal needs measures",
        ),
        ({"section": "goal", "board_type": "x", "objective": "kept"}, ""),
        (
            {
                "section": "goal",
                "board_type": "general",
                "objective": "kept",
                "target_date": "99999-01-01",
            },
            "Write a date like 2026-12-24.",
        ),
        ({"section": "agents", "max_agents": "-1"}, "At least 0."),
        ({"section": "agents", "max_agents": "many"}, "Write a whole number."),
        ({"section": "agents", "max_agents": "9" * 400}, "At most 1,000."),
    ],
)
async def test_an_invalid_section_keeps_the_submitted_values(
    alice, world, settings_of, now_in_the_database, typed, sentence
) -> None:
    page = await alice.post(settings_of, data=typed)

    assert page.status_code == 422
    assert sentence in page.text
    assert typed.get("description", typed.get("objective", typed.get("max_agents"))) in page.text
    board = await now_in_the_database(world.board)
    assert (board.name, board.objective, board.max_agents) == ("Launch", None, 2)


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Los_Angeles"])
async def test_an_extreme_target_date_is_rejected_beside_its_field(
    alice, world, transaction, settings_of, day, zone
) -> None:
    async with transaction() as session:
        world.alice.timezone = zone
        await session.merge(world.alice)
    wanted = {"section": "goal", "board_type": "general", "objective": "x", "target_date": day}
    page = await alice.post(settings_of, data=wanted)
    assert page.status_code == 422
    assert "Choose a year from 2 to 9998." in page.text


async def test_a_rule_is_saved_when_it_is_switched(
    alice, world, settings_of, now_in_the_database
) -> None:
    switched = {"section": "rules", "comment_required_for_review": "true"}
    part = await alice.post(settings_of, data=switched, headers=HTMX)

    assert part.status_code == 200
    assert 'id="switches"' in part.text
    assert "Saved " in part.text
    assert (await now_in_the_database(world.board)).comment_required_for_review

    without_scripts = await alice.post(settings_of, data={"section": "rules"})
    assert without_scripts.status_code == 303
    assert not (await now_in_the_database(world.board)).comment_required_for_review


async def test_an_unknown_section_is_rejected(alice, settings_of) -> None:
    assert (await alice.post(settings_of, data={"section": "x"})).status_code == 422
    assert (await alice.post(settings_of, data={})).status_code == 422


async def test_a_board_is_deleted_after_its_name_is_typed(
    alice, world, now_in_the_database
) -> None:
    address = f"/boards/{world.board.id}/deletions"

    other = await alice.post(address, data={"confirmed_name": "Lunch"})
    assert other.status_code == 422
    assert "To delete the board, type its name: Launch" in other.text
    assert 'value="Lunch"' in other.text
    assert await now_in_the_database(world.board)

    gone = await alice.post(address, data={"confirmed_name": " Launch "})
    assert (gone.status_code, gone.headers["Location"]) == (303, "/boards")
    assert await now_in_the_database(world.board) is None


async def test_only_admins_change_settings(bob, rita, settings_of, world) -> None:
    for browser in (bob, rita):
        assert (await browser.get(settings_of)).status_code == 403
        about = {"section": "about", "name": "Mine", "description": "x"}
        assert (await browser.post(settings_of, data=about)).status_code == 403
        gone = f"/boards/{world.board.id}/deletions"
        assert (await browser.post(gone, data={"confirmed_name": "Launch"})).status_code == 403


async def test_admins_without_access_cannot_change_a_board(dana, settings_of) -> None:
    assert (await dana.get(settings_of)).status_code == 403


async def test_user_text_is_escaped(alice, world, transaction, settings_of) -> None:
    async with transaction() as session:
        world.board.name = "<script>alert(1)</script>"
        await session.merge(world.board)
    for path in ("/boards", settings_of):
        page = (await alice.get(path)).text
        assert world.board.name not in page
        assert html.escape(world.board.name, quote=False) in page


async def test_an_admin_sets_and_clears_the_gateway_of_a_board(
    alice, world, settings_of, transaction, now_in_the_database
) -> None:
    assert 'name="gateway_id"' not in (page := (await alice.get(settings_of)).text)
    assert "Run its agents on a gateway" in page
    ours, theirs = make_gateway(world.tern), make_gateway(world.plover, "Lighthouse")
    async with transaction() as session:
        session.add_all([ours, theirs])
        await session.flush()
        session.add_all([make_main_agent(ours)[0], make_main_agent(theirs)[0]])
    assert 'name="gateway_id" value=""' in (await alice.get(settings_of)).text

    typed = {"section": "agents", "max_agents": "2"}
    await alice.post(settings_of, data=typed | {"gateway_id": str(ours.id)})
    assert (await now_in_the_database(world.board)).gateway_id == ours.id
    assert f'name="gateway_id" value="{ours.id}"' in (await alice.get(settings_of)).text
    await alice.post(settings_of, data=typed)
    assert (await now_in_the_database(world.board)).gateway_id == ours.id
    refused = await alice.post(settings_of, data=typed | {"gateway_id": str(theirs.id)})
    assert refused.status_code == 422
    assert "There is no such gateway in this organization." in refused.text
    await alice.post(settings_of, data=typed | {"gateway_id": ""})
    assert (await now_in_the_database(world.board)).gateway_id is None


async def test_a_general_board_may_have_an_objective(
    alice, settings_of, world, now_in_the_database
) -> None:
    page = (await alice.get(settings_of)).text
    assert re.search(r'name="board_type" value="general" checked', page)
    for name in ("objective", "measure", "target_date"):
        assert f'name="{name}"' in page
    sent = {"section": "goal", "board_type": "general", "objective": "Keep it tidy"}
    assert (await alice.post(settings_of, data=sent)).status_code == 303
    stored = await now_in_the_database(world.board)
    assert (stored.board_type, stored.objective) == ("general", "Keep it tidy")
