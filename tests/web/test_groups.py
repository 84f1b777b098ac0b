"""The list of board groups, the page of a group, and the forms that change it."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Agent, Board, BoardGroup, Message, new_id
from tests.support.board_rows import make_board, make_task
from tests.support.memory_rows import create_group_of, make_board_group
from tests.support.people_rows import make_board_access
from tests.support.plain_browser import PlainPage
from tests.support.world import World

HTMX = {"HX-Request": "true"}
NEW = {"name": "Spring launch", "description": "All that goes out together."}

LoadBoards = Callable[[BoardGroup], Awaitable[set[str]]]


@pytest.fixture
async def group(world: World, transaction: TransactionFactory) -> BoardGroup:
    """Create the group Birds with Launch."""
    async with transaction() as session:
        return await create_group_of(session, world.board)


@pytest.fixture
def group_path(group: BoardGroup) -> str:
    return f"/groups/{group.id}"


@pytest.fixture
def load_boards(transaction: TransactionFactory) -> LoadBoards:
    """Return a function that returns the names of the boards of a group."""

    async def load(group: BoardGroup) -> set[str]:
        async with transaction() as session:
            query = select(Board.name).where(Board.board_group_id == group.id)
            return set(await session.scalars(query))

    return load


async def test_members_see_readable_groups_with_their_numbers(
    alice, bob, rita, dana, charlie, world, group, transaction
) -> None:
    async with transaction() as session:
        session.add(make_board_group(world.tern, "Empty", description="Nothing in it"))
        session.add_all([make_task(world.board, f"Task {n}") for n in range(2)])
        session.add(make_task(world.board, "Over", status="done"))
        await session.merge(world.board)
    page = (await alice.get("/groups")).text
    assert page.index("Birds") < page.index("Empty")
    assert "Nothing in it" in page
    assert "1 board<" in page
    assert "2 open tasks<" in page
    for browser in (bob, rita):
        page = (await browser.get("/groups")).text
        assert "Birds" in page
        assert "Empty" not in page
        assert 'href="/groups/new"' not in page
    assert "Empty" in (await dana.get("/groups")).text
    page = (await charlie.get("/groups")).text
    assert "No board groups yet." in page
    part = (await alice.get("/groups", headers=HTMX)).text
    assert "Birds" in part
    assert "<html" not in part


async def test_a_group_shows_its_boards_with_their_most_urgent_tasks(
    alice, bob, world, group_path, transaction
) -> None:
    async with transaction() as session:
        garden = await session.get_one(Board, world.garden.id)
        garden.board_group_id = (await session.scalars(select(BoardGroup.id))).one()
        session.add_all(
            [make_task(garden, f"Weed {n}", priority="high" if n > 2 else "low") for n in range(6)]
        )
        session.add(make_task(garden, "Sown", status="done"))
    page = (await alice.get(group_path)).text
    assert page.index("Garden") < page.index("Launch", page.index("Garden"))
    assert len(set(re.findall(r"Weed \d", page))) == 3
    assert "Weed 1" not in page
    assert "Sown" not in page
    assert "No open tasks." in page
    page = (await alice.get(f"{group_path}?tasks=10&done=1")).text
    assert len(set(re.findall(r"Weed \d", page))) == 6
    assert "Sown" in page
    part = (await alice.get(f"{group_path}?tasks=0", headers=HTMX)).text
    assert "<html" not in part
    assert "Weed" not in part
    for query in ("?tasks=4&done=x", "?tasks=-1", "?tasks=9999999999999999999999"):
        assert len(set(re.findall(r"Weed \d", (await alice.get(group_path + query)).text))) == 3
    page = (await bob.get(group_path)).text
    assert "Weed" not in page.split('id="group-boards"')[1]


async def test_a_group_without_boards_leads_to_the_form(dana, world, transaction) -> None:
    empty = make_board_group(world.tern, "Empty")
    async with transaction() as session:
        session.add(empty)
    page = (await dana.get(f"/groups/{empty.id}")).text
    assert "No boards in this group yet." in page
    assert f'href="/groups/{empty.id}/edit#boards"' in page


async def test_readers_see_a_group_without_forms(rita, bob, group_path) -> None:
    for browser in (rita, bob):
        page = (await browser.get(group_path)).text
        assert "Worker" in page
        assert "/heartbeats" not in page
        assert "/edit" not in page
        for path in ("/edit", "/new"):
            at = group_path + path if path == "/edit" else "/groups/new"
            assert (await browser.get(at)).status_code == 403
        for path, data in [("/heartbeats", {"interval": "5m"}), ("/edit", NEW), ("/deletions", {})]:
            assert (await browser.post(group_path + path, data=data)).status_code == 403, path
        assert (await browser.post("/groups", data=NEW)).status_code == 403


async def test_groups_of_others_are_not_found(
    charlie, dana, group, group_path, transaction
) -> None:
    for path in ("", "/agents", "/edit", "/heartbeats"):
        assert (await charlie.get(group_path + path)).status_code == 404, path
        assert (await dana.get(group_path + path)).status_code == 403, path
        assert (await dana.get(f"/groups/{new_id()}{path}")).status_code == 404, path
    for path, data in [("/heartbeats", {"interval": "5m"}), ("/edit", NEW), ("/deletions", {})]:
        assert (await charlie.post(group_path + path, data=data)).status_code == 404, path
        assert (await dana.post(group_path + path, data=data)).status_code == 403, path
    async with transaction() as session:
        assert (await session.get_one(BoardGroup, group.id)).name == "Birds"


async def test_an_admin_creates_a_group_with_boards(
    alice, dana, world, transaction, load_boards
) -> None:
    page = (await alice.get("/groups/new")).text
    assert "Launch" in page
    assert "Garden" in page
    made = await alice.post("/groups", data=NEW | {"board_ids": [str(world.garden.id)]})
    assert made.status_code == 303
    async with transaction() as session:
        group = (await session.scalars(select(BoardGroup))).one()
        messages = (await session.scalars(select(Message.content))).all()
    assert made.headers["Location"] == f"/groups/{group.id}"
    assert (group.name, group.description, group.slug) == (*NEW.values(), "spring-launch")
    assert await load_boards(group) == {"Garden"}
    assert any("Joined Board: Garden" in content for content in messages)
    assert (await dana.post("/groups", data={"name": "Bare"})).status_code == 303


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": ""}, "Enter a name."),
        ({"name": "N" * 201}, "At most 200 characters."),
        ({"description": "a\0b"}, "It contains a character that cannot be stored."),
        ({"description": "D" * 20_001}, "20,000"),
        ({"board_ids": ["x"]}, "Choose one of those that are offered."),
        ({"shown_board_ids": ["x"]}, "Choose one of those that are offered."),
        ({"board_ids": [str(new_id())]}, "Nothing was saved"),
        ({"name": "Birds"}, "There is already a group with this name."),
    ],
)
async def test_an_invalid_new_group_keeps_the_submitted_values(
    alice, world, group, transaction, wrong: dict[str, Any], words: str
) -> None:
    chosen = {"board_ids": [str(world.garden.id)]}
    page = await alice.post("/groups", data=NEW | chosen | wrong)
    assert page.status_code == (409 if wrong == {"name": "Birds"} else 422)
    assert words in page.text
    assert "description" in wrong or NEW["description"] in page.text
    if "board_ids" not in wrong:
        assert f'data-picked="{world.garden.id}"' in page.text
    async with transaction() as session:
        assert len((await session.scalars(select(BoardGroup))).all()) == 1


async def test_an_admin_changes_a_group_and_its_boards(
    alice, world, group, group_path, load_boards
) -> None:
    page = (await alice.get(f"{group_path}/edit")).text
    assert f'data-picked="{world.board.id}"' in page
    [shown] = re.findall(r'name="shown_board_ids" value="([^"]+)"', page)
    ids = {"shown_board_ids": [shown], "board_ids": [str(world.garden.id)]}
    saved = await alice.post(f"{group_path}/edit", data=NEW | ids)
    assert (saved.status_code, saved.headers["Location"]) == (303, group_path)
    assert await load_boards(group) == {"Garden"}
    assert NEW["description"] in (await alice.get(group_path)).text
    assert (await alice.post(f"{group_path}/edit", data={"name": "Fish"})).status_code == 303
    assert await load_boards(group) == {"Garden"}  # it was not in the form
    invalid = await alice.post(f"{group_path}/edit", data={"name": " ", "description": "kept"})
    assert invalid.status_code == 422
    assert "kept" in invalid.text


async def test_a_board_that_has_left_meanwhile_is_not_added_again(
    alice, world, group, group_path, transaction, load_boards
) -> None:
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).board_group_id = None
    ids = [str(world.board.id)]
    data = NEW | {"shown_board_ids": ids, "board_ids": [*ids, str(world.garden.id)]}
    assert (await alice.post(f"{group_path}/edit", data=data)).status_code == 303
    assert await load_boards(group) == {"Garden"}


async def test_the_form_says_which_boards_cannot_be_changed(
    alice, dana, world, transaction, load_boards
) -> None:
    async with transaction() as session:
        aviary = await create_group_of(session, world.garden, name="Aviary")
        empty = make_board_group(world.tern, "Empty")
        session.add(empty)
    options = (await alice.get("/pick/changeable-boards", headers=HTMX)).text
    assert re.findall(r'data-name="(\w+)".*?In the group (\w+)', options) == [("Garden", "Aviary")]
    page = await PlainPage(alice).open(f"/groups/{empty.id}/edit")
    assert "Now in the group" not in page.text
    await page.press("Add")
    await page.follow("Garden In the group Aviary")
    assert "Garden: Now in the group Aviary." in page.text
    ids = {"board_ids": [str(world.board.id), str(new_id()), str(world.charlies_board.id)]}
    page = await dana.post(f"/groups/{empty.id}/edit", data=NEW | ids)
    assert page.status_code == 422
    assert "Nothing was saved" in page.text
    ids["board_ids"].append(str(world.garden.id))
    page = await alice.post(f"/groups/{empty.id}/edit", data=NEW | ids)
    assert page.status_code == 422
    assert await load_boards(aviary) == {"Garden"}
    assert await load_boards(empty) == set()
    assert "Empty" in (await alice.get("/groups")).text


async def test_a_board_that_cannot_be_changed_is_named_and_stays(
    dana, world, group, group_path, transaction, load_boards
) -> None:
    own = make_board("Dock", world.tern, board_group_id=group.id)
    async with transaction() as session:
        session.add(own)
        member = await session.merge(world.dana_member)
        member.all_boards_read = True
        await session.flush()
        session.add(make_board_access(member, own, can_write=True))
    page = (await dana.get(f"{group_path}/edit")).text
    assert re.findall(r'data-picked="([^"]+)"', page) == [str(own.id)]
    assert "You can read this board but not change it." in page
    refused = await dana.post(
        f"{group_path}/edit", data=NEW | {"board_ids": [str(world.garden.id), str(own.id)]}
    )
    assert refused.status_code == 422
    assert "Nothing was saved" in refused.text
    assert refused.text.count('aria-invalid="true"') == 1
    assert f'data-picked="{own.id}"' in refused.text
    assert await load_boards(group) == {"Dock", "Launch"}
    ids = {"shown_board_ids": [str(own.id)], "board_ids": []}
    assert (await dana.post(f"{group_path}/edit", data=NEW | ids)).status_code == 303
    assert await load_boards(group) == {"Launch"}


async def test_deletion_names_the_group_and_keeps_its_boards(
    alice, group, group_path, transaction
) -> None:
    assert "<b>Delete Birds?</b>" in (await alice.get(f"{group_path}/edit")).text
    gone = await alice.post(f"{group_path}/deletions")
    assert (gone.status_code, gone.headers["Location"]) == (303, "/groups")
    async with transaction() as session:
        assert (await session.scalars(select(BoardGroup))).all() == []
        assert len((await session.scalars(select(Board).where(Board.name == "Launch"))).all()) == 1
    assert (await alice.get(group_path)).status_code == 404


@pytest.mark.parametrize(
    ("typed", "every", "words"),
    [
        ({"interval": "5m"}, "5m", "5 minutes"),
        ({"interval": "other", "number": "90", "unit": "s"}, "90s", "90 seconds"),
        ({"interval": "other", "number": "120", "unit": "m"}, "120m", "2 hours"),
        ({"interval": "1h", "number": "", "unit": "s"}, "1h", "1 hour"),
    ],
)
async def test_an_admin_sets_the_heartbeat_interval_of_the_agents(
    alice, group_path, transaction, world, typed, every, words
) -> None:
    async with transaction() as session:
        (await session.get_one(Agent, world.lead.id)).heartbeat_config = {"every": "30m"}
    chosen = re.compile(r'name="interval" value="(\w+)" checked')
    saved = await alice.post(f"{group_path}/heartbeats", data=typed)
    assert saved.headers["Location"] == f"{group_path}?updated=2#heartbeat"
    page = (await alice.get(saved.headers["Location"])).text
    assert "The interval of 2 agents is set." in page
    assert words in page.split('id="group-agents"')[1]
    assert chosen.findall(page) == ["10m"]  # not the one of some agents
    with_leads = typed | {"include_board_leads": "on"}
    saved = await alice.post(f"{group_path}/heartbeats", data=with_leads)
    assert saved.headers["Location"] == f"{group_path}?updated=3#heartbeat"
    page = (await alice.get(group_path)).text
    assert chosen.findall(page) == [every if every in ("5m", "1h") else "10m"]
    async with transaction() as session:
        query = select(Agent).where(Agent.name.in_(["Worker", "Other worker", "Lead"]))
        assert {(a.heartbeat_config or {})["every"] for a in await session.scalars(query)} == {
            every
        }


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({}, "Enter a value."),
        ({"interval": "4m"}, "Choose one of those that are offered."),
        ({"interval": "other"}, "Enter a value."),
        ({"interval": "other", "number": "0"}, "At least 1."),
        ({"interval": "other", "number": "1000"}, "At most 999."),
        ({"interval": "other", "number": "x"}, "Write a whole number."),
        (
            {"interval": "other", "number": "5", "unit": "d"},
            "Choose one of those that are offered.",
        ),
        ({"interval": "s"}, "Choose one of those that are offered."),
        ({"interval": "other", "number": "5", "unit": "5m"}, "Choose one of those that are"),
    ],
)
async def test_an_invalid_interval_is_rejected(
    alice, group_path, transaction, typed, words
) -> None:
    page = await alice.post(f"{group_path}/heartbeats", data=typed)
    assert page.status_code == 422
    assert words in page.text
    async with transaction() as session:
        assert set(await session.scalars(select(Agent.heartbeat_config))) == {None}


async def test_the_agents_are_listed_with_what_failed_on_their_gateways(
    alice, world, group_path, transaction
) -> None:
    async with transaction() as session:
        worker = await session.get_one(Agent, world.worker.id)
        worker.provision_failure = {
            "step": "x",
            "code": "x",
            "reason": "Disk <full>.",
            "command": "",
        }
        worker.heartbeat_config = {"every": "0m"}
    part = (await alice.get(f"{group_path}/agents", headers=HTMX)).text
    assert "<html" not in part
    assert "<b>Worker could not be updated on its gateway.</b> Disk &lt;full&gt;." in part
    assert "No heartbeat" in part
    assert "10 minutes" in part


async def test_the_group_of_a_board_is_changed_in_its_settings(
    alice, world, group, transaction
) -> None:
    settings = f"/boards/{world.garden.id}/settings"
    assert 'name="board_group_id" value=""' in (await alice.get(settings)).text
    assert group.name in (await alice.get("/pick/groups?name=board_group_id")).text
    about = {"section": "about", "name": "Garden", "description": "Green"}
    for typed, expected in [
        ({"board_group_id": str(group.id)}, group.id),
        ({}, group.id),
        ({"board_group_id": ""}, None),
    ]:
        assert (await alice.post(settings, data=about | typed)).status_code == 303
        async with transaction() as session:
            assert (await session.get_one(Board, world.garden.id)).board_group_id == expected
    refused = await alice.post(settings, data=about | {"board_group_id": str(new_id())})
    assert refused.status_code == 422
    assert "There is no such group" in refused.text


async def test_every_group_is_listed_and_can_be_chosen(alice, transaction, world) -> None:
    async with transaction() as session:
        session.add_all([make_board_group(world.tern, f"Group {n:03}") for n in range(201)])
    assert "Group 200" in (await alice.get("/groups")).text
    for page in ("/boards/new", "/dashboard"):
        assert 'href="/pick/groups?' in (text := (await alice.get(page)).text) or (
            'formaction="/pick/groups?' in text
        )
    assert "Group 200" in (await alice.get("/pick/groups?q=Group+200")).text
