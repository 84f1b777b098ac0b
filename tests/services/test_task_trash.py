"""Deleting and restoring tasks with their dependent rows."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Table, func, select, text, update

from core.clock import now
from core.errors import Conflict, Forbidden, NotFound
from models import (
    Agent,
    AgentQuestion,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Base,
    Board,
    Comment,
    DeletedTask,
    DesiredState,
    Event,
    EventType,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
    UsageFact,
    new_id,
)
from services import agents, approvals, boards, tasks
from services.approvals import ApprovalCreate
from tests.support.gateway_rows import make_gateway, make_main_agent, make_run
from tests.support.tiers import repetition
from tests.support.tool_calls import make_coding_session, make_tool_grant

TABLES = (Task, TaskDependency, Comment, TagAssignment, Approval, ApprovalTask)
VOLATILE_COLUMNS = {"updated_at", "version"}  # columns that every change updates


async def read_rows(session):
    """Return all rows of a task's tables in the database."""
    found = {}
    for kind in TABLES:
        table = Base.metadata.tables[kind.__tablename__]
        found[table.name] = [
            _stable_columns(row) for row in await session.execute(_all_rows_query(table))
        ]
    return found


def _all_rows_query(table: Table):
    return select(table).order_by(table.c.id)


def _stable_columns(row):
    return {name: value for name, value in row._mapping.items() if name not in VOLATILE_COLUMNS}


async def add_full_task(session, world):
    """Add a task with rows in all tables that refer to tasks."""
    fields = {"assigned_agent_id": world.worker.id, "previous_assignee_id": world.worker.id}
    times = {"due_at": now(), "in_progress_at": now(), "started_at": now()}
    task = world.make_task(
        "Full", status=Status.IN_PROGRESS, description="é\n\\", **fields, **times
    )
    before, after = world.make_task("Before"), world.make_task("After")
    tag = Tag(
        organization_id=world.tern.id,
        name="Red",
        slug="red",
        created_at=now(),
        updated_at=now(),
    )
    common = {"created_at": now(), "board_id": world.board.id}
    session.add_all(
        [
            task,
            TaskDependency(task=task, depends_on=before, position=3, **common),
            TaskDependency(task=after, depends_on=task, **common),
            Comment(task=task, message="By her", user_id=world.alice.id, **common),
            Comment(task=task, message="By it", agent_id=world.worker.id, **common),
            TagAssignment(task=task, tag=tag, position=2, created_at=now()),
            *(alone := world.make_approval(task, payload={"reason": ["a", 1.5, None]})),
            *(first := world.make_approval(task, after, before)),
            *(linked := world.make_approval(before, task)),
        ]
    )
    await session.flush()
    return task, before, after, tag, alone[0], first[0], linked[0]


async def test_deleting_a_task_deletes_its_dependent_rows(session, world) -> None:
    """C22."""
    task, before, after, _, alone, first, linked = await add_full_task(session, world)
    await tasks.delete_task(session, world.alice, world.board, task.id)

    left = await read_rows(session)
    assert {row["id"] for row in left["tasks"]} == {before.id, after.id}
    assert left["task_dependencies"] == left["task_comments"] == left["tag_assignments"] == []
    assert {row["id"]: row["task_id"] for row in left["approvals"]} == {
        first.id: after.id,
        linked.id: before.id,
    }
    deleted, dependent_event = await session.scalars(select(Event).order_by(Event.seq))
    assert (deleted.type, deleted.task_id) == (EventType.TASK_DELETED, task.id)
    assert deleted.data == {"title": "Full", "left": "in_progress", "approval_ids": [str(alone.id)]}
    assert (dependent_event.type, dependent_event.task_id) == (EventType.TASK_UPDATED, after.id)
    assert dependent_event.data["deleted_task_id"] == str(task.id)


