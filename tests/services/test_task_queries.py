"""Task queries: lists, board columns, details and history."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from core.clock import now
from core.paging import Paging
from models import ApprovalStatus, Status, Tag, TagAssignment, Task, TaskDependency, new_id
from services import boards, tasks
from services.tasks import BoardFilters, BoardOrder, TaskNeighbors
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
    return [one.title for one in found]


async def test_tasks_are_listed_newest_first_and_filters_combine(session, world) -> None:
    await add_tasks(session, world, "1", status=DONE)
    await add_tasks(session, world, "2", "3", status=DONE, assigned_agent_id=world.worker.id)
    await add_tasks(session, world, "4", status=REVIEW, assigned_agent_id=world.worker.id)
    session.add(Task(board_id=world.garden.id, title="E", created_at=now(), updated_at=now()))

    async def listed(paging=None, **filters):
        page = await tasks.list_tasks(session, world.board, paging or Paging(), **filters)
        return [one.title for one in page.items], page.total

    assert await listed() == (["4", "3", "2", "1"], 4)
    assert await listed(Paging(limit=1, offset=1)) == (["3"], 4)
    assert await listed(Paging(offset=4)) == ([], 4)
    assert await listed(statuses=[DONE, INBOX]) == (["3", "2", "1"], 3)
    assert await listed(assigned_agent_id=world.worker.id, statuses=[DONE]) == (["3", "2"], 2)
    assert await listed(unassigned=True) == (["1"], 1)


async def test_the_related_data_of_tasks_is_selected_in_one_statement(session, world) -> None:
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
        assert page.items[0].depends_on == [(str(many[0].id), INBOX)]
        assert [slug for _, _, slug, _ in page.items[0].tags] == ["red", "blue"]
    assert len(statements) == 1
    with count_statements(await session.connection()) as statements:
        details = await tasks.load_task_details(session, world.board, [one.id for one in many])
        first, last = details[many[-1].id], details[many[0].id]
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
        await tasks.update_task(
            session, world.worker, board, task.id, tasks.TaskUpdate.of(status="in_progress")
        )
    assert len(statements) == 7


async def test_board_columns_show_the_last_that_entered_first(session, world) -> None:
    early, late = await add_tasks(session, world, "early", "late")
    await add_tasks(session, world, "begun", status=IN_PROGRESS)
    for task in (late, early):
        await tasks.update_task(
            session, world.alice, world.board, task.id, tasks.TaskUpdate.of(status="review")
        )
    columns = await tasks.list_board_columns(session, world.board)
    assert [(column.status, titles_of(column.cards), column.total) for column in columns] == [
        (INBOX, [], 0),
        (IN_PROGRESS, ["begun"], 1),
        (REVIEW, ["early", "late"], 2),
        (DONE, [], 0),
    ]


async def test_a_column_of_a_thousand_cards_is_read_in_parts(session, world) -> None:
    moment = now()
    ids = [new_id() for _ in range(1_000)]
    many = [
        {"id": ids[n], "board_id": world.board.id, "title": str(n), "status": DONE}
        | {"created_at": moment + timedelta(seconds=n), "updated_at": moment}
        for n in range(1_000)
    ]
    await session.execute(insert(Task), many)
    with count_statements(await session.connection()) as statements:
        *_, column = await tasks.list_board_columns(session, world.board)
    assert len(statements) == 2
    assert (len(column.cards), column.total) == (50, 1_000)
    assert titles_of(column.cards) == [str(n) for n in range(999, 949, -1)]
    *_, column = await tasks.list_board_columns(session, world.board, limits={DONE: 1_600})
    assert titles_of(column.cards) == [str(n) for n in range(999, -1, -1)]

    urgent = ids[0]
    await session.execute(update(Task).where(Task.id == urgent).values(priority="high"))
    order = BoardOrder("priority")
    *_, column = await tasks.list_board_columns(session, world.board, None, order)
    assert titles_of(column.cards) == ["0"] + [str(n) for n in range(999, 950, -1)]
    shown = (BoardFilters(), BoardOrder())
    task = await session.get_one(Task, urgent)
    found = await tasks.find_neighbors(session, world.board, task, *shown)
    assert found == TaskNeighbors(ids[1], None)
    assert await tasks.count_tasks_before(session, world.board, urgent, *shown) == 999


@pytest.mark.parametrize(
    ("key", "titles"),
    [
        ("title", ["a", "B", "c"]),
        ("priority", ["c", "a", "B"]),
        ("due", ["B", "c", "a"]),
        ("updated", ["a", "c", "B"]),
        ("created", ["c", "B", "a"]),
        ("assignee", ["B", "c", "a"]),
    ],
)
async def test_the_columns_are_sorted_by_what_is_asked_for(session, world, key, titles) -> None:
    a, b, c = await add_tasks(session, world, "a", "B", "c")
    for days, task in enumerate((a, b, c)):
        task.created_at = now() - timedelta(days=9 - days)
    c.priority, b.priority, a.updated_at = "high", "low", now() + timedelta(days=1)
    b.due_at, c.due_at = now(), now() + timedelta(days=1)
    b.updated_at = now() - timedelta(days=1)
    b.assigned_agent_id, c.assigned_agent_id = world.other_worker.id, world.worker.id
    await session.flush()
    inbox, *_ = await tasks.list_board_columns(session, world.board, None, BoardOrder(key))
    assert titles_of(inbox.cards) == titles
    order = BoardOrder(key, is_reversed=True)
    inbox, *_ = await tasks.list_board_columns(session, world.board, None, order)
    without_value = {"due": "a", "assignee": "a"}.get(key)  # still last
    reverse = [one for one in titles[::-1] if one != without_value]
    assert titles_of(inbox.cards) == reverse + [one for one in titles if one == without_value]


async def test_review_starts_with_decisions_and_ends_with_blocked_tasks(session, world) -> None:
    asked, quiet, blocked = await add_tasks(session, world, "asked", "quiet", "b", status=REVIEW)
    [first] = await add_tasks(session, world, "first")
    await add_dependencies(session, world, blocked, first)
    session.add_all(world.make_approval(asked))
    await session.flush()
    order = BoardOrder(in_sections=True)
    _, _, review, _ = await tasks.list_board_columns(session, world.board, None, order)
    assert titles_of(review.cards) == ["asked", "quiet", "b"]
    assert await tasks.BLOCKED_COUNT.first(session, board_id=world.board.id) == 1
    found = await tasks.find_neighbors(session, world.board, quiet, BoardFilters(), order)
    assert found == TaskNeighbors(asked.id, blocked.id)
    before = await tasks.count_tasks_before(session, world.board, quiet.id, BoardFilters(), order)
    assert before == 1


@pytest.mark.parametrize(
    ("filters", "titles"),
    [
        ({"q": "SHIP part"}, ["Ship the 100% part"]),
        ({"q": "0%"}, ["Ship the 100% part"]),
        ({"q": "_"}, []),
        ({"q": "hidden"}, ["Write"]),
        ({"q": "\0\ud800"}, ["Write", "Ship the 100% part", "Wait"]),
        ({"tags": ("red",)}, ["Write"]),
        ({"tags": ("r\0ed", "red")}, ["Write"]),
        ({"tags": ("r\0ed",)}, []),
        ({"not_tags": ("red", "\ud800")}, ["Ship the 100% part", "Wait"]),
        ({"not_tags": ("red",), "not_unassigned": True}, ["Wait"]),
        ({"priorities": ("high",)}, ["Ship the 100% part"]),
        ({"priorities": ("high", "medium")}, ["Write", "Ship the 100% part", "Wait"]),
        ({"statuses": (Status.INBOX,), "q": "0%"}, ["Ship the 100% part"]),
        ({"statuses": (Status.DONE, Status.REVIEW)}, []),
        ({"approver": "alice"}, ["Wait"]),
        ({"approver": "rita"}, []),
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
    if name := filters.get("approver"):  # only Alice may change the board
        filters = filters | {"approver": getattr(world, name).id}
    inbox, *_ = await tasks.list_board_columns(session, world.board, BoardFilters(**filters))
    assert titles_of(inbox.cards) == titles
    assert inbox.total == len(titles)
    by_agent = BoardFilters(assignees=(world.worker.id,))
    inbox, *_ = await tasks.list_board_columns(session, world.board, by_agent)
    assert titles_of(inbox.cards) == ["Wait"]
    by_agent = BoardFilters(assignees=(world.worker.id, world.bob.id), unassigned=True)
    inbox, *_ = await tasks.list_board_columns(session, world.board, by_agent)
    assert titles_of(inbox.cards) == ["Write", "Ship the 100% part", "Wait"]
    by_others = BoardFilters(not_assignees=(world.worker.id, world.bob.id))
    inbox, *_ = await tasks.list_board_columns(session, world.board, by_others)
    assert titles_of(inbox.cards) == ["Write", "Ship the 100% part"]


async def test_history_lists_comments_and_events_oldest_first(session, world) -> None:
    draft = tasks.TaskCreate(title="Write")
    task = (await tasks.create_task(session, world.alice, world.board, draft)).task
    [other] = await add_tasks(session, world, "Other")
    for actor, changes in [
        (world.alice, {"assigned_agent_id": world.worker.id}),
        (world.worker, {"status": "in_progress", "comment": "Going."}),
        (world.alice, {"depends_on_task_ids": [other.id], "priority": "high"}),
    ]:
        await tasks.update_task(
            session, actor, world.board, task.id, tasks.TaskUpdate.of(**changes)
        )
    entries = (await tasks.list_history(session, world.board, task.id)).entries
    summary = [
        (one.event_type, one.author_name, [tuple(change)[:3] for change in one.changes])
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
    assert [one.event_type for one in newest.entries] == ["task.updated"]
