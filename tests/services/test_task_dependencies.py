"""Dependencies between tasks, and the effects of a task on its dependents."""

from itertools import pairwise

import pytest
from sqlalchemy import insert, select

from core.clock import now
from core.errors import Conflict, Invalid, NotFound
from core.paging import Paging
from models import Event, EventType, Status, Task, TaskDependency, new_id
from services import tasks
from services.pickers import PickerKind, PickerPlace, list_options
from services.tasks.dependencies import is_reachable

INBOX, IN_PROGRESS, REVIEW, DONE = Status


async def add_task(session, world, title, *, after=(), **fields):
    task = world.make_task(title, **fields)
    session.add(task)
    await session.flush()
    if after:
        await set_dependencies(session, world, task, after)
    return task


async def set_dependencies(session, world, task, others):
    return await tasks.update_task(
        session,
        world.alice,
        world.board,
        task.id,
        tasks.TaskUpdate.of(depends_on_task_ids=[one.id for one in others]),
    )


async def list_events(session, task):
    query = select(Event).where(Event.task_id == task.id).order_by(Event.seq)
    return (await session.scalars(query)).all()


async def test_dependencies_keep_the_order_in_which_they_were_sent(session, world) -> None:
    one, two, three = [await add_task(session, world, title) for title in ("1", "2", "3")]
    found = await set_dependencies(session, world, three, [two, one, two])
    assert found.depends_on_task_ids == found.blocked_by_task_ids == [two.id, one.id]
    assert [other.title for other in found.blocked_by] == ["2", "1"]
    found = await set_dependencies(session, world, three, [one])
    assert found.depends_on_task_ids == [one.id]
    changes = (await list_events(session, three))[-1].data["changes"]
    assert changes == {"depends_on_task_ids": [[str(two.id), str(one.id)], [str(one.id)]]}
    unblocks = (await tasks.get_task_detail(session, world.board, one.id)).unblocks
    assert [(other.id, other.status) for other in unblocks] == [(three.id, INBOX)]


async def test_dependency_cycles_are_rejected(session, world) -> None:
    one = await add_task(session, world, "1")
    two = await add_task(session, world, "2", after=[one])
    three = await add_task(session, world, "3", after=[two])
    with pytest.raises(Conflict) as error_info:
        await set_dependencies(session, world, one, [three])
    assert error_info.value.code == "dependency_cycle"
    with pytest.raises(Invalid):
        await set_dependencies(session, world, one, [one])
    changes = {"depends_on_task_ids": [two.id, unknown_id := new_id()]}
    with pytest.raises(NotFound) as missing:
        await tasks.update_task(
            session, world.lead, world.board, one.id, tasks.TaskUpdate.of(**changes)
        )
    assert missing.value.details == {"missing_task_ids": [str(unknown_id)]}


async def test_a_cycle_through_thousands_of_tasks_is_detected(session, world) -> None:
    """C42."""
    chain = [world.make_task(str(n)) for n in range(3_000)]
    session.add_all(chain)
    await session.flush()
    links = [
        {"id": new_id(), "task_id": later.id, "depends_on_task_id": earlier.id}
        | {"board_id": world.board.id, "created_at": now(), "position": 0}
        for earlier, later in pairwise(chain)
    ]
    await session.execute(insert(TaskDependency), links)
    with pytest.raises(Conflict):
        await set_dependencies(session, world, chain[0], [chain[-1]])


def test_reachability_works_in_a_graph_with_a_cycle() -> None:
    a, b, c, d = (new_id() for _ in range(4))
    edges = {a: [b], b: [a, c]}
    assert is_reachable(edges, [a], c)
    assert not is_reachable(edges, [a], d)


async def test_dependencies_of_a_done_task_cannot_change(session, world) -> None:
    one, two = await add_task(session, world, "1"), await add_task(session, world, "2", status=DONE)
    changes = {"depends_on_task_ids": [one.id]}
    for actor in (world.alice, world.lead):
        with pytest.raises(Conflict):
            await tasks.update_task(
                session, actor, world.board, two.id, tasks.TaskUpdate.of(**changes)
            )


