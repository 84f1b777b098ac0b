"""What waits for what, and what happens to those that wait."""

from itertools import pairwise

import pytest
from sqlalchemy import insert, select

from kit.clock import now
from kit.errors import Conflict, Invalid, NotFound
from models import Event, EventType, Status, Task, TaskDependency, new_id
from services import tasks
from services.tasks.dependencies import reaches, upstream

INBOX, IN_PROGRESS, REVIEW, DONE = Status


async def add(session, world, title, *, after=(), **fields):
    task = world.task(title, **fields)
    session.add(task)
    await session.flush()
    if after:
        await waits(session, world, task, after)
    return task


async def waits(session, world, task, others):
    return await tasks.change(
        session,
        world.alice,
        world.board,
        task.id,
        {"depends_on_task_ids": [one.id for one in others]},
    )


async def told(session, task):
    query = select(Event).where(Event.task_id == task.id).order_by(Event.seq)
    return (await session.scalars(query)).all()


async def test_dependencies_are_shown_in_the_order_in_which_they_were_named(session, world) -> None:
    one, two, three = [await add(session, world, title) for title in ("1", "2", "3")]
    found = await waits(session, world, three, [two, one, two])
    assert found.depends_on_task_ids == found.blocked_by_task_ids == [two.id, one.id]
    assert [other.title for other in found.blocked_by] == ["2", "1"]
    found = await waits(session, world, three, [one])
    assert found.depends_on_task_ids == [one.id]
    changes = (await told(session, three))[-1].data["changes"]
    assert changes == {"depends_on_task_ids": [[str(two.id), str(one.id)], [str(one.id)]]}
    unblocks = (await tasks.detail(session, world.board, one.id)).unblocks
    assert [(other.id, other.status) for other in unblocks] == [(three.id, INBOX)]


async def test_tasks_do_not_wait_in_a_circle(session, world) -> None:
    one = await add(session, world, "1")
    two = await add(session, world, "2", after=[one])
    three = await add(session, world, "3", after=[two])
    with pytest.raises(Conflict) as refused:
        await waits(session, world, one, [three])
    assert refused.value.code == "dependency_circle"
    with pytest.raises(Invalid):
        await waits(session, world, one, [one])
    changes = {"depends_on_task_ids": [two.id, lost := new_id()]}
    with pytest.raises(NotFound) as missing:
        await tasks.change(session, world.lead, world.board, one.id, changes)
    assert missing.value.details == {"missing_task_ids": [str(lost)]}


async def test_a_chain_of_thousands_is_followed_to_its_end(session, world) -> None:
    """C42."""
    chain = [world.task(str(n)) for n in range(3_000)]
    session.add_all(chain)
    await session.flush()
    links = [
        {"id": new_id(), "task_id": later.id, "depends_on_task_id": earlier.id}
        | {"board_id": world.board.id, "created_at": now(), "position": 0}
        for earlier, later in pairwise(chain)
    ]
    await session.execute(insert(TaskDependency), links)
    with pytest.raises(Conflict):
        await waits(session, world, chain[0], [chain[-1]])


def test_ways_are_found_also_in_a_graph_that_has_a_circle_already() -> None:
    a, b, c, d = (new_id() for _ in range(4))
    edges = {a: [b], b: [a, c]}
    assert reaches(edges, [a], c)
    assert not reaches(edges, [a], d)
    assert upstream(edges, c) == {a, b, c}


async def test_what_a_done_task_waited_for_does_not_change(session, world) -> None:
    one, two = await add(session, world, "1"), await add(session, world, "2", status=DONE)
    changes = {"depends_on_task_ids": [one.id]}
    for actor in (world.alice, world.lead):
        with pytest.raises(Conflict):
            await tasks.change(session, actor, world.board, two.id, changes)


async def test_the_dependencies_that_are_sent_decide_whether_a_task_is_blocked(
    session, world
) -> None:
    one = await add(session, world, "1")
    two = await add(session, world, "2", after=[one])
    three = await add(session, world, "3")
    changes = {"status": "in_progress", "depends_on_task_ids": [one.id]}
    with pytest.raises(Conflict):
        await tasks.change(session, world.alice, world.board, three.id, changes)
    changes = {"status": "in_progress", "depends_on_task_ids": []}
    found = await tasks.change(session, world.alice, world.board, two.id, changes)
    assert (found.task.status, found.depends_on_task_ids) == (IN_PROGRESS, [])


async def test_a_blocked_task_can_still_be_edited(session, world) -> None:
    """C6."""
    one = await add(session, world, "1")
    two = await add(session, world, "2", after=[one], status=IN_PROGRESS)
    found = await tasks.change(session, world.alice, world.board, two.id, {"title": "Second"})
    assert (found.task.title, found.task.status) == ("Second", IN_PROGRESS)


async def test_a_done_task_lets_those_hear_of_it_that_waited(session, world) -> None:
    one = await add(session, world, "1")
    two = await add(session, world, "2", after=[one])
    done = await add(session, world, "3", after=[one])
    done.status = DONE
    version = two.version
    await tasks.change(session, world.worker, world.board, one.id, {"status": "done"})

    heard = (await told(session, two))[-1]
    assert (heard.type, heard.agent_id) == (EventType.TASK_UPDATED, world.worker.id)
    assert heard.data["completed_task_id"] == str(one.id)
    assert len(await told(session, done)) == 1
    assert two.version == version
    assert not (await tasks.detail(session, world.board, two.id)).is_blocked
    await tasks.change(session, world.worker, world.board, two.id, {"status": "in_progress"})


async def test_a_reopened_task_sends_back_those_that_had_begun(session, world) -> None:
    one = await add(session, world, "1", status=DONE)
    fields = {"assigned_agent_id": world.worker.id, "in_progress_at": now()}
    begun = await add(session, world, "2", after=[one], status=IN_PROGRESS, **fields)
    assigned = await add(session, world, "3", after=[one], assigned_agent_id=world.worker.id)
    waiting = await add(session, world, "4", after=[one])
    done = await add(session, world, "5", after=[one])
    done.status = DONE
    await tasks.change(session, world.alice, world.board, one.id, {"status": "in_progress"})

    for task, left in [(begun, "in_progress"), (assigned, "inbox")]:
        assert (task.status, task.assigned_agent_id, task.in_progress_at) == (INBOX, None, None)
        event = (await told(session, task))[-1]
        assert event.type is EventType.TASK_STATUS_CHANGED
        assert event.data["reopened_task_id"] == str(one.id)
        assert (event.data["left"], event.data["entered"]) == (left, "inbox")
    heard = (await told(session, waiting))[-1]
    assert (heard.type, heard.data["reopened_task_id"]) == (EventType.TASK_UPDATED, str(one.id))
    assert done.status is DONE
    assert (await tasks.detail(session, world.board, done.id)).blocked_by_task_ids == []


async def test_one_chooses_among_the_tasks_that_close_no_circle(session, world) -> None:
    one = await add(session, world, "1")
    two = await add(session, world, "2", after=[one])
    await add(session, world, "3", after=[two])
    four = await add(session, world, "4")
    elsewhere = Task(board_id=world.garden.id, title="E", created_at=now(), updated_at=now())
    session.add(elsewhere)
    await session.flush()
    choices = await tasks.dependency_choices(session, world.board, two.id)
    assert [choice.id for choice in choices] == [four.id, one.id]
    assert len(await tasks.dependency_choices(session, world.board)) == 4
    assignable = await tasks.assignable(session, world.board)
    assert [agent.name for agent in assignable] == ["Other worker", "Worker"]