async def test_restoring_a_task_restores_all_its_rows(session, world) -> None:
    task, _, after, *_ = await add_full_task(session, world)
    version = task.version
    before_rows = await read_rows(session)
    await tasks.delete_task(session, world.alice, world.board, task.id)
    found = await tasks.restore_task(session, world.alice, world.board, task.id)

    assert await read_rows(session) == before_rows
    assert found.task.version == version + 1
    assert [other.id for other in found.unblocks] == [after.id]
    last = (await session.scalars(select(Event).order_by(Event.seq.desc()).limit(2))).all()
    assert [event.type for event in last] == [EventType.TASK_UPDATED, EventType.TASK_RESTORED]

    await tasks.delete_task(session, world.lead, world.board, task.id)
    await tasks.restore_task(session, world.lead, world.board, task.id)
    assert await read_rows(session) == before_rows
    with pytest.raises(NotFound):
        await tasks.restore_task(session, world.alice, world.board, task.id)


@pytest.mark.parametrize("year", [2, 9998])
async def test_extreme_dates_survive_delete_and_restore(session, world, year) -> None:
    due_at = datetime(year, 1, 1, 12, 30, 15, 250, tzinfo=UTC)
    draft = tasks.TaskCreate(title="🦜" * 500, due_at=due_at)
    task = (await tasks.create_task(session, world.alice, world.board, draft)).task
    await tasks.delete_task(session, world.alice, world.board, task.id)
    found = await tasks.restore_task(session, world.alice, world.board, task.id)
    assert (found.task.due_at, found.task.title) == (due_at, draft.title)


async def test_references_to_deleted_rows_are_not_restored(session, world) -> None:
    task, before, _, tag, _, first, _ = await add_full_task(session, world)
    await tasks.delete_task(session, world.alice, world.board, task.id)
    for row in (world.worker, tag, before, first):
        await session.delete(await session.get(type(row), row.id))
    await session.flush()
    found = await tasks.restore_task(session, world.alice, world.board, task.id)
    assert (found.task.assigned_agent_id, found.task.previous_assignee_id) == (None, None)
    assert (found.depends_on_task_ids, found.tags) == ([], [])
    assert (found.comments_count, found.approvals_count) == (2, 2)


async def get_last_event(session, task) -> Event:
    about = select(Event).where(Event.task_id == task.id).order_by(Event.seq.desc())
    return await session.scalar(about.limit(1))


@pytest.mark.parametrize("how", ["deleted", "being removed", "moved"])
@pytest.mark.parametrize(
    ("status", "becomes"), [("inbox", "inbox"), ("in_progress", "inbox"), ("review", "review")]
)
async def test_a_task_whose_agent_left_is_restored_unassigned(
    session, world, status, becomes, how
) -> None:
    started = now() if status == "in_progress" else None
    fields = {"assigned_agent_id": world.worker.id, "in_progress_at": started}
    task = world.make_task(status=Status(status), **fields)
    session.add(task)
    await session.flush()
    await tasks.delete_task(session, world.alice, world.board, task.id)
    if how == "deleted":
        await agents.delete_agent(session, world.alice, world.worker.id)
    elif how == "being removed":  # from its gateway
        gone = update(Agent).where(Agent.id == world.worker.id)
        await session.execute(gone.values(desired_state=DesiredState.GONE))
    else:
        move = {"board_id": world.garden.id}
        await agents.update_agent(
            session, world.alice_member, world.worker.id, agents.AgentUpdate.parse(move)
        )
    found = (await tasks.restore_task(session, world.alice, world.board, task.id)).task

    left = (found.status, found.assigned_agent_id, found.in_progress_at)
    assert left == (Status(becomes), None, None)
    last_event = await get_last_event(session, task)
    if status != becomes:
        assert (last_event.data["left"], last_event.data["entered"]) == (status, becomes)
    elif how == "deleted":
        assert last_event.type is EventType.TASK_RESTORED
    else:
        assert last_event.data["changes"]["assigned_agent_id"] == [str(world.worker.id), None]


async def test_a_task_of_the_agent_of_a_gateway_is_restored_with_it(session, world) -> None:
    gateway, other = make_gateway(world.tern), make_gateway(world.tern, "Pier")
    main, token = make_main_agent(gateway)
    other_main, other_token = make_main_agent(other)
    started = {"status": Status.IN_PROGRESS, "in_progress_at": now()}
    task = world.make_task(assigned_agent_id=main.id, **started)
    session.add_all([gateway, other, main, token, other_main, other_token, task])
    await session.flush()
    board = await session.get(Board, world.board.id)
    board.gateway_id = gateway.id
    await tasks.delete_task(session, world.alice, board, task.id)
    found = (await tasks.restore_task(session, world.alice, board, task.id)).task
    assert (found.status, found.assigned_agent_id) == (Status.IN_PROGRESS, main.id)

    await tasks.delete_task(session, world.alice, board, task.id)
    await boards.update_board(
        session, world.alice, board, boards.BoardUpdate.of(gateway_id=other.id)
    )
    found = (await tasks.restore_task(session, world.alice, board, task.id)).task
    assert (found.status, found.assigned_agent_id) == (Status.INBOX, None)