async def test_new_dependencies_decide_whether_a_move_is_blocked(session, world) -> None:
    one = await add_task(session, world, "1")
    two = await add_task(session, world, "2", after=[one])
    three = await add_task(session, world, "3")
    changes = {"status": "in_progress", "depends_on_task_ids": [one.id]}
    with pytest.raises(Conflict):
        await tasks.update_task(
            session, world.alice, world.board, three.id, tasks.TaskUpdate.of(**changes)
        )
    changes = {"status": "in_progress", "depends_on_task_ids": []}
    found = await tasks.update_task(
        session, world.alice, world.board, two.id, tasks.TaskUpdate.of(**changes)
    )
    assert (found.task.status, found.depends_on_task_ids) == (IN_PROGRESS, [])


async def test_a_blocked_task_can_be_edited(session, world) -> None:
    """C6."""
    one = await add_task(session, world, "1")
    two = await add_task(session, world, "2", after=[one], status=IN_PROGRESS)
    found = await tasks.update_task(
        session, world.alice, world.board, two.id, tasks.TaskUpdate.of(title="Second")
    )
    assert (found.task.title, found.task.status) == ("Second", IN_PROGRESS)


async def test_completing_a_task_records_events_for_its_dependents(session, world) -> None:
    one = await add_task(session, world, "1")
    two = await add_task(session, world, "2", after=[one])
    done = await add_task(session, world, "3", after=[one])
    done.status = DONE
    version = two.version
    await tasks.update_task(
        session, world.worker, world.board, one.id, tasks.TaskUpdate.of(status="done")
    )

    event = (await list_events(session, two))[-1]
    assert (event.type, event.agent_id) == (EventType.TASK_UPDATED, world.worker.id)
    assert event.data["completed_task_id"] == str(one.id)
    assert len(await list_events(session, done)) == 1
    assert two.version == version
    assert not (await tasks.get_task_detail(session, world.board, two.id)).is_blocked
    await tasks.update_task(
        session, world.worker, world.board, two.id, tasks.TaskUpdate.of(status="in_progress")
    )


async def test_reopening_a_task_returns_started_dependents_to_the_inbox(session, world) -> None:
    one = await add_task(session, world, "1", status=DONE)
    fields = {"assigned_agent_id": world.worker.id, "in_progress_at": now()}
    started = await add_task(session, world, "2", after=[one], status=IN_PROGRESS, **fields)
    assigned = await add_task(session, world, "3", after=[one], assigned_agent_id=world.worker.id)
    waiting = await add_task(session, world, "4", after=[one])
    done = await add_task(session, world, "5", after=[one])
    done.status = DONE
    await tasks.update_task(
        session, world.alice, world.board, one.id, tasks.TaskUpdate.of(status="in_progress")
    )

    for task, left in [(started, "in_progress"), (assigned, "inbox")]:
        assert (task.status, task.assigned_agent_id, task.in_progress_at) == (INBOX, None, None)
        event = (await list_events(session, task))[-1]
        assert event.type is EventType.TASK_STATUS_CHANGED
        assert event.data["reopened_task_id"] == str(one.id)
        assert (event.data["left"], event.data["entered"]) == (left, "inbox")
    event = (await list_events(session, waiting))[-1]
    assert (event.type, event.data["reopened_task_id"]) == (EventType.TASK_UPDATED, str(one.id))
    assert done.status is DONE
    assert (await tasks.get_task_detail(session, world.board, done.id)).blocked_by_task_ids == []


async def test_dependency_choices_exclude_tasks_that_would_create_a_cycle(session, world) -> None:
    one = await add_task(session, world, "1")
    two = await add_task(session, world, "2", after=[one])
    await add_task(session, world, "3", after=[two])
    four = await add_task(session, world, "4")
    other_board_task = Task(board_id=world.garden.id, title="E", created_at=now(), updated_at=now())
    session.add(other_board_task)
    await session.flush()
    place = PickerPlace(world.alice_member, world.board, two.id)
    choices = await list_options(session, place, PickerKind.TASKS, "", Paging())
    assert [choice.key for choice in choices.items] == [str(four.id), str(one.id)]
