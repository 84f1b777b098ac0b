"""Counters follow every change of what they count, and are repaired if they do not."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select, text, update

from core.clock import now
from core.paging import Page, Paging
from models import (
    ApprovalStatus,
    Board,
    BoardCounts,
    BoardGroup,
    BoardGroupCounts,
    EventCount,
    Notification,
    NotificationCount,
    NotificationKind,
    Status,
    Tag,
)
from services import (
    activity,
    approvals,
    boards,
    counters,
    memory,
    organizations,
    tags,
    tasks,
    waiting_counts,
)
from services.activity import ActivityFilters
from services.approvals import ApprovalCreate
from services.tags import TagCreate
from services.tasks import TaskCreate
from tests.support.memory_rows import create_group_of, make_group_note, make_note
from worker.periodic import CounterRepair, next_repair


async def read_counts(session, board):
    """Return the numbers of a board: tasks by status, and undecided and decided approvals."""
    columns = [*counters.TASK_COUNTS.values(), BoardCounts.undecided_approvals]
    query = select(*columns, BoardCounts.decided_approvals).where(BoardCounts.board_id == board.id)
    return tuple((await session.execute(query)).one())


async def count_waiting(session, member) -> int:
    """Return the number of requests that wait on the boards of a member."""
    return (await waiting_counts.load_waiting_counts(session, member)).total


async def work(session, world):
    """Change tasks, comments and approvals of Launch in many ways; return a deleted task's id."""
    actor = world.alice
    board = await boards.lock_board(session, actor, world.board.id)
    created = [
        await tasks.create_task(session, actor, board, TaskCreate(title=status, status=status))
        for status in Status
    ]
    first, second, third, done = [one.task.id for one in created]
    await tasks.create_comment(session, actor, board, first, "Said.")
    await tasks.create_comment(session, actor, board, second, "Said.")
    for task_ids in ([first], [second, third]):
        draft = ApprovalCreate(
            action_type="task.complete", confidence=50, task_ids=task_ids, payload={"reason": "x"}
        )
        await approvals.request_approval(session, world.worker, board, draft)
    await tasks.update_task(session, actor, board, first, tasks.TaskUpdate.of(status="in_progress"))
    await tasks.update_task(session, actor, board, done, tasks.TaskUpdate.of(status="inbox"))
    await tasks.delete_task(session, actor, board, first)
    return first


async def test_counters_follow_changes_deletions_and_restores(session, world) -> None:
    task_id = await work(session, world)
    board = await boards.lock_board(session, world.alice, world.board.id)
    assert await read_counts(session, board) == (1, 1, 1, 0, 1, 0)
    await tasks.restore_task(session, world.alice, board, task_id)
    assert await read_counts(session, board) == (1, 2, 1, 0, 2, 0)
    assert await counters.repair_counters(session) == []


async def test_a_decision_counts_as_decided_until_it_is_undone(session, world) -> None:
    [approval] = world.make_approval(agent_id=world.worker.id)
    session.add(approval)
    await session.flush()
    member, id = world.alice_member, approval.id
    for status in (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED):
        await approvals.decide_with_undo(session, world.alice, id, status=status, undo_seconds=60)
        assert await count_waiting(session, member) == 0
        assert (await approvals.list_decided_approvals(session, member, Paging())).total == 1
        assert (await approvals.count_approvals(session, world.board, [])).pending == 1
        await approvals.undo_decision(session, world.alice, id)
        assert await count_waiting(session, member) == 1
        assert (await approvals.list_decided_approvals(session, member, Paging())).total == 0


async def test_totals_count_what_the_pages_list(session, world) -> None:
    """For every filter and page of activity, comments and approvals, with the rights of each."""
    await work(session, world)
    board = await boards.lock_board(session, world.alice, world.garden.id)
    await tasks.create_task(session, world.alice, board, TaskCreate(title="Weed"))
    middle = (await activity.list_member_activity(session, world.alice_member, Paging())).items[4]
    filters = [
        ActivityFilters(**given)
        for given in cast(
            list[dict[str, Any]],
            [
                {},
                {"kinds": ["task.created"]},
                {"kinds": ["task", "approval", "agent", "board", "message"]},
                {"agent_id": world.worker.id},
                {"agent_id": world.worker.id, "kinds": ["approval"]},
                {"before": middle.event.seq},
                {"before": middle.event.seq, "kinds": ["task"]},
                {"after": middle.event.seq},
                {"after": 0, "before": middle.event.seq},
            ],
        )
    ]
    for member in (world.alice_member, world.bob_member, world.dana_member, world.charlie_member):
        pages: list[Page[Any]] = [
            await activity.list_member_activity(session, member, Paging(), one) for one in filters
        ]
        pages.append(await activity.list_comment_entries(session, member, Paging()))
        pages.append(await approvals.list_member_approvals(session, member, Paging()))
        assert [page.total for page in pages] == [len(page.items) for page in pages]
    for number, one in enumerate(filters):
        whole = await activity.list_member_activity(session, world.alice_member, Paging(), one)
        assert whole.items, number
        rest = await activity.list_member_activity(session, world.alice_member, Paging(2, 1), one)
        assert rest.items == whole.items[1:3]
        assert rest.total == whole.total
        beyond = await activity.list_member_activity(
            session, world.alice_member, Paging(2, 500), one
        )
        assert (beyond.items, beyond.total) == ([], whole.total)