async def test_what_is_about_a_task_is_linked_with_it_again(session, world) -> None:
    task, other = world.make_task(), world.make_task("Other")
    gateway = make_gateway(world.tern)
    main, token = make_main_agent(gateway)
    approval, *_ = world.make_approval(status=ApprovalStatus.APPROVED)
    session.add_all([task, other, gateway, main, token, approval])
    await session.flush()
    question = AgentQuestion(
        board_id=world.board.id,
        task_id=task.id,
        agent_id=world.worker.id,
        content="Which of the two logos?",
        created_at=now(),
    )
    kept, moved = [
        make_coding_session(world.worker, task_id=task.id, session_key=key) for key in "ab"
    ]
    run = make_run(gateway, main, task_id=task.id)
    grant = make_tool_grant(kept, approval, session_id=None, task_id=task.id)
    session.add_all([question, kept, moved, run, grant])
    await session.flush()
    await tasks.delete_task(session, world.alice, world.board, task.id)
    await session.refresh(moved)
    moved.task_id = other.id
    await session.flush()
    await tasks.restore_task(session, world.alice, world.board, task.id)

    for one in (question, run, kept, moved, grant):
        await session.refresh(one)
    assert {question.task_id, run.task_id, kept.task_id, grant.task_id} == {task.id}
    assert moved.task_id == other.id


@repetition
async def test_a_task_with_more_calls_than_a_statement_has_parameters_is_restored(
    session, world
) -> None:
    task = world.make_task()
    session.add(task)
    await session.flush()
    statement = text("""
        insert into usage_facts (id, organization_id, agent_id, task_id, source, source_key,
            input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, used_at)
        select gen_random_uuid(), :organization_id, :agent_id, :task_id, 'api_request', number,
            0, 0, 0, 0, now()
        from generate_series(1, 32768) as number
    """)
    values = {"organization_id": world.tern.id, "agent_id": world.worker.id, "task_id": task.id}
    await session.execute(statement, values)
    await tasks.delete_task(session, world.alice, world.board, task.id)
    await tasks.restore_task(session, world.alice, world.board, task.id)

    linked = select(func.count()).where(UsageFact.task_id == task.id)
    assert await session.scalar(linked) == 32_768


async def test_restoring_an_open_task_returns_started_dependents_to_the_inbox(
    session, world
) -> None:
    one, done = world.make_task("One"), world.make_task("Done", status=Status.DONE)
    names = ("Begun", "Assigned", "Begun after what was done")
    started, assigned, free = [world.make_task(name) for name in names]
    common = {"created_at": now(), "board_id": world.board.id}
    edges = [(started, one), (assigned, one), (free, done)]
    session.add_all([one, done, started, assigned, free])
    session.add_all([TaskDependency(task=a, depends_on=b, **common) for a, b in edges])
    await session.flush()
    for task in (one, done):
        await tasks.delete_task(session, world.alice, world.board, task.id)
    for task in (started, free):
        start = {"status": "in_progress"}
        await tasks.update_task(
            session, world.worker, world.board, task.id, tasks.TaskUpdate.of(**start)
        )
    assignment = {"assigned_agent_id": world.worker.id}
    await tasks.update_task(
        session, world.lead, world.board, assigned.id, tasks.TaskUpdate.of(**assignment)
    )
    for task in (one, done):
        await tasks.restore_task(session, world.alice, world.board, task.id)

    assert (started.status, started.assigned_agent_id) == (Status.INBOX, None)
    last_event = await get_last_event(session, started)
    assert last_event.type is EventType.TASK_STATUS_CHANGED
    assert last_event.data["restored_task_id"] == str(one.id)
    assert (assigned.status, assigned.assigned_agent_id) == (Status.INBOX, world.worker.id)
    assert (free.status, free.assigned_agent_id) == (Status.IN_PROGRESS, world.worker.id)


