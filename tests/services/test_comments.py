"""What people and agents say about tasks, and when a lead may."""

import pytest
from sqlalchemy import select

from kit.errors import Forbidden, Invalid
from kit.paging import Paging
from models import Event, EventType, Status
from services import tasks
from services.tasks import TaskDraft


async def add(session, world, **fields):
    task = world.task(**fields)
    session.add(task)
    await session.flush()
    return task


async def say(session, world, actor, task, message):
    return await tasks.comment(session, actor, world.board, task.id, message)


async def test_people_and_workers_comment_on_every_task_and_sign_it(session, world) -> None:
    task = await add(session, world, assigned_agent_id=world.other_worker.id)
    by_alice = await say(session, world, world.alice, task, " How far? ")
    by_worker = await say(session, world, world.worker, task, "Half way.")

    assert (by_alice.author_name, by_worker.author_name) == ("Alice", "Worker")
    page = await tasks.comments(session, world.board, task.id, Paging())
    assert [(one.comment.message, one.author_name) for one in page.items] == [
        ("How far?", "Alice"),
        ("Half way.", "Worker"),
    ]
    assert (page.items[0].comment.user_id, page.items[0].comment.agent_id) == (world.alice.id, None)
    said = select(Event).where(Event.type == EventType.TASK_COMMENT)
    first, second = await session.scalars(said.order_by(Event.seq))
    assert (first.id, first.type) == (by_alice.comment.id, EventType.TASK_COMMENT)
    assert (first.user_id, second.agent_id) == (world.alice.id, world.worker.id)
    assert task.version == 1


async def test_comments_come_in_pages(session, world) -> None:
    task = await add(session, world)
    for n in range(5):
        await say(session, world, world.alice, task, str(n))
    page = await tasks.comments(session, world.board, task.id, Paging(limit=2, offset=2))
    assert ([one.comment.message for one in page.items], page.total) == (["2", "3"], 5)
    page = await tasks.comments(session, world.board, task.id, Paging(limit=2, offset=9))
    assert (page.items, page.total) == ([], 5)


async def test_a_comment_says_something_that_can_be_kept(session, world) -> None:
    task = await add(session, world)
    for message in ("", " \n", "a\0b", "x" * 100_001, "\ud800", None):
        with pytest.raises(Invalid) as refused:
            await say(session, world, world.alice, task, message)
        assert refused.value.field == "message"


async def test_a_lead_comments_in_review(session, world) -> None:
    task = await add(session, world, status=Status.REVIEW)
    assert (await say(session, world, world.lead, task, "Good.")).author_name == "Lead"
    for status in (Status.INBOX, Status.IN_PROGRESS, Status.DONE):
        other = await add(session, world, status=status)
        with pytest.raises(Forbidden) as refused:
            await say(session, world, world.lead, other, "Good.")
        assert refused.value.code == "lead_comment_forbidden"


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ("What do you say, @LEAD?", True),
        ("@grace, look", True),
        ("@grace-hopper, look", True),
        ("grace@lead.example wrote", False),
        ("@leader and @gracehopper", False),
        ("lead", False),
    ],
)
async def test_a_lead_comments_once_it_was_mentioned(session, world, message, asked) -> None:
    session.add(world.lead)
    world.lead.name = "Grace Hopper"
    task = await add(session, world)
    await say(session, world, world.worker, task, message)
    if asked:
        await say(session, world, world.lead, task, "I see.")
    else:
        with pytest.raises(Forbidden):
            await say(session, world, world.lead, task, "I see.")


async def test_a_lead_comments_on_what_it_created(session, world) -> None:
    found = await tasks.create(session, world.lead, world.board, TaskDraft(title="Plan"))
    await say(session, world, world.lead, found.task, "More about that.")
