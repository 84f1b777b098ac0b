"""Tasks of people: who can get one, what moves mean, and what happens when access is lost."""

import pytest
from sqlalchemy import delete, select, update

from core.errors import Conflict, Forbidden, Invalid, NotFound
from models import BoardAccess, Event, EventType, Member, Status, Task
from services import identity, organizations, tasks
from services.organizations import AccessRights, BoardGrant
from services.tasks import BoardFilters, TaskCreate


async def make_task(session, world, **fields) -> Task:
    task = world.make_task(**fields)
    session.add(task)
    await session.flush()
    return task


async def change(session, world, actor, task, **changes):
    return (
        await tasks.update_task(
            session, actor, world.board, task.id, tasks.TaskUpdate.of(**changes)
        )
    ).task


async def list_changes(session, task) -> list[dict]:
    rows = await session.scalars(select(Event).where(Event.task_id == task.id).order_by(Event.seq))
    return [event.data["changes"] for event in rows if "changes" in event.data]


async def test_a_person_gets_a_task_and_the_agent_loses_it(session, world) -> None:
    task = await make_task(session, world, assigned_agent_id=world.worker.id)
    changed = await change(session, world, world.alice, task, assigned_user_id=world.bob.id)
    assert (changed.assigned_agent_id, changed.assigned_user_id) == (None, world.bob.id)
    changed = await change(session, world, world.alice, task, assigned_agent_id=world.worker.id)
    assert (changed.assigned_agent_id, changed.assigned_user_id) == (world.worker.id, None)
    agent, user = str(world.worker.id), str(world.bob.id)
    assert await list_changes(session, task) == [
        {"assigned_agent_id": [agent, None], "assigned_user_id": [None, user]},
        {"assigned_agent_id": [None, agent], "assigned_user_id": [user, None]},
    ]


async def test_a_new_task_can_be_of_a_person(session, world) -> None:
    draft = TaskCreate(title="Call", assigned_user_id=world.rita.id)
    detail = await tasks.create_task(session, world.alice, world.board, draft)
    assert detail.task.assigned_user_id == world.rita.id
    assert detail.assigned_user
    assert detail.assigned_user.id == world.rita.id


@pytest.mark.parametrize("name", ["dana", "charlie"])
async def test_who_cannot_read_the_board_gets_no_task(session, world, name) -> None:
    task = await make_task(session, world)
    with pytest.raises(NotFound) as error:
        await change(session, world, world.alice, task, assigned_user_id=getattr(world, name).id)
    assert (error.value.code, error.value.field) == ("user_not_found", "assigned_user_id")


async def test_a_task_has_one_assignee(session, world) -> None:
    task = await make_task(session, world)
    both = {"assigned_user_id": world.bob.id, "assigned_agent_id": world.worker.id}
    with pytest.raises(Invalid, match="one assignee"):
        await change(session, world, world.alice, task, **both)
    changed = await change(
        session, world, world.alice, task, **(both | {"assigned_agent_id": None})
    )
    assert changed.assigned_user_id == world.bob.id


async def test_null_for_an_agent_takes_no_task_from_a_person(session, world) -> None:
    task = await make_task(session, world, assigned_user_id=world.bob.id)
    changed = await change(session, world, world.alice, task, assigned_agent_id=None)
    assert changed.assigned_user_id == world.bob.id


async def test_moves_take_no_task_from_a_person(session, world) -> None:
    task = await make_task(session, world, assigned_user_id=world.bob.id)
    for status in (Status.IN_PROGRESS, Status.REVIEW, Status.INBOX, Status.DONE):
        changed = await change(session, world, world.bob, task, status=status)
        assert (changed.status, changed.assigned_user_id) == (status, world.bob.id)
        assert changed.assigned_agent_id is None


async def test_a_task_in_progress_without_its_person_returns_to_the_inbox(session, world) -> None:
    task = await make_task(session, world, assigned_user_id=world.bob.id, status=Status.IN_PROGRESS)
    changed = await change(session, world, world.alice, task, assigned_user_id=None)
    assert (changed.status, changed.assigned_user_id) == (Status.INBOX, None)


@pytest.mark.parametrize("status", ["in_progress", "review", "done", "inbox"])
async def test_a_worker_cannot_take_a_task_of_a_person(session, world, status) -> None:
    task = await make_task(session, world, assigned_user_id=world.bob.id)
    with pytest.raises(Forbidden, match="assigned to a person"):
        await change(session, world, world.worker, task, status=status)
    await change(session, world, world.worker, task, comment="Can I help?")


async def test_a_worker_cannot_claim_what_a_person_does(session, world) -> None:
    task = await make_task(session, world, assigned_user_id=world.bob.id, status=Status.IN_PROGRESS)
    with pytest.raises(Conflict, match="A person has this task"):
        await change(session, world, world.worker, task, status="in_progress")


async def test_a_lead_gives_a_task_to_a_person_and_takes_it_back(session, world) -> None:
    task = await make_task(session, world)
    changed = await change(session, world, world.lead, task, assigned_user_id=world.bob.id)
    assert changed.assigned_user_id == world.bob.id
    changed = await change(
        session,
        world,
        world.lead,
        task,
        assigned_agent_id=world.worker.id,
        status="in_progress",
    )
    assert (changed.assigned_agent_id, changed.assigned_user_id) == (world.worker.id, None)


