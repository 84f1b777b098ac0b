"""Unread marks: a dot on boards and tasks, and a line above the first unread comment."""

import re
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Actor, Board, ReadMarker, Task
from services import boards, tasks
from tests.support.board_rows import make_task
from tests.support.world import World
from web.boards import views

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "aside#drawer"}
LINE = '<li class="unseen" id="new">New since your last visit</li>'

Comments = Callable[..., Awaitable[None]]


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    made = world.make_task()
    async with transaction() as session:
        session.add(made)
    return made


@pytest.fixture
def task_path(world: World, task: Task) -> str:
    """Return the path of the task."""
    return f"/boards/{world.board.id}/tasks/{task.id}"


@pytest.fixture
def comments(transaction: TransactionFactory, world: World, task: Task) -> Comments:
    """Return a function that adds a comment to the task, or to another one."""

    async def comment(words: str, who: Actor | None = None, about: Task | None = None) -> None:
        async with transaction() as session:
            actor, on = who or world.worker, about or task
            board = await boards.lock_board(session, actor, on.board_id)
            await tasks.create_comment(session, actor, board, on.id, words)

    return comment


def is_unread_in_sidebar(page: str, board: Board) -> bool:
    """Return whether the sidebar marks a board as unread."""
    found = re.search(rf'id="rail-board-{board.id}"([^>]*)>(.*?)</a>', page)
    assert found
    assert ("data-unread" in found[1]) == ("(new)" in found[2]) == ('class="unread"' in found[2])
    return "data-unread" in found[1]


def is_unread_in_list(page: str, board: Board) -> bool:
    found = re.search(rf'<tr data-item id="board-{board.id}"([^>]*)>', page)
    assert found
    return "data-unread" in found[1]


def on_card(page: str, task: Task) -> bool:
    found = re.search(rf'id="task-{task.id}"([^>]*)>', page)
    assert found
    return "data-unread" in found[1]


async def test_a_board_is_unread_after_a_comment_until_it_is_opened(alice, comments, world) -> None:
    board_path = f"/boards/{world.board.id}"
    assert not is_unread_in_sidebar((await alice.get("/boards")).text, world.board)
    await comments("Half of it is written.")
    page = (await alice.get("/boards")).text
    assert is_unread_in_sidebar(page, world.board)
    assert is_unread_in_list(page, world.board)
    assert not is_unread_in_sidebar(page, world.garden)
    assert not is_unread_in_sidebar(
        (await alice.get(board_path)).text, world.board
    )  # the open board is not marked as unread
    page = (await alice.get("/boards")).text
    assert not is_unread_in_sidebar(page, world.board)
    assert not is_unread_in_list(page, world.board)
    await comments("All of it is.")
    assert is_unread_in_sidebar((await alice.get("/rail")).text, world.board)


async def test_own_and_read_comments_do_not_mark_a_board(
    alice, bob, comments, task_path, world
) -> None:
    await comments("I begin.", world.bob)
    assert not is_unread_in_sidebar((await bob.get("/rail")).text, world.board)
    assert is_unread_in_sidebar((await alice.get("/rail")).text, world.board)
    assert (await alice.get(task_path)).status_code == 200
    assert not is_unread_in_sidebar((await alice.get("/rail")).text, world.board)


async def test_unread_marks_are_only_for_members_with_access(
    bob, charlie, comments, transaction, world
) -> None:
    hidden = make_task(world.garden, "Plant")
    async with transaction() as session:
        session.add(hidden)
    await comments("It rains.", world.gardener, about=hidden)
    for browser in (bob, charlie):
        page = (await browser.get("/boards")).text
        assert "data-unread" not in page
        assert str(world.garden.id) not in page