@pytest.mark.parametrize("is_group", [False, True])
async def test_totals_of_notes_follow_changes_and_leave_out_blank_ones(
    session, world, is_group
) -> None:
    place: Any = world.board
    make: Any = make_note
    scope, key, counts = memory.board_scope(place), BoardCounts.board_id, BoardCounts
    if is_group:
        session.add(world.tern)
        place, make = await create_group_of(session, world.board), make_group_note
        scope = memory.group_scope(place)
        key, counts = BoardGroupCounts.board_group_id, BoardGroupCounts

    async def read_totals() -> list[int]:
        pages = [
            await memory.list_notes(session, scope, Paging(1), is_chat=is_chat)
            for is_chat in (None, False, True)
        ]
        return [page.total for page in pages]

    notes = [make(place, is_chat=is_chat) for is_chat in (False, True, True)]
    session.add_all([*notes, make(place, content=" \n"), make_note(world.garden)])
    await session.flush()
    assert await read_totals() == [3, 1, 2]
    notes[0].content, notes[1].is_chat = " ", False
    await session.delete(notes[2])
    await session.flush()
    assert await read_totals() == [1, 1, 0]
    assert await counters.repair_counters(session) == []
    await session.execute(update(counts).where(key == place.id).values(notes=6))
    [difference] = await counters.repair_counters(session)
    assert difference.added == "-5 notes"


async def test_numbers_of_tasks_of_tags_follow_every_change(session, world) -> None:
    """Also where the tags of a task are deleted with it, and restored with it."""
    board = await boards.lock_board(session, world.alice, world.board.id)
    member = world.alice_member
    both = [
        (await tags.create_tag(session, member, TagCreate(name=name))).tag for name in ("a", "b")
    ]
    ids = [tag.id for tag in both]

    async def read_numbers() -> list[list[int]]:
        """Return the numbers of all boards and of each board, for both tags."""
        session.expunge_all()
        found = []
        for tag in both:
            on_boards = await tags.list_tagged_boards(session, member, tag)
            total = (await tags.get_tag(session, member, tag.id)).task_count
            found.append([total, *(one.task_count for one in on_boards)])
        assert await counters.repair_counters(session) == []
        return found

    assert await read_numbers() == [[0], [0]]
    garden = await boards.lock_board(session, world.alice, world.garden.id)
    await tasks.create_task(session, world.alice, garden, TaskCreate(title="x", tag_ids=ids))
    created = [
        (
            await tasks.create_task(session, world.alice, board, TaskCreate(title="x", tag_ids=ids))
        ).task.id
        for _ in range(2)
    ]
    assert await read_numbers() == [[3, 1, 2], [3, 1, 2]]
    fields = tasks.TaskUpdate.of(tag_ids=ids[1:])
    await tasks.update_task(session, world.alice, board, created[0], fields)
    assert await read_numbers() == [[2, 1, 1], [3, 1, 2]]
    for task_id in created:
        await tasks.delete_task(session, world.alice, board, task_id)
    assert await read_numbers() == [[1, 1], [1, 1]]
    await tasks.restore_task(session, world.alice, board, created[0])
    assert await read_numbers() == [[1, 1], [2, 1, 1]]
    await session.execute(delete(Tag).where(Tag.id == ids[0]))
    del both[0]
    assert await read_numbers() == [[2, 1, 1]]
    await session.execute(delete(Board).where(Board.id == garden.id))
    assert await read_numbers() == [[1, 1]]


async def test_a_deleted_board_or_organization_leaves_no_wrong_counter(session, world) -> None:
    await work(session, world)
    board = await boards.lock_board_as_admin(session, world.alice, world.board.id)
    await boards.delete_board(session, world.alice, board)
    assert await counters.repair_counters(session) == []
    assert await session.scalar(select(EventCount.id).limit(1)) is not None
    await organizations.lock_organization_contents(session, [world.tern.id])
    await organizations.erase_organizations(session, [world.tern.id])
    assert await counters.repair_counters(session) == []
    assert await session.scalar(select(EventCount.id).limit(1)) is None