async def test_a_lead_that_rejects_a_review_leaves_the_task_with_its_person(session, world) -> None:
    task = await make_task(session, world, assigned_user_id=world.bob.id, status=Status.REVIEW)
    changed = await change(session, world, world.lead, task, status="inbox")
    assert (changed.assigned_agent_id, changed.assigned_user_id) == (None, world.bob.id)


async def test_the_gates_of_a_board_hold_for_people(session, world) -> None:
    world.board.require_approval_for_done = True
    world.board.comment_required_for_review = True
    task = await make_task(session, world, assigned_user_id=world.bob.id)
    with pytest.raises(Conflict):
        await change(session, world, world.bob, task, status="done")
    await change(session, world, world.bob, task, status="in_progress")
    with pytest.raises(Invalid):
        await change(session, world, world.bob, task, status="review")
    await tasks.create_comment(session, world.bob, world.board, task.id, "It is written.")
    changed = await change(session, world, world.bob, task, status="review")
    assert changed.status is Status.REVIEW


async def test_tasks_of_a_person_are_filtered(session, world) -> None:
    own = await make_task(session, world, title="Own", assigned_user_id=world.bob.id)
    await make_task(session, world, title="Free")
    for filters, titles in [
        (BoardFilters(assignees=(world.bob.id,)), ["Own"]),
        (BoardFilters(unassigned=True), ["Free"]),
    ]:
        columns = await tasks.list_board_columns(session, world.board, filters)
        assert [card.title for column in columns for card in column.cards] == titles
    card = await tasks.get_card_task(session, world.board, own.id)
    assert card.assignee == (world.bob.id, world.bob.display_name, None, True)


async def test_history_names_the_person(session, world) -> None:
    task = await make_task(session, world)
    await change(session, world, world.alice, task, assigned_user_id=world.bob.id)
    entries = (await tasks.list_history(session, world.board, task.id)).entries
    [change_of_user] = entries[-1].changes
    assert change_of_user[:3] == ("assigned_user_id", None, world.bob.display_name)


async def test_a_removed_member_loses_the_open_tasks(session, world) -> None:
    working = await make_task(
        session, world, assigned_user_id=world.bob.id, status=Status.IN_PROGRESS
    )
    done = await make_task(session, world, assigned_user_id=world.bob.id, status=Status.DONE)
    locked = await organizations.lock_member(session, world.alice_member, world.bob_member.id)
    await organizations.remove_member(session, locked)
    for task in (working, done):
        await session.refresh(task)
    assert (working.status, working.assigned_user_id) == (Status.INBOX, None)
    assert done.assigned_user_id == world.bob.id
    events = list(await session.scalars(select(Event).where(Event.task_id == working.id)))
    assert [(one.type, one.user_id) for one in events] == [
        (EventType.TASK_STATUS_CHANGED, world.alice.id)
    ]


async def test_who_loses_access_to_a_board_loses_its_tasks(session, world) -> None:
    task = await make_task(session, world, assigned_user_id=world.bob.id)
    locked = await organizations.lock_member(session, world.alice_member, world.bob_member.id)
    rights = AccessRights(board_access=[BoardGrant(board_id=world.board.id)])
    await organizations.change_member_rights(session, locked, rights)
    await session.refresh(task)
    assert task.assigned_user_id == world.bob.id
    rights = AccessRights(board_access=[BoardGrant(board_id=world.garden.id)])
    await organizations.change_member_rights(session, locked, rights)
    await session.refresh(task)
    assert task.assigned_user_id is None


async def test_a_deleted_account_leaves_no_tasks(session, world) -> None:
    task = await make_task(session, world, assigned_user_id=world.bob.id)
    await identity.delete_account(session, world.bob)
    await session.refresh(task)
    assert task.assigned_user_id is None
    assert (await list_changes(session, task))[-1] == {
        "assigned_user_id": [str(world.bob.id), None]
    }


async def test_the_worker_finds_tasks_that_were_assigned_too_late(session, world) -> None:
    lost = await make_task(session, world, assigned_user_id=world.bob.id)
    kept = await make_task(session, world, assigned_user_id=world.rita.id)
    await session.execute(
        delete(BoardAccess).where(BoardAccess.organization_member_id == world.bob_member.id)
    )
    await session.execute(
        update(Member).where(Member.id == world.bob_member.id).values(all_boards_read=False)
    )
    await tasks.unassign_former_readers(session)
    for task in (lost, kept):
        await session.refresh(task)
    assert (lost.assigned_user_id, kept.assigned_user_id) == (None, world.rita.id)


async def test_a_restored_task_is_unassigned_if_its_person_has_left(session, world) -> None:
    kept = await make_task(session, world, assigned_user_id=world.rita.id)
    lost = await make_task(session, world, assigned_user_id=world.bob.id)
    for task in (kept, lost):
        await tasks.delete_task(session, world.alice, world.board, task.id)
    locked = await organizations.lock_member(session, world.alice_member, world.bob_member.id)
    await organizations.remove_member(session, locked)
    found = [
        (await tasks.restore_task(session, world.alice, world.board, task.id)).task
        for task in (kept, lost)
    ]
    assert [task.assigned_user_id for task in found] == [world.rita.id, None]
