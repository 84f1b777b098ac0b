"""People in the work, at the same time: assignments, a removal, answers and reminders."""

import asyncio
from datetime import timedelta

from sqlalchemy import func, select

from core.clock import now
from core.errors import Conflict, NotFound
from models import (
    AgentQuestion,
    Board,
    Event,
    EventType,
    Notification,
    NotificationKind,
    Task,
    new_id,
)
from services import boards, organizations, questions, tasks
from tests.support.rounds import ROUNDS


async def insert_task(transaction, world, **fields) -> Task:
    times = {"created_at": now(), "updated_at": now()}
    task = Task(id=new_id(), board_id=world.board.id, title="Count", **fields, **times)
    async with transaction() as session:
        session.add(task)
    return task


async def change(transaction, actor, task, changes) -> None:
    async with transaction() as session:
        board = await boards.lock_board(session, actor, task.board_id)
        await tasks.update_task(session, actor, board, task.id, tasks.TaskUpdate.of(**changes))


async def test_of_two_assignments_the_task_has_one(isolated_transaction, isolated_world) -> None:
    world = isolated_world
    for _ in range(ROUNDS):
        task = await insert_task(isolated_transaction, world)
        await asyncio.gather(
            change(isolated_transaction, world.alice, task, {"assigned_user_id": world.rita.id}),
            change(isolated_transaction, world.bob, task, {"assigned_agent_id": world.worker.id}),
        )
        async with isolated_transaction() as session:
            stored = await session.get_one(Task, task.id)
            assert (stored.assigned_user_id is None) is not (stored.assigned_agent_id is None)
            changed = Event.type == EventType.TASK_UPDATED, Event.task_id == task.id
            assert await session.scalar(select(func.count()).where(*changed)) == 2


async def test_a_member_who_leaves_keeps_no_task(isolated_transaction, isolated_world) -> None:
    world, transaction = isolated_world, isolated_transaction
    made = [
        await insert_task(transaction, world, assigned_user_id=world.bob.id if n % 2 else None)
        for n in range(6)
    ]

    async def assign(task) -> None:
        try:
            await change(transaction, world.alice, task, {"assigned_user_id": world.bob.id})
        except NotFound:
            return  # he has left already

    async def remove() -> None:
        async with transaction() as session:
            locked = await organizations.lock_member(
                session, world.alice_member, world.bob_member.id
            )
            await organizations.remove_member(session, locked)

    await asyncio.gather(*[assign(task) for task in made[::2]], remove())
    async with transaction() as session:
        await tasks.unassign_former_readers(session)
    async with transaction() as session:
        assert (
            await session.scalar(select(Task.id).where(Task.assigned_user_id.is_not(None))) is None
        )


async def test_of_two_answers_one_is_sent(isolated_transaction, isolated_world) -> None:
    world, transaction = isolated_world, isolated_transaction
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        board.workers_may_ask_people = True
        question = await questions.ask_question(session, world.worker, board, "Which?")

    async def answer(user) -> str | None:
        try:
            async with transaction() as session:
                board = await boards.lock_board(session, user, world.board.id)
                await questions.answer_question(session, user, board, question.id, user.name)
        except Conflict as error:
            return error.code
        return None

    codes = await asyncio.gather(answer(world.alice), answer(world.bob))
    assert sorted(codes, key=str) == [None, "question_answered"]
    async with transaction() as session:
        stored = await session.get_one(AgentQuestion, question.id)
        assert stored.answer == [world.alice.name, world.bob.name][codes.index(None)]


async def test_two_workers_remind_once(isolated_transaction, isolated_world) -> None:
    world, transaction = isolated_world, isolated_transaction
    due_at = now() + timedelta(hours=1)
    for _ in range(5):
        await insert_task(transaction, world, assigned_user_id=world.bob.id, due_at=due_at)

    async def remind() -> None:
        async with transaction() as session:
            await tasks.remind_of_due_dates(session)

    await asyncio.gather(*[remind() for _ in range(4)])
    async with transaction() as session:
        due = Notification.kind == NotificationKind.DUE_SOON
        assert await session.scalar(select(func.count()).select_from(Notification).where(due)) == 5
