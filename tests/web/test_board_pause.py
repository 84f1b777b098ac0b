"""Pausing a board on its page."""

from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Board, Message, Note, Status
from tests.support.world import World
from tests.web.test_board_page import HTMX


async def is_paused(transaction: TransactionFactory, world: World) -> bool:
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id, populate_existing=True)
        return board.paused_at is not None


async def test_members_who_can_change_a_board_pause_and_resume_it(
    alice, bob, board_path, transaction, world
) -> None:
    shown = (await bob.get(board_path)).text
    assert 'action="/boards' in shown.split('id="pause"')[1]
    assert "until you resume them. Messages to agents on a gateway wait." in shown

    for page in ("/boards", "/activity"):
        assert "paused" not in (await alice.get(page)).text.lower(), page
    answer = await bob.post(f"{board_path}/pauses")

    assert (answer.status_code, answer.headers["Location"]) == (303, board_path)
    assert await is_paused(transaction, world)
    shown = (await bob.get(board_path)).text
    assert "Paused by you" in shown
    assert "Messages to agents on a gateway wait until you resume." in shown
    shown = (await alice.get(board_path)).text
    assert "Paused by Bob" in shown
    assert 'id="pause" method="post" action' in shown
    assert 'data-open="pause-agents" aria-label' not in shown  # the board is already paused
    assert f'action="{board_path}/pauses/endings"' in shown
    assert "<b>Paused" not in (await alice.get(f"/boards/{world.garden.id}")).text
    for page in ("/boards", "/activity"):
        assert "paused" in (await alice.get(page)).text.lower(), page

    answer = await alice.post(f"{board_path}/pauses/endings")

    assert answer.status_code == 303
    assert not await is_paused(transaction, world)
    assert "Paused by" not in (await alice.get(board_path)).text


async def test_htmx_gets_the_pause_notice_and_button(alice, board_path) -> None:
    for path in (f"{board_path}/pauses", f"{board_path}/pauses/endings"):
        answer = await alice.post(path, headers=HTMX)
        assert answer.status_code == 200
        assert "<html" not in answer.text
        assert 'id="paused"' in answer.text
        assert 'id="pause"' in answer.text
        assert ("Paused by you" in answer.text) == (not path.endswith("endings"))


async def test_the_agents_are_notified_once(alice, bob, board_path, transaction, world) -> None:
    for browser, path in [(alice, "/pauses"), (bob, "/pauses"), (bob, "/pauses/endings")]:
        await browser.post(f"{board_path}{path}")
    async with transaction() as session:
        notes = (
            select(Note.content).where(Note.board_id == world.board.id).order_by(Note.created_at)
        )
        assert list(await session.scalars(notes)) == ["/pause", "/resume"]
        to_worker = select(Message.content).where(Message.agent_id == world.worker.id)
        assert sorted(await session.scalars(to_worker)) == ["/pause", "/resume"]


async def test_the_agents_panel_shows_the_pause(alice, board_path, transaction, world) -> None:
    task = world.make_task("Count the boats", status=Status.IN_PROGRESS)
    task.assigned_agent_id = world.worker.id
    async with transaction() as session:
        session.add(task)
    await alice.post(f"{board_path}/pauses")

    agents_part = (await alice.get(f"{board_path}/agents-panel", headers=HTMX)).text

    assert "(paused)" in agents_part
    assert "Paused · Count the boats" in agents_part
    assert "checked in" not in agents_part


async def test_readers_see_the_pause_but_cannot_change_it(
    alice, rita, board_path, transaction, world
) -> None:
    assert "pause-agents" not in (await rita.get(board_path)).text
    assert (await rita.post(f"{board_path}/pauses")).status_code == 403
    assert not await is_paused(transaction, world)
    await alice.post(f"{board_path}/pauses")
    for page in (board_path, f"{board_path}/pauses"):
        shown = (await rita.get(page)).text
        assert "Paused by Alice" in shown
        assert "Resume" not in shown
    assert (await rita.post(f"{board_path}/pauses/endings")).status_code == 403
    assert await is_paused(transaction, world)
