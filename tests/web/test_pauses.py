"""Pausing the agents of a board on its page."""

import pytest
from sqlalchemy import select

from models import Board, Message, Note, Status
from tests.conftest import Transaction
from tests.web.test_board_page import HTMX
from tests.world import World


@pytest.fixture
def here(world: World) -> str:
    return f"/boards/{world.board.id}"


async def is_paused(transaction: Transaction, world: World) -> bool:
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id, populate_existing=True)
        return board.paused_at is not None


async def test_who_changes_a_board_pauses_its_agents_and_lets_them_go_on(
    alice, bob, here, transaction, world
) -> None:
    assert 'action="/boards' in (await bob.get(here)).text.split('id="pause"')[1]

    for page in ("/boards", "/activity"):
        assert "paused" not in (await alice.get(page)).text.lower(), page
    answer = await bob.post(f"{here}/pauses")

    assert (answer.status_code, answer.headers["Location"]) == (303, here)
    assert await is_paused(transaction, world)
    assert "Paused by you" in (await bob.get(here)).text
    shown = (await alice.get(here)).text
    assert "Paused by Bob" in shown
    assert 'id="pause" method="post" action' in shown
    assert 'data-open="pause-agents" aria-label' not in shown  # there is nothing more to pause
    assert f'action="{here}/pauses/endings"' in shown
    assert "<b>Paused" not in (await alice.get(f"/boards/{world.garden.id}")).text
    for page in ("/boards", "/activity"):
        assert "paused" in (await alice.get(page)).text.lower(), page

    answer = await alice.post(f"{here}/pauses/endings")

    assert answer.status_code == 303
    assert not await is_paused(transaction, world)
    assert "Paused by" not in (await alice.get(here)).text


async def test_without_a_new_page_the_banner_and_the_button_come_back(alice, here) -> None:
    for path in (f"{here}/pauses", f"{here}/pauses/endings"):
        answer = await alice.post(path, headers=HTMX)
        assert answer.status_code == 200
        assert "<html" not in answer.text
        assert 'id="paused"' in answer.text
        assert 'id="pause"' in answer.text
        assert ("Paused by you" in answer.text) == (not path.endswith("endings"))


async def test_the_agents_are_told_once(alice, bob, here, transaction, world) -> None:
    for browser, path in [(alice, "/pauses"), (bob, "/pauses"), (bob, "/pauses/endings")]:
        await browser.post(f"{here}{path}")
    async with transaction() as session:
        notes = (
            select(Note.content).where(Note.board_id == world.board.id).order_by(Note.created_at)
        )
        assert list(await session.scalars(notes)) == ["/pause", "/resume"]
        to_worker = select(Message.content).where(Message.agent_id == world.worker.id)
        assert sorted(await session.scalars(to_worker)) == ["/pause", "/resume"]


async def test_the_crew_says_that_it_is_paused(alice, here, transaction, world) -> None:
    task = world.task("Count the boats", status=Status.IN_PROGRESS)
    task.assigned_agent_id = world.worker.id
    async with transaction() as session:
        session.add(task)
    await alice.post(f"{here}/pauses")

    crew = (await alice.get(f"{here}/crew", headers=HTMX)).text

    assert "(paused)" in crew
    assert "Paused · Count the boats" in crew
    assert "checked in" not in crew


async def test_a_reader_is_told_and_cannot_change_it(alice, rita, here, transaction, world) -> None:
    assert "pause-agents" not in (await rita.get(here)).text
    assert (await rita.post(f"{here}/pauses")).status_code == 403
    assert not await is_paused(transaction, world)
    await alice.post(f"{here}/pauses")
    for page in (here, f"{here}/pauses"):
        shown = (await rita.get(page)).text
        assert "Paused by Alice" in shown
        assert "Resume" not in shown
    assert (await rita.post(f"{here}/pauses/endings")).status_code == 403
    assert await is_paused(transaction, world)


async def test_a_stranger_finds_nothing_to_pause(charlie, here, transaction, world) -> None:
    assert (await charlie.get(f"{here}/pauses")).status_code == 404
    for path in (f"{here}/pauses", f"{here}/pauses/endings"):
        assert (await charlie.post(path)).status_code == 404
    assert not await is_paused(transaction, world)
