"""The pages of the history of a task: every entry is on one of them, in order."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import NotFound
from models import Comment, Event, EventType, Task, new_id
from services import tasks
from services.tasks import HistoryPage, HistorySelection
from tests.support.statement_counter import count_statements
from tests.support.world import World

COMMENTS, LIMIT = 25, 4


@pytest.fixture
async def task(session: AsyncSession, world: World) -> Task:
    """A task with 25 comments, and three events at the time of each fifth comment."""
    task, start = world.make_task(), now()
    session.add(task)
    await session.flush()
    for number in range(COMMENTS):
        at = start + timedelta(seconds=number)
        session.add(build_comment(world, task, str(number), at))
        if number % 5 == 0:
            session.add_all(build_event(world, task, at) for _ in range(3))
    await session.flush()
    return task


def build_comment(world: World, task: Task, message: str, at: datetime) -> Comment:
    board_id = world.board.id
    return Comment(id=new_id(), board_id=board_id, task_id=task.id, message=message, created_at=at)


def build_event(world: World, task: Task, at: datetime) -> Event:
    place = {"organization_id": world.tern.id, "board_id": world.board.id, "task_id": task.id}
    return Event(id=new_id(), type=EventType.TASK_UPDATED, data={}, created_at=at, **place)


def list_ids(page: HistoryPage) -> list[UUID | None]:
    return [entry.id for entry in page.entries]


def list_messages(page: HistoryPage) -> list[str]:
    return [entry.comment.message for entry in page.entries if entry.comment]


@pytest.mark.parametrize(("comments_only", "total"), [(False, 40), (True, COMMENTS)])
async def test_every_entry_is_on_one_page(session, world, task, comments_only, total) -> None:
    everything = await tasks.list_history(
        session, world.board, task.id, HistorySelection(comments_only=comments_only)
    )
    ids, pages, before = list_ids(everything), [], None
    while True:
        selection = HistorySelection(before=before, comments_only=comments_only)
        page = await tasks.list_history(session, world.board, task.id, selection, limit=LIMIT)
        assert page.has_later == (before is not None)
        pages.insert(0, list_ids(page))
        if not page.has_earlier:
            break
        before = page.entries[0].id
    assert [id for page in pages for id in page] == ids
    assert len(ids) == total

    first = pages[0]
    for number in range(1, len(pages) - 1):  # forward again
        selection = HistorySelection(after=first[-1], comments_only=comments_only)
        page = await tasks.list_history(session, world.board, task.id, selection, limit=LIMIT)
        assert (page.has_earlier, page.has_later) == (True, True)
        first = list_ids(page)
        start = len(pages[0]) + (number - 1) * LIMIT
        assert first == ids[start : start + LIMIT]
    selection = HistorySelection(after=first[-1], comments_only=comments_only)
    last = await tasks.list_history(session, world.board, task.id, selection, limit=LIMIT)
    assert (list_ids(last), last.has_later) == (ids[-LIMIT:], False)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("0", ["0", "1", "2"]),
        ("12", ["11", "12", "13", "14"]),
        ("23", ["21", "22", "23", "24"]),
        ("24", ["21", "22", "23", "24"]),
    ],
)
async def test_a_page_is_around_a_comment(session, world, task, message, shown) -> None:
    everything = await tasks.list_history(session, world.board, task.id)
    [id] = [one.id for one in everything.entries if one.comment and one.comment.message == message]
    selection = HistorySelection(around=id, comments_only=True)
    page = await tasks.list_history(session, world.board, task.id, selection, limit=LIMIT)
    assert list_messages(page) == shown
    assert page.has_earlier == (shown[0] != "0")
    assert page.has_later == (shown[-1] != "24")


async def test_an_unknown_entry_selects_the_newest_page(session, world, task) -> None:
    other = world.make_task()
    session.add(other)
    await session.flush()
    session.add(foreign := build_comment(world, other, "Elsewhere", now()))
    await session.flush()
    newest = await tasks.list_history(session, world.board, task.id, limit=LIMIT)
    for id in (foreign.id, new_id()):
        for selection in (
            HistorySelection(id),
            HistorySelection(after=id),
            HistorySelection(around=id),
        ):
            page = await tasks.list_history(session, world.board, task.id, selection, limit=LIMIT)
            assert page == newest
    with pytest.raises(NotFound):
        await tasks.list_history(session, world.garden, task.id, HistorySelection(before=new_id()))


async def test_a_page_needs_two_more_statements_at_most(session, world, task) -> None:
    entries = (await tasks.list_history(session, world.board, task.id)).entries
    counts, id = [], entries[20].id
    for selection in (HistorySelection(), HistorySelection(id), HistorySelection(around=id)):
        with count_statements(await session.connection()) as statements:
            await tasks.list_history(session, world.board, task.id, selection, limit=LIMIT)
        counts.append(len(statements))
    assert counts == [2, 3, 4]