async def test_a_restore_creates_no_dependency_cycle(session, world) -> None:
    task, before, after, *_ = await add_full_task(session, world)
    await tasks.delete_task(session, world.alice, world.board, task.id)
    circle = {"depends_on_task_ids": [after.id]}
    await tasks.update_task(
        session, world.alice, world.board, before.id, tasks.TaskUpdate.of(**circle)
    )
    found = await tasks.restore_task(session, world.alice, world.board, task.id)
    edges = len(found.depends_on) + len(found.unblocks)
    assert edges == 1


async def test_a_task_is_restored_by_a_version_with_new_columns(session, world) -> None:
    task, *_ = await add_full_task(session, world)
    await tasks.delete_task(session, world.alice, world.board, task.id)
    stored = await session.scalar(select(DeletedTask))
    old = {"position", "auto_created", "priority", "rank", "claimed_run"}
    stored.rows = {
        name: [
            {key: value for key, value in row.items() if key not in old}
            if isinstance(row, dict)
            else row
            for row in rows
        ]
        for name, rows in stored.rows.items()
    }
    await session.flush()

    found = await tasks.restore_task(session, world.alice, world.board, task.id)

    assert (found.task.priority, found.task.auto_created) == ("medium", False)
    assert (len(found.depends_on), len(found.tags), found.comments_count) == (1, 1, 2)


async def test_a_purged_task_cannot_be_restored(session, world) -> None:
    task = world.make_task()
    session.add(task)
    await session.flush()
    await tasks.delete_task(session, world.alice, world.board, task.id)
    assert await tasks.purge_trash(session, keep_days=1) == 0
    assert await tasks.purge_trash(session, keep_days=0) == 1
    with pytest.raises(NotFound):
        await tasks.restore_task(session, world.alice, world.board, task.id)


async def test_workers_cannot_delete_and_strangers_cannot_restore(session, world) -> None:
    task = world.make_task()
    session.add(task)
    await session.flush()
    for ask in (tasks.delete_task, tasks.restore_task):
        with pytest.raises(Forbidden):
            await ask(session, world.worker, world.board, task.id)
    await tasks.delete_task(session, world.alice, world.board, task.id)
    for actor, board in [(world.charlie, world.charlies_board), (world.alice, world.garden)]:
        with pytest.raises(NotFound):
            await tasks.restore_task(session, actor, board, task.id)
    assert (await read_rows(session))["tasks"] == []
    with pytest.raises(NotFound):
        await tasks.delete_task(session, world.alice, world.board, new_id())


async def test_an_approval_allows_nothing_about_a_task_that_was_in_the_trash(
    session, world
) -> None:
    session.add(world.board)
    world.board.require_approval_for_done = True
    shown, hidden = world.make_task("Shown"), world.make_task("Hidden")
    session.add_all([shown, hidden])
    await session.flush()
    draft = ApprovalCreate(
        action_type="task.complete",
        confidence=90,
        task_ids=[hidden.id, shown.id],
        lead_reasoning="Both are finished.",
    )
    detail = await approvals.request_approval(session, world.worker, world.board, draft)
    await tasks.delete_task(session, world.alice, world.board, hidden.id)
    detail = await approvals.get_approval(session, world.board, detail.approval.id)
    contents = await approvals.load_current_contents(session, [detail.approval.id])
    seen = approvals.hash_current_action(detail.approval, contents[detail.approval.id])
    await approvals.decide_with_undo(
        session,
        world.bob,
        detail.approval.id,
        status=ApprovalStatus.APPROVED,
        action_hash=seen,
        undo_seconds=0,
    )
    await tasks.restore_task(session, world.alice, world.board, hidden.id)
    with pytest.raises(Conflict) as raised:
        await tasks.update_task(
            session, world.alice, world.board, hidden.id, tasks.TaskUpdate.of(status=Status.DONE)
        )
    assert raised.value.code == "approval_required"
    await tasks.update_task(
        session, world.alice, world.board, shown.id, tasks.TaskUpdate.of(status=Status.DONE)
    )
