"""Tasks on which nothing happens and approvals that nobody decides are followed up, once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    CodingSession,
    Event,
    EventType,
    Message,
    Notification,
    NotificationKind,
    Status,
    Task,
)
from services import (
    agents,
    approvals,
    boards,
    memory,
    notifications,
    organizations,
    questions,
    tasks,
)
from services.approvals import ApprovalCreate
from services.tool_calls import HeldCall
from tests.support.approval_helpers import decide_approval
from tests.support.tool_calls import ask, make_coding_session
from tests.support.world import World

Kind = NotificationKind
LONG = timedelta(minutes=241)
STALE_MARKER = "TASK STALE"


async def add_task(session: AsyncSession, world: World, **fields: Any) -> Task:
    """Add a task in progress on which nothing has happened for LONG."""
    given: dict[str, Any] = {"status": Status.IN_PROGRESS}
    if "assigned_user_id" not in fields:
        given["assigned_agent_id"] = world.worker.id
    silent_for = fields.pop("silent_for", LONG)
    task = world.make_task("Write", **(given | fields))
    task.updated_at = now() - silent_for
    session.add(task)
    await session.flush()
    return task


async def follow_up(session: AsyncSession, world: World) -> int:
    """Do what the worker does for the board Launch."""
    found = await tasks.list_boards_to_follow_up(session)
    counts = [await tasks.follow_up_tasks(session, board_id) for board_id in found]
    return sum(counts)


async def list_events(session: AsyncSession, task: Task) -> Sequence[EventType]:
    query = select(Event.type).where(Event.task_id == task.id).order_by(Event.seq)
    wanted = (EventType.TASK_STALE, EventType.TASK_ACTIVE)
    return (await session.scalars(query.where(Event.type.in_(wanted)))).all()


async def list_woken(session: AsyncSession) -> Sequence[object]:
    query = select(Message.agent_id).where(Message.content.startswith(STALE_MARKER))
    return (await session.scalars(query)).all()


async def get_silent_minutes(session: AsyncSession) -> int:
    """Return how long nothing has happened, as the notifications say."""
    query = select(Notification.data).where(Notification.kind == Kind.TASK_STALE)
    [data, *_] = await session.scalars(query)
    return data["minutes"]


async def list_notified(session: AsyncSession, kind: Kind) -> list[object]:
    query = select(Notification.user_id).where(
        Notification.kind == kind, Notification.resolved_at.is_(None)
    )
    return sorted(await session.scalars(query), key=str)


async def make_older(session: AsyncSession, task: Task, time: timedelta) -> None:
    """Let time pass for a task."""
    await session.execute(
        update(Task)
        .where(Task.id == task.id)
        .values(stale_since=Task.stale_since - time, updated_at=Task.updated_at - time)
        .execution_options(synchronize_session=False)
    )
    await session.execute(update(Event).values(created_at=Event.created_at - time))
    await session.refresh(task)


async def test_the_agent_is_woken_once_then_people_are_notified(
    session: AsyncSession, world: World
) -> None:
    task = await add_task(session, world)
    for _ in range(3):
        await follow_up(session, world)
    assert await list_events(session, task) == [EventType.TASK_STALE]
    assert await list_woken(session) == [world.worker.id]
    assert await list_notified(session, Kind.TASK_STALE) == []
    await make_older(session, task, timedelta(minutes=61))
    for _ in range(2):
        await follow_up(session, world)
    expected = sorted([world.alice.id, world.bob.id], key=str)
    assert await list_notified(session, Kind.TASK_STALE) == expected
    assert await get_silent_minutes(session) == 241 + 61
    assert await list_woken(session) == [world.worker.id]


async def test_activity_ends_it(session: AsyncSession, world: World) -> None:
    task = await add_task(session, world)
    await follow_up(session, world)
    await make_older(session, task, timedelta(minutes=61))
    await follow_up(session, world)
    board = await boards.lock_board(session, world.worker, world.board.id)
    await tasks.create_comment(session, world.worker, board, task.id, "Still compiling.")
    await follow_up(session, world)
    assert await list_events(session, task) == [EventType.TASK_STALE, EventType.TASK_ACTIVE]
    assert await list_notified(session, Kind.TASK_STALE) == []


async def test_a_comment_is_activity(session: AsyncSession, world: World) -> None:
    task = await add_task(session, world)
    board = await boards.lock_board(session, world.worker, world.board.id)
    await tasks.create_comment(session, world.worker, board, task.id, "I am on it.")
    assert await follow_up(session, world) == 0


@pytest.mark.parametrize(
    ("task_fields", "board_fields"),
    [
        ({"silent_for": timedelta(minutes=230)}, {}),
        ({"status": Status.REVIEW}, {}),
        ({}, {"stale_after_minutes": None}),
        ({}, {"paused_at": now()}),
    ],
)
async def test_other_tasks_are_not_stale(
    session: AsyncSession, world: World, task_fields: dict[str, Any], board_fields: dict[str, Any]
) -> None:
    await add_task(session, world, **task_fields)
    if board_fields:
        await session.execute(update(Board).values(**board_fields))
    assert await follow_up(session, world) == 0


async def test_nobody_is_woken_while_agents_are_stopped(
    session: AsyncSession, world: World
) -> None:
    await add_task(session, world)
    await organizations.stop_agents(session, world.alice_member, organizations.AgentStopCreate())
    assert await follow_up(session, world) == 0


async def test_the_time_begins_again_when_a_board_is_resumed(
    session: AsyncSession, world: World
) -> None:
    task = await add_task(session, world)
    board = await boards.lock_board(session, world.alice, world.board.id)
    await memory.set_board_paused(session, world.alice, board, is_paused=True)
    await make_older(session, task, LONG)
    await memory.set_board_paused(session, world.alice, board, is_paused=False)
    await session.flush()
    assert await follow_up(session, world) == 0
    await make_older(session, task, LONG)
    assert await follow_up(session, world) == 1


async def test_the_time_begins_again_when_agents_may_go_on(
    session: AsyncSession, world: World
) -> None:
    task = await add_task(session, world)
    await organizations.stop_agents(session, world.alice_member, organizations.AgentStopCreate())
    await make_older(session, task, LONG)
    await organizations.resume_agents(session, world.alice_member)
    await organizations.stop_agents(session, world.charlie_member, organizations.AgentStopCreate())
    assert await follow_up(session, world) == 0
    await make_older(session, task, LONG)
    await organizations.resume_agents(session, world.charlie_member)
    assert await follow_up(session, world) == 1


async def test_a_task_that_waits_for_a_decision_is_not_stale(
    session: AsyncSession, world: World
) -> None:
    task, other = await add_task(session, world), await add_task(session, world)
    await follow_up(session, world)
    approval, *links = world.make_approval(other, task, created_at=now() - 2 * LONG)
    session.add_all([approval, *links])
    await session.flush()
    await follow_up(session, world)
    assert await list_events(session, task) == [EventType.TASK_STALE, EventType.TASK_ACTIVE]
    assert await follow_up(session, world) == 0
    approval.status, approval.resolved_at = ApprovalStatus.REJECTED, now()
    await session.flush()
    assert await follow_up(session, world) == 0
    approval.resolved_at -= LONG
    await session.flush()
    assert await follow_up(session, world) == 2


async def test_an_approval_that_has_expired_does_not_hide_a_task(
    session: AsyncSession, world: World
) -> None:
    task = await add_task(session, world)
    session.add_all(world.make_approval(task, created_at=now() - LONG, expires_at=now()))
    await session.flush()
    assert await follow_up(session, world) == 1


async def test_a_task_with_an_open_question_is_not_stale(
    session: AsyncSession, world: World
) -> None:
    task = await add_task(session, world)
    world.board.workers_may_ask_people = True
    question = await questions.ask_question(
        session, world.worker, world.board, "Which logo?", task_id=task.id
    )
    await make_older(session, task, LONG)
    assert await follow_up(session, world) == 0
    board = await boards.lock_board(session, world.bob, world.board.id)
    await questions.answer_question(session, world.bob, board, question.id, "The red one.")
    assert await follow_up(session, world) == 0
    await make_older(session, task, LONG)
    assert await follow_up(session, world) == 1


async def test_a_task_of_a_paused_agent_is_not_stale(session: AsyncSession, world: World) -> None:
    await add_task(session, world)
    await agents.pause_agent(session, world.alice_member, world.worker.id)
    assert await follow_up(session, world) == 0
    await agents.release_agent(session, world.alice_member, world.worker.id)
    assert await follow_up(session, world) == 0
    await session.execute(update(Agent).values(released_at=now() - LONG))
    assert await follow_up(session, world) == 1


async def test_a_sign_of_a_client_is_activity(session: AsyncSession, world: World) -> None:
    task = await add_task(session, world)
    coding_session = make_coding_session(world.worker, task_id=task.id)
    session.add(coding_session)
    await session.flush()
    assert await follow_up(session, world) == 0
    coding_session.last_signal_at -= LONG
    await session.flush()
    assert await follow_up(session, world) == 1


async def test_a_task_whose_tool_call_waits_for_people_is_not_stale(
    session: AsyncSession, world: World
) -> None:
    await add_task(session, world)
    held = await ask(session, world.worker)
    assert isinstance(held, HeldCall)
    await session.execute(update(CodingSession).values(last_signal_at=now() - LONG))
    assert await follow_up(session, world) == 0
    approval = await session.get_one(Approval, held.approval_id)
    await decide_approval(session, world.alice, approval, undo_seconds=0)
    assert await follow_up(session, world) == 0
    await session.execute(update(Approval).values(decided_at=now() - LONG))
    assert await follow_up(session, world) == 1


async def test_a_person_with_the_task_is_notified_at_once(
    session: AsyncSession, world: World
) -> None:
    await add_task(session, world, assigned_user_id=world.rita.id)
    await follow_up(session, world)
    assert await list_notified(session, Kind.TASK_STALE) == [world.rita.id]
    assert await get_silent_minutes(session) == 241
    assert await list_woken(session) == []


async def test_several_workers_wake_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with isolated_transaction() as session:
        await add_task(session, isolated_world)

    async def work() -> int:
        async with isolated_transaction() as session:
            return await tasks.follow_up_tasks(session, isolated_world.board.id)

    assert sum(await asyncio.gather(*(work() for _ in range(6)))) == 1
    async with isolated_transaction() as session:
        assert len(await list_woken(session)) == 1


async def request_approval(session: AsyncSession, world: World) -> Approval:
    board = await boards.lock_board(session, world.worker, world.board.id)
    draft = ApprovalCreate(action_type="deploy", confidence=90, lead_reasoning="It is ready.")
    return (await approvals.request_approval(session, world.worker, board, draft)).approval


async def test_people_are_reminded_once_of_an_approval(session: AsyncSession, world: World) -> None:
    approval = await request_approval(session, world)
    assert not await approvals.has_due_reminders(session)
    earlier = Approval.created_at - timedelta(minutes=61)
    await session.execute(update(Approval).values(created_at=earlier))
    assert await approvals.has_due_reminders(session)
    assert await approvals.remind_of_approvals(session) == 1
    assert await approvals.remind_of_approvals(session) == 0
    expected = sorted([world.alice.id, world.bob.id], key=str)
    assert await list_notified(session, Kind.APPROVAL_UNDECIDED) == expected
    await notifications.resolve(session, [Kind.APPROVAL_UNDECIDED], [str(approval.id)])
    assert await list_notified(session, Kind.APPROVAL_UNDECIDED) == []


async def test_nobody_is_reminded_of_what_was_decided_meanwhile(
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, keep_boards = isolated_world, boards.block_board_deletions
    async with isolated_transaction() as session:
        approval = await request_approval(session, world)
        earlier = Approval.created_at - timedelta(minutes=61)
        await session.execute(update(Approval).values(created_at=earlier))

    async def decide_first(session: AsyncSession, board_ids: Any) -> Sequence[object]:
        async with isolated_transaction() as other:
            await decide_approval(other, world.alice, approval)
        return await keep_boards(session, board_ids)

    monkeypatch.setattr(boards, "block_board_deletions", decide_first)
    async with isolated_transaction() as session:
        assert await approvals.remind_of_approvals(session) == 0
        assert await list_notified(session, Kind.APPROVAL_UNDECIDED) == []
