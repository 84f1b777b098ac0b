"""The list of a board: its optional columns, the other boards of the group, and the agents."""

import re

from sqlalchemy import delete

from core.db.engine import TransactionFactory
from models import Agent, Board, Status
from tests.support.board_pages import keep
from tests.support.board_rows import make_task
from tests.support.memory_rows import create_group_of
from tests.support.statement_counter import count_all_statements
from tests.support.world import World


def read_row(page: str, title: str) -> list[str]:
    """Return the texts of the cells of a task, without the box that selects it."""
    [row] = [one for one in page.split("<tr id=")[1:] if title in one]
    cells = re.findall(r"<t[dh][ >].*?</t[dh]>", row.split("</tr>")[0], re.S)
    return [" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in cells][1:]


async def test_the_list_shows_descriptions_and_numbers_of_approvals(
    alice, board_path, transaction: TransactionFactory, world: World
) -> None:
    text = "# Plan\n\n**First** the <script>alert(1)</script> " + "long " * 200
    asked = world.make_task("Asked", description=text, status=Status.REVIEW)
    quiet = world.make_task("Quiet")
    await keep(transaction, asked, quiet)
    await keep(transaction, *world.make_approval(asked))
    await keep(transaction, *world.make_approval(asked, action_type="deploy"))
    query = "?view=list&columns=title&columns=description&columns=approvals"
    page = (await alice.get(f"{board_path}{query}")).text
    assert "<script>alert(1)" not in page
    title, description, approvals = read_row(page, "Asked")[:3]
    assert (title, approvals) == ("Asked", "2 pending approvals")
    assert description.startswith("Plan First the")
    assert description.endswith("long…")
    assert len(description) < 200
    assert read_row(page, "Quiet")[:3] == ["Quiet", "", ""]


async def test_the_list_names_the_other_boards_of_the_group(
    alice, bob, board_path, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        group = await create_group_of(session, world.board)
        garden = await session.get_one(Board, world.garden.id)
        garden.board_group_id = group.id
        tasks = [Status.INBOX, Status.INBOX, Status.REVIEW, Status.DONE]
        session.add_all([make_task(garden, status, status=status) for status in tasks])
    page = (await alice.get(f"{board_path}?view=list")).text
    part = page.split('id="related-boards"')[1].split("</section>")[0]
    text = " ".join(re.sub(r"<[^>]*>", " ", part).split())
    assert f"Other boards of {group.name}" in text
    assert "Garden 2 Inbox 0 In progress 1 Review" in text
    assert f'href="/boards/{garden.id}?view=list"' in part
    assert "Launch" not in part
    assert "related-boards" not in (await alice.get(board_path)).text
    with count_all_statements() as statements:
        await alice.get(f"{board_path}/columns?view=list")
    [statement] = [one for one in statements if "JOIN board_groups" in one]
    for table in ("agents", "agent_questions", "gateway_requests"):
        assert f"FROM {table}" not in statement
    hidden = (await bob.get(f"{board_path}?view=list")).text
    assert "related-boards" not in hidden  # Bob cannot read Garden


async def test_the_list_of_a_board_without_a_group_needs_no_more_statements(
    alice, board_path, transaction: TransactionFactory, world: World
) -> None:
    await keep(transaction, world.make_task("One"))

    async def count(query: str) -> int:
        await alice.get(f"{board_path}/columns{query}")
        with count_all_statements() as statements:
            assert (await alice.get(f"{board_path}/columns{query}")).status_code == 200
        return len(statements)

    assert await count("?view=list") <= await count("")


async def test_the_agents_of_a_board_are_links_and_the_lead_is_first(
    alice, bob, board_path, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        (await session.get_one(Agent, world.lead.id)).name = "Zoe"
        for agent in (world.lead, world.other_worker, world.worker):
            begun = {"status": Status.IN_PROGRESS, "assigned_agent_id": agent.id}
            session.add(world.make_task("Begun", **begun))
    for browser in (alice, bob):
        page = (await browser.get(board_path)).text
        shown = re.findall(
            r'class="crew__a" href="([^"]*)".*?<b class="trunc" dir="auto">([^<]*)<', page
        )
        assert shown == [
            (f"/agents/{world.lead.id}", "Zoe"),
            (f"/agents/{world.other_worker.id}", "Other worker"),
            (f"/agents/{world.worker.id}", "Worker"),
        ]


async def test_a_board_without_agents_offers_to_add_one(
    alice, rita, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        await session.execute(delete(Agent).where(Agent.board_id == world.board.id))
    path = f"/boards/{world.board.id}"
    assert f'href="/agents/new?board={world.board.id}"' in (await alice.get(path)).text
    page = (await rita.get(path)).text
    assert "/agents/new" not in page
    assert "No agents yet" in page