async def test_a_deleted_board_or_group_leaves_no_counter_of_notifications(session, world) -> None:
    group = await create_group_of(session, world.board)
    shared = {
        "organization_id": world.tern.id,
        "user_id": world.alice.id,
        "kind": NotificationKind.MENTION,
        "merges": False,
        "data": {},
        "created_at": now(),
        "updated_at": now(),
    }
    places = {"board_id": world.garden.id}, {"board_group_id": group.id}, {}
    session.add_all(Notification(**shared, **place) for place in places)
    await session.flush()
    count = select(func.count()).select_from(NotificationCount)
    assert await session.scalar(count) == 3
    await session.execute(delete(Board).where(Board.id == world.garden.id))
    await session.execute(delete(BoardGroup).where(BoardGroup.id == group.id))
    assert await session.scalar(count) == 1
    assert await counters.repair_counters(session) == []


async def test_wrong_counters_are_repaired_and_logged(
    isolated_settings, isolated_transaction, isolated_world, caplog
) -> None:
    world = isolated_world
    async with isolated_transaction() as session:
        await work(session, world)
    async with isolated_transaction() as session:
        before = await read_counts(session, world.board)
        await session.execute(update(BoardCounts).values(inbox_tasks=7))
        await session.execute(delete(EventCount))
        await session.execute(text("update tasks set open_dependency_count = 2"))
        for table in ("task_move_hours", "message_hours", "done_task_hours"):
            await session.execute(text(f"delete from {table}"))
    repair = CounterRepair(isolated_transaction)
    with caplog.at_level(logging.WARNING):
        await repair.run()
    board_key = f"board_counts (board_id {world.board.id}) was wrong by -6 inbox_tasks"
    assert board_key in caplog.text
    assert "event_counts" in caplog.text
    assert "was wrong by -2 open_dependency_count" in caplog.text
    caplog.clear()
    await repair.run()
    assert not [one for one in caplog.records if one.name == CounterRepair.__module__]
    async with isolated_transaction() as session:
        assert await read_counts(session, world.board) == before
        member = world.alice_member
        page = await activity.list_member_activity(session, member, Paging())
        assert page.total == len(page.items) > 0


async def test_the_repair_is_due_every_night_at_three() -> None:
    three = datetime(2026, 3, 18, 3, tzinfo=UTC)
    assert next_repair(three - timedelta(seconds=1)) == three
    assert next_repair(three) == three + timedelta(days=1)


async def test_a_worker_repairs_ten_minutes_after_its_start_and_again_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, isolated_transaction
) -> None:
    at = datetime(2026, 3, 18, 12, tzinfo=UTC)
    monkeypatch.setattr("worker.periodic.now", lambda: at)
    repair, runs = CounterRepair(isolated_transaction), []

    async def run() -> None:
        runs.append(at)
        if len(runs) == 1:
            raise ConnectionError

    monkeypatch.setattr(repair, "run", run)
    assert await repair.run_if_due() == at + timedelta(minutes=10)
    assert runs == []
    at += timedelta(minutes=10)
    with pytest.raises(ConnectionError):
        await repair.run_if_due()
    assert await repair.run_if_due() == datetime(2026, 3, 19, 3, tzinfo=UTC)
    assert runs == [at, at]


async def test_blocked_tasks_are_counted_through_every_change(session, world) -> None:
    actor = world.alice
    board = await boards.lock_board(session, actor, world.board.id)
    drafts = [TaskCreate(title="First"), TaskCreate(title="Second"), TaskCreate(title="Third")]
    first, second, third = [
        (await tasks.create_task(session, actor, board, draft)).task.id for draft in drafts
    ]

    async def count_after(task_id: UUID, **changes: Any) -> int:
        await tasks.update_task(session, actor, board, task_id, tasks.TaskUpdate.of(**changes))
        assert await counters.repair_counters(session) == []
        return await tasks.BLOCKED_COUNT.first(session, board_id=board.id) or 0

    assert await count_after(second, depends_on_task_ids=[first]) == 1
    assert await count_after(third, depends_on_task_ids=[first, second]) == 2
    assert await count_after(first, status="done") == 1
    assert await count_after(second, status="done") == 0
    assert await count_after(first, status="inbox") == 1
    assert await count_after(third, depends_on_task_ids=[second]) == 0
    assert await count_after(third, depends_on_task_ids=[first]) == 1
    for deleted in (first, third):
        await tasks.delete_task(session, actor, board, deleted)
        assert await tasks.BLOCKED_COUNT.first(session, board_id=board.id) == 0
        await tasks.restore_task(session, actor, board, deleted)
        assert await tasks.BLOCKED_COUNT.first(session, board_id=board.id) == 1
        assert await counters.repair_counters(session) == []
    await tasks.delete_task(session, actor, board, third)
    assert await count_after(first, status="done") == 0
    await tasks.restore_task(session, actor, board, third)
    assert await tasks.BLOCKED_COUNT.first(session, board_id=board.id) == 0
    assert await counters.repair_counters(session) == []
