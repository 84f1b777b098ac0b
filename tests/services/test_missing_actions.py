"""Acknowledged messages without an action of their agent are found, and sent again on request."""

from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict
from models import Agent, Event, EventType, Message, MessageState, RunStatus, Status, Task, new_id
from services import messages, tasks
from tests.support.board_rows import make_message
from tests.support.gateway_rows import make_gateway, make_run
from tests.support.world import World

MINUTE = timedelta(minutes=1)


async def add_message(
    session: AsyncSession, task: Task, agent: Agent, *, age: timedelta = 6 * MINUTE, **fields
) -> Message:
    """Store a message about a task that an agent has acknowledged at once."""
    at = now() - age
    defaults = {"state": MessageState.ACKNOWLEDGED, "acknowledged_at": at, "sent_at": at}
    message = make_message(
        agent,
        "TASK ASSIGNED\nTask: Write the report",
        created_at=at,
        task_id=task.id,
        board_id=task.board_id,
        attempts=1,
        **(defaults | fields),
    )
    session.add(message)
    await session.flush()
    return message


def make_event(task: Task, type: EventType, **fields) -> Event:
    return Event(
        id=new_id(),
        type=type,
        organization_id=task.board.organization_id,
        board_id=task.board_id,
        task_id=task.id,
        data={},
        created_at=now() - MINUTE,
        **fields,
    )


@pytest.fixture
async def task(session: AsyncSession, world: World) -> Task:
    task = world.make_task(assignee=world.worker)
    session.add(task)
    await session.flush()
    return task


async def is_idle(session: AsyncSession, world: World, message: Message) -> bool:
    """Return whether the message is listed, which both queries must answer in the same way."""
    assert message.task_id
    of_task = await messages.list_task_messages_without_action(
        session, world.board, message.task_id
    )
    found = await messages.list_without_action(session, world.worker, [message])
    assert found == {one.id for one, _ in of_task}
    return message.id in found


@pytest.mark.parametrize(("minutes", "expected"), [(4, False), (6, True)])
async def test_a_message_without_an_action_is_listed_after_five_minutes(
    session, world, task, minutes, expected
) -> None:
    message = await add_message(session, task, world.worker, age=minutes * MINUTE)
    assert await is_idle(session, world, message) is expected


@pytest.mark.parametrize(
    ("by_agent", "type", "expected"),
    [
        (True, EventType.TASK_COMMENT, False),
        (True, EventType.TASK_STATUS_CHANGED, False),
        (True, EventType.APPROVAL_REQUESTED, False),
        (True, EventType.TASK_ASSIGNEE_NOTIFIED, True),
        (False, EventType.TASK_COMMENT, True),
    ],
)
async def test_only_actions_of_the_agent_on_the_task_count(
    session, world, task, by_agent, type, expected
) -> None:
    message = await add_message(session, task, world.worker)
    user_id = None if by_agent else world.alice.id
    session.add(make_event(task, type, agent_id=world.worker.id, user_id=user_id))
    await session.flush()
    assert await is_idle(session, world, message) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"status": Status.REVIEW},
        {"status": Status.DONE},
        {"assigned_agent_id": None},
    ],
)
async def test_a_task_that_the_agent_no_longer_has_needs_no_action(
    session, world, task, changes
) -> None:
    message = await add_message(session, task, world.worker)
    await session.execute(update(Task).where(Task.id == task.id).values(changes))
    assert not await is_idle(session, world, message)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("APPROVAL RESOLVED", True), ("QUESTION ANSWERED", True), ("NUDGE", False)],
)
async def test_only_messages_that_ask_for_work_are_listed(
    session, world, task, kind, expected
) -> None:
    message = await add_message(session, task, world.worker, kind=kind)
    assert await is_idle(session, world, message) is expected


async def test_a_later_message_and_an_active_run_replace_it(session, world, task) -> None:
    first = await add_message(session, task, world.worker, age=9 * MINUTE)
    second = await add_message(session, task, world.worker, kind="TASK STALE")
    assert await messages.list_without_action(session, world.worker, [first, second]) == {second.id}
    gateway = make_gateway(world.tern)
    run = make_run(gateway, world.worker)
    session.add_all([gateway, run])
    await session.flush()
    assert not await is_idle(session, world, second)
    run.status, run.ended_at = RunStatus.ENDED, now()
    await session.flush()
    assert await is_idle(session, world, second)


async def test_other_kinds_need_no_action(session, world, task) -> None:
    message = await add_message(session, task, world.worker, kind="NEW TASK COMMENT")
    assert not await is_idle(session, world, message)


async def test_it_is_sent_again_on_request_as_another_turn(session, world, task) -> None:
    message = await add_message(session, task, world.worker)
    before = message.run_id
    again = await messages.retry_message(session, world.alice, world.worker, message.id)
    assert (again.state, again.acknowledged_at) == (MessageState.QUEUED, None)
    assert again.run_id != before
    assert again.run_id.startswith(str(message.id))
    again = await messages.acknowledge_message(session, world.worker, message.id)
    with pytest.raises(Conflict):
        await messages.retry_message(session, world.alice, world.worker, message.id)


async def test_a_message_that_led_to_an_action_is_not_sent_again(session, world, task) -> None:
    message = await add_message(session, task, world.worker)
    await tasks.update_task(
        session, world.worker, world.board, task.id, tasks.TaskUpdate.of(status="in_progress")
    )
    with pytest.raises(Conflict):
        await messages.retry_message(session, world.alice, world.worker, message.id)
