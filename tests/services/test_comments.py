"""Comments on tasks, and the rules for the comments of a lead."""

import pytest
from sqlalchemy import select

from core.errors import Forbidden, Invalid
from core.paging import Paging
from models import Event, EventType, Status
from services import tasks
from services.tasks import TaskCreate


async def add_task(session, world, **fields):
    task = world.make_task(**fields)
    session.add(task)
    await session.flush()
    return task


async def comment(session, world, actor, task, message):
    return await tasks.create_comment(session, actor, world.board, task.id, message)


async def test_users_and_workers_can_comment_on_every_task(session, world) -> None:
    task = await add_task(session, world, assigned_agent_id=world.other_worker.id)
    by_alice = await comment(session, world, world.alice, task, " How far? ")
    by_worker = await comment(session, world, world.worker, task, "Half way.")

    assert (by_alice.author_name, by_worker.author_name) == ("Alice", "Worker")
    page = await tasks.list_comments(session, world.board, task.id, Paging())
    assert [(one.comment.message, one.author_name) for one in page.items] == [
        ("How far?", "Alice"),
        ("Half way.", "Worker"),
    ]
    assert (page.items[0].comment.user_id, page.items[0].comment.agent_id) == (world.alice.id, None)
    query = select(Event).where(Event.type == EventType.TASK_COMMENT)
    first, second = await session.scalars(query.order_by(Event.seq))
    assert (first.id, first.type) == (by_alice.comment.id, EventType.TASK_COMMENT)
    assert (first.user_id, second.agent_id) == (world.alice.id, world.worker.id)
    assert task.version == 1


async def test_comments_are_paged(session, world) -> None:
    task = await add_task(session, world)
    for n in range(5):
        await comment(session, world, world.alice, task, str(n))
    page = await tasks.list_comments(session, world.board, task.id, Paging(limit=2, offset=2))
    assert ([one.comment.message for one in page.items], page.total) == (["2", "3"], 5)
    page = await tasks.list_comments(session, world.board, task.id, Paging(limit=2, offset=9))
    assert (page.items, page.total) == ([], 5)


async def test_invalid_comments_are_rejected(session, world) -> None:
    task = await add_task(session, world)
    for message in ("", " \n", "a\0b", "x" * 100_001, "\ud800", None):
        with pytest.raises(Invalid) as error_info:
            await comment(session, world, world.alice, task, message)
        assert error_info.value.field == "message"


async def test_a_lead_can_comment_in_review(session, world) -> None:
    task = await add_task(session, world, status=Status.REVIEW)
    assert (await comment(session, world, world.lead, task, "Good.")).author_name == "Lead"
    for status in (Status.INBOX, Status.IN_PROGRESS, Status.DONE):
        other = await add_task(session, world, status=status)
        with pytest.raises(Forbidden) as error_info:
            await comment(session, world, world.lead, other, "Good.")
        assert error_info.value.code == "lead_comment_forbidden"


@pytest.mark.parametrize(
    ("message", "is_mention"),
    [
        ("What do you say, @LEAD?", True),
        ("@grace, look", True),
        ("@grace-hopper, look", True),
        ("grace@lead.example wrote", False),
        ("@leader and @gracehopper", False),
        ("lead", False),
    ],
)
async def test_a_lead_can_comment_after_it_was_mentioned(
    session, world, message, is_mention
) -> None:
    session.add(world.lead)
    world.lead.name = "Grace Hopper"
    task = await add_task(session, world)
    await comment(session, world, world.worker, task, message)
    if is_mention:
        await comment(session, world, world.lead, task, "I see.")
    else:
        with pytest.raises(Forbidden):
            await comment(session, world, world.lead, task, "I see.")


async def test_a_lead_can_comment_on_a_task_it_created(session, world) -> None:
    found = await tasks.create_task(session, world.lead, world.board, TaskCreate(title="Plan"))
    await comment(session, world, world.lead, found.task, "More about that.")