async def test_a_task_is_unread_until_its_conversation_is_opened(
    alice, comments, task, task_path, world
) -> None:
    board_path = f"/boards/{world.board.id}"
    await comments("Half of it is written.")
    for view in (
        board_path,
        f"{board_path}?view=list",
        board_path,
    ):  # opening the board does not mark the task as read
        assert on_card((await alice.get(view)).text, task)
    opened = await alice.get(task_path, headers=HTMX)
    assert opened.headers["HX-Trigger"] == "tasks"  # refreshes the board
    assert not on_card((await alice.get(board_path)).text, task)
    assert "HX-Trigger" not in (await alice.get(task_path, headers=HTMX)).headers


async def test_a_line_marks_the_first_unread_comment(alice, comments, task_path) -> None:
    await comments("One.")
    first = (await alice.get(task_path)).text
    assert LINE not in first  # on the first visit nothing is marked as new
    await comments("Two.")
    await comments("Three.")
    page = (await alice.get(task_path)).text
    assert page.count(LINE) == 1
    assert (
        page.index("<p>One.") < page.index(LINE) < page.index("<p>Two.") < page.index("<p>Three.")
    )
    assert LINE not in (await alice.get(task_path)).text  # the comments were read


async def test_the_line_stays_while_the_page_is_open(
    alice, bob, comments, task_path, world
) -> None:
    await comments("One.")
    await alice.get(task_path)
    await comments("Two.")
    page = (await alice.get(task_path)).text
    found = re.search(r'hx-get="(/boards/[^"]*/conversation\?since=\d+)"', page)
    assert found
    await comments("Three.")
    part = await alice.get(found[1], headers=HTMX)
    assert part.headers["HX-Trigger"] == "tasks"
    assert part.text.index("<p>One.") < part.text.index(LINE) < part.text.index("<p>Two.")
    again = await alice.get(found[1], headers=HTMX)
    assert LINE in again.text
    assert "HX-Trigger" not in again.headers
    only = await alice.get(f"{found[1]}&show=comments", headers=HTMX)
    assert LINE in only.text


async def test_own_comments_are_not_marked_as_unread(alice, comments, task_path, world) -> None:
    await comments("One.")
    await alice.get(task_path)
    await comments("Two.", world.alice)
    assert LINE not in (await alice.get(task_path)).text


@pytest.mark.parametrize("since", ["nonsense", "-1", "99999999999999999999", "0"])
async def test_invalid_parameters_show_the_conversation(alice, comments, task_path, since) -> None:
    await comments("One.")
    assert "<p>One." in (await alice.get(f"{task_path}?since={since}")).text


async def read_marker(transaction: TransactionFactory, world: World) -> ReadMarker | None:
    """Return how far Alice has seen the board."""
    async with transaction() as session:
        query = select(ReadMarker).where(
            ReadMarker.user_id == world.alice.id,
            ReadMarker.board_id == world.board.id,
            ReadMarker.task_id.is_(None),
        )
        return await session.scalar(query)


async def test_showing_a_board_records_only_unread_comments(
    alice, comments, transaction, task, world
) -> None:
    path = f"/boards/{world.board.id}"
    parts = {f"{path}/columns": HTMX, f"{path}/cards/{task.id}": HTMX, path: {}}
    for part, headers in parts.items():
        await alice.get(part, headers=headers)
    assert await read_marker(transaction, world) is None
    seen_seq = 0
    for part, headers in parts.items():
        await comments("Half of it is written.")
        await alice.get(part, headers=headers)
        shown = await read_marker(transaction, world)
        assert shown
        assert shown.seen_seq > seen_seq
        seen_seq = shown.seen_seq


@pytest.mark.parametrize("part", ["", "/columns"])
async def test_a_comment_that_arrives_while_a_board_is_loaded_stays_unread(
    alice, comments, world, monkeypatch, part
) -> None:
    await comments("Shown")
    load = views.load_board

    async def load_and_comment(*arguments, **options):
        loaded = await load(*arguments, **options)
        await comments("Not shown")
        return loaded

    with monkeypatch.context() as slow:
        slow.setattr(views, "load_board", load_and_comment)
        await alice.get(f"/boards/{world.board.id}{part}", headers=HTMX if part else {})
    assert is_unread_in_list((await alice.get("/boards")).text, world.board)
