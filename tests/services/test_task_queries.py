"""Task queries: lists, board columns, details and history."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from core.clock import now
from core.paging import Paging
from models import ApprovalStatus, Status, Tag, TagAssignment, Task, TaskDependency, new_id
from services import boards, tasks
from services.tasks import BoardFilters
from tests.support.statement_counter import count_statements

INBOX, IN_PROGRESS, REVIEW, DONE = Status


async def add_tasks(session, world, *titles, **fields):
    made = [world.make_task(title, **fields) for title in titles]
    session.add_all(made)
    await session.flush()
    return made


async def add_dependencies(session, world, task, *others):
    for other in others:
        common = {"board_id": world.board.id, "created_at": now()}
        session.add(TaskDependency(task=task, depends_on=other, **common))
    await session.flush()


def titles_of(found):
    return [one.task.title for one in found]


async def test_tasks_are_listed_newest_first_and_filters_combine(session, world) -> None:
    await add_tasks(session, world, "1", status=DONE)
    await add_tasks(session, world, "2", "3", status=DONE, assigned_agent_id=world.worker.id)
    await add_tasks(session, world, "4", status=REVIEW, assigned_agent_id=world.worker.id)
    session.add(Task(board_id=world.garden.id, title="E", created_at=now(), updated_at=now()))

    async def listed(paging=None, **filters):
        page = await tasks.list_tasks(session, world.board, paging or Paging(), **filters)
        return titles_of(page.items), page.total

    assert await listed() == (["4", "3", "2", "1"], 4)
    assert await listed(Paging(limit=1, offset=1)) == (["3"], 4)
    assert await listed(Paging(offset=4)) == ([], 4)
    assert await listed(statuses=[DONE, INBOX]) == (["3", "2", "1"], 3)
    assert await listed(assigned_agent_id=world.worker.id, statuses=[DONE]) == (["3", "2"], 2)
    assert await listed(unassigned=True) == (["1"], 1)


async def test_listing_tasks_with_all_details_takes_one_statement(session, world) -> None:
    many = await add_tasks(session, world, *map(str, range(20)), assigned_agent_id=world.worker.id)
    tag = {"organization_id": world.tern.id, "created_at": now(), "updated_at": now()}
    red, blue = Tag(name="Red", slug="red", **tag), Tag(name="Blue", slug="blue", **tag)
    for task in many[1:]:
        await add_dependencies(session, world, task, many[0])
        session.add_all(TagAssignment(task=task, tag=one, created_at=now()) for one in (red, blue))
        session.add_all(world.make_approval(task))
        session.add_all(world.make_approval(many[0], task, status=ApprovalStatus.APPROVED))
    await session.flush()
    session.expunge_all()
    with count_statements(await session.connection()) as statements:
        page = await tasks.list_tasks(session, world.board, Paging())
        first, *_, last = page.items
        assert first.blocked_by_task_ids == [last.task.id]
        assert first.assignee is not None
        assert first.assignee.name == "Worker"
        assert [tag.slug for tag in first.tags] == ["red", "blue"]
        assert (first.approvals_count, first.approvals_pending_count) == (2, 1)
        assert (last.approvals_count, last.approvals_pending_count) == (19, 0)
        assert len(last.unblocks) == 19
    assert len(statements) == 1


async def test_an_approval_without_links_counts_for_its_primary_task(session, world) -> None:
    [task] = await add_tasks(session, world, "1")
    approval, *_ = world.make_approval(task)
    session.add(approval)
    await session.flush()
    found = await tasks.get_task_detail(session, world.board, task.id)
    assert (found.approvals_count, found.approvals_pending_count) == (1, 1)


async def test_a_move_by_an_agent_takes_seven_statements(session, world) -> None:
    """The second loads the agent again after the lock of the board; one checks for a stop."""
    [task] = await add_tasks(session, world, "1")
    with count_statements(await session.connection()) as statements:
        board = await boards.lock_board(session, world.worker, world.board.id)
        await tasks.update_task(session, world.worker, board, task.id, {"status": "in_progress"})
    assert len(statements) == 7


async def test_board_columns_show_the_newest_cards_first(session, world) -> None:
    early, late = await add_tasks(session, world, "early", "late")
    started, *_ = await add_tasks(session, world, "begun", status=IN_PROGRESS)
    last, first = await add_tasks(session, world, "last", "first", status=DONE)
    last.done_at, first.done_at = now(), now() - timedelta(days=1)
    columns = await tasks.list_board_columns(session, world.alice, world.board)
    assert [(column.status, titles_of(column.cards), column.total) for column in columns] == [
        (INBOX, ["late", "early"], 2),
        (IN_PROGRESS, ["begun"], 1),
        (REVIEW, [], 0),
        (DONE, ["last", "first"], 2),
    ]
    early.priority, late.priority = "high", "low"
    columns = await tasks.list_board_columns(
        session, world.alice, world.board, BoardFilters(by_priority=True)
    )
    assert titles_of(columns[0].cards) == ["early", "late"]
    assert titles_of(columns[1].cards) == [started.title]


async def test_the_done_column_shows_the_fifty_newest_cards(session, world) -> None:
    moment = now()
    done = [
        {"id": new_id(), "board_id": world.board.id, "title": str(n), "status": DONE}
        | {"created_at": moment, "updated_at": moment, "done_at": moment + timedelta(seconds=n)}
        for n in range(60)
    ]
    await session.execute(insert(Task), done)
    with count_statements(await session.connection()) as statements:
        *_, column = await tasks.list_board_columns(session, world.alice, world.board)
    assert len(statements) == 2
    assert (len(column.cards), column.total) == (50, 60)
    assert titles_of(column.cards) == [str(n) for n in range(59, 9, -1)]

    await session.execute(update(Task).where(Task.title == "0").values(priority="high"))
    urgent = BoardFilters(by_priority=True)
    *_, column = await tasks.list_board_columns(session, world.alice, world.board, urgent)
    assert titles_of(column.cards) == ["0"] + [str(n) for n in range(59, 10, -1)]


@pytest.mark.parametrize(
    ("filters", "titles"),
    [
        ({"q": "SHIP part"}, ["Ship the 100% part"]),
        ({"q": "0%"}, ["Ship the 100% part"]),
        ({"q": "_"}, []),
        ({"q": "hidden"}, ["Write"]),
        ({"q": "\0\ud800"}, ["Write", "Ship the 100% part", "Wait"]),
        ({"tag": "red"}, ["Write"]),
        ({"tag": "r\0ed"}, []),
        ({"priority": "high"}, ["Ship the 100% part"]),
        ({"needs_approval": True}, ["Wait"]),
        ({"blocked": True}, ["Wait"]),
        ({"blocked": True, "unassigned": True}, []),
        ({"unassigned": True, "q": "w"}, ["Write"]),
    ],
)
async def test_board_filters_combine(session, world, filters, titles) -> None:
    wait_, ship = await add_tasks(session, world, "Wait", "Ship the 100% part")
    [write] = await add_tasks(session, world, "Write", description="A hidden thing")
    wait_.assigned_agent_id, ship.priority = world.worker.id, "high"
    tag = {"organization_id": world.tern.id, "created_at": now(), "updated_at": now()}
    red = Tag(name="Red", slug="red", **tag)
    session.add(TagAssignment(task=write, tag=red, created_at=now()))
    session.add_all(world.make_approval(wait_))
    session.add_all(world.make_approval(ship, status=ApprovalStatus.REJECTED))
    await add_dependencies(session, world, wait_, ship)
    inbox, *_ = await tasks.list_board_columns(
        session, world.alice, world.board, BoardFilters(**filters)
    )
    assert titles_of(inbox.cards) == titles
    assert inbox.total == len(titles)
    by_agent = BoardFilters(agent=world.worker.id)
    inbox, *_ = await tasks.list_board_columns(session, world.alice, world.board, by_agent)
    assert titles_of(inbox.cards) == ["Wait"]


async def test_history_lists_comments_and_events_oldest_first(session, world) -> None:
    draft = tasks.TaskDraft(title="Write")
    task = (await tasks.create_task(session, world.alice, world.board, draft)).task
    [other] = await add_tasks(session, world, "Other")
    for actor, changes in [
        (world.alice, {"assigned_agent_id": world.worker.id}),
        (world.worker, {"status": "in_progress", "comment": "Going."}),
        (world.alice, {"depends_on_task_ids": [other.id], "priority": "high"}),
    ]:
        await tasks.update_task(session, actor, world.board, task.id, changes)
    entries = await tasks.list_history(session, world.board, task.id)
    summary = [
        (one.event_type, one.author_name, [tuple(change) for change in one.changes])
        for one in entries
    ]
    assert summary == [
        ("task.created", "Alice", []),
        ("task.updated", "Alice", [("assigned_agent_id", None, "Worker")]),
        ("task.comment", "Worker", []),
        ("task.status_changed", "Worker", []),
        (
            "task.updated",
            "Alice",
            [("priority", "medium", "high"), ("depends_on_task_ids", [], ["Other"])],
        ),
    ]
    newest = await tasks.list_history(session, world.board, task.id, limit=1)
    assert [one.event_type for one in newest] == ["task.updated"]
