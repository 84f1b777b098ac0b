"""What is deleted because of its age, and what is kept because something still needs it."""

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, update

from core.clock import now
from models import (
    ApprovalStatus,
    EndpointState,
    Event,
    EventRetention,
    EventType,
    Message,
    MessageState,
    Status,
    new_id,
)
from services import counters, events, retention, tasks
from tests.support.approval_helpers import add_approval
from tests.support.board_rows import make_message, make_task
from tests.support.gateway_rows import make_gateway
from tests.support.skill_rows import make_gateway_skill, make_request_message, make_skill
from tests.support.webhook_rows import make_endpoint

OLD, RECENT = timedelta(days=100), timedelta(days=89)


async def add_event(session, world, type=EventType.TAG_CREATED, *, age=OLD, **fields: Any) -> Event:
    """Store an event that was recorded some time ago."""
    defaults = {"id": new_id(), "organization_id": world.tern.id, "data": {"name": "Words"}}
    event = Event(type=type, created_at=now() - age, **defaults | fields)
    session.add(event)
    await session.flush()
    return event


async def delete_old_events(session, *, keep_days=90) -> int:
    """Run a pass, and return the number of its transactions."""
    count = 0
    while await retention.delete_old_events(session, keep_days=keep_days):
        count += 1
    return count


async def list_events(session) -> set[Any]:
    return set(await session.scalars(select(Event.id)))


async def test_events_are_deleted_after_the_set_time(session, world) -> None:
    await add_event(session, world)
    kept = [
        await add_event(session, world, age=RECENT),
        await add_event(session, world, age=RECENT),
    ]
    await delete_old_events(session)
    assert await list_events(session) == {one.id for one in kept}


async def test_without_the_setting_no_event_is_deleted(session, world) -> None:
    await add_event(session, world)
    await add_event(session, world)
    assert await delete_old_events(session, keep_days=0) == 0
    assert len(await list_events(session)) == 2


async def test_the_last_event_of_an_organization_is_kept(session, world) -> None:
    """Subscribers continue after its number."""
    await add_event(session, world)
    last = await add_event(session, world)
    await delete_old_events(session)
    assert await list_events(session) == {last.id}


async def test_events_of_work_are_kept_until_it_has_been_done_for_the_set_time(
    session, world
) -> None:
    open_task = make_task(world.board, "Count")
    done = make_task(world.board, "Weigh", status=Status.DONE, done_at=now() - OLD)
    just_done = make_task(world.board, "Ring", status=Status.DONE, done_at=now() - RECENT)
    session.add_all([open_task, done, just_done])
    await session.flush()
    moves = [
        await add_event(
            session,
            world,
            EventType.TASK_STATUS_CHANGED,
            board_id=world.board.id,
            task_id=task.id,
            data={"left": "review", "entered": "inbox"},
        )
        for task in (open_task, done, just_done)
    ]
    last = await add_event(session, world)
    await delete_old_events(session)
    assert await list_events(session) == {moves[0].id, moves[2].id, last.id}


async def test_what_an_undecided_approval_is_about_is_kept(session, world) -> None:
    """Its own events, and the changes of its tasks, which are shown as evidence."""
    found = {}
    for status in (ApprovalStatus.PENDING, ApprovalStatus.REJECTED):
        task = make_task(world.board, "Weigh", status=Status.DONE, done_at=now() - OLD)
        session.add(task)
        await session.flush()
        second = make_task(world.board, "Ring", status=Status.DONE, done_at=now() - OLD)
        session.add(second)
        await session.flush()
        approval = await add_approval(session, world, task, second, status=status)
        about = {"board_id": world.board.id}
        requested, changed = EventType.APPROVAL_REQUESTED, EventType.TASK_UPDATED
        found[status] = {
            (await add_event(session, world, requested, approval_id=approval.id, **about)).id,
            (await add_event(session, world, changed, task_id=task.id, **about)).id,
            (await add_event(session, world, changed, task_id=second.id, **about)).id,
        }
    last = await add_event(session, world)
    await delete_old_events(session)
    assert await list_events(session) == found[ApprovalStatus.PENDING] | {last.id}


async def test_events_that_a_webhook_has_not_sent_are_kept(session, world) -> None:
    seqs = [(await add_event(session, world)).seq for _ in range(4)]
    paused = make_endpoint(world.tern, last_seq=0, state=EndpointState.PAUSED)
    session.add_all([make_endpoint(world.tern, last_seq=seqs[1]), paused])
    await session.flush()
    await delete_old_events(session)
    assert sorted(await session.scalars(select(Event.seq))) == seqs[2:]


async def test_events_that_other_reads_need_are_kept(session, world) -> None:
    """Names of deleted agents, authors of comments, the age of a token, who paused a board …."""
    types = events.list_types(lambda entry: entry.is_kept)
    assert EventType.AGENT_DELETED in types
    kept = {(await add_event(session, world, type)).id for type in types}
    token = await add_event(session, world, EventType.GATEWAY_UPDATED, data={"changed": ["token"]})
    checks = {"changed": ["checks"]}
    await add_event(session, world, EventType.GATEWAY_UPDATED, data=checks)
    last = await add_event(session, world)
    await delete_old_events(session)
    assert await list_events(session) == kept | {token.id, last.id}


async def test_comments_and_deleted_tasks_keep_their_events(session, world) -> None:
    commented, deleted = make_task(world.board, "Count"), make_task(world.board, "Weigh")
    session.add_all([commented, deleted])
    await session.flush()
    for task in (commented, deleted):
        await tasks.create_comment(session, world.alice, world.board, task.id, "Said.")
    await tasks.delete_task(session, world.alice, world.board, deleted.id)
    commented.status, commented.done_at = Status.DONE, now() - OLD
    await session.flush()
    before = await list_events(session)
    await session.execute(update(Event).values(created_at=now() - OLD))
    await delete_old_events(session)
    assert await list_events(session) == before
    await tasks.purge_trash(session, keep_days=0)
    await session.execute(delete(EventRetention))  # another day
    await delete_old_events(session)
    left = {one.type for one in await session.scalars(select(Event))}
    assert left == {EventType.TASK_COMMENT, EventType.TASK_DELETED}  # which is the last event


async def test_a_pass_continues_where_the_last_batch_ended(session, world, monkeypatch) -> None:
    """Each looks at three events, and deletes two at most."""
    monkeypatch.setattr(retention, "DELETION_BATCH_SIZE", 3)
    monkeypatch.setattr(retention, "EVENTS_AT_ONCE", 2)
    kept = [await add_event(session, world, EventType.AGENT_DELETED) for _ in range(4)]
    old = [await add_event(session, world) for _ in range(6)]
    last = await add_event(session, world, age=RECENT)
    of_tern = EventRetention.organization_id == world.tern.id
    positions: list[int | None] = []
    while await retention.delete_old_events(session, keep_days=90):
        positions.append(await session.scalar(select(EventRetention.position).where(of_tern)))
    assert list(dict.fromkeys(filter(None, positions))) == [*(kept[2].seq, old[1].seq, old[3].seq)]
    assert await list_events(session) == {last.id, *(one.id for one in kept)}
    stored = await events.get_stored_events(session, world.tern.id)
    assert (stored.last_seq, stored.deleted_seq) == (last.seq, old[-1].seq)
    assert stored.deleted_at == old[-1].created_at


async def test_the_next_pass_begins_a_day_later(session, world) -> None:
    await add_event(session, world, age=RECENT)
    await delete_old_events(session)
    await add_event(session, world)
    await add_event(session, world, age=RECENT)
    assert await delete_old_events(session) == 0
    day_ago = now() - retention.PASS_INTERVAL - timedelta(minutes=1)
    await session.execute(update(EventRetention).values(completed_at=day_ago))
    await delete_old_events(session)
    assert len(await list_events(session)) == 2


async def test_counters_are_right_after_a_deletion(session, world) -> None:
    task = make_task(world.board, "Count", status=Status.DONE, done_at=now() - OLD)
    session.add(task)
    await session.flush()
    place = {"board_id": world.board.id, "agent_id": world.worker.id}
    moved = {"left": "inbox", "entered": "done"}
    sent = {"message_id": str(new_id())}
    for age in (OLD, RECENT):
        type = EventType.TASK_STATUS_CHANGED
        await add_event(session, world, type, age=age, task_id=task.id, data=moved, **place)
        for type in (EventType.MESSAGE_SENT, EventType.MESSAGE_ACKNOWLEDGED):
            await add_event(session, world, type, age=age, data=sent, **place)
    await delete_old_events(session)
    assert len(await list_events(session)) == 3
    assert await counters.repair_counters(session) == []


async def test_finished_messages_are_deleted_after_the_set_time(session, world) -> None:
    failed = {"state": MessageState.FAILED, "last_error": "It failed."}
    acknowledged = {"state": MessageState.ACKNOWLEDGED}
    at = {age: {"waiting_since": now() - age, "created_at": now() - age} for age in (OLD, RECENT)}
    over: list[dict[str, Any]] = [
        failed | at[OLD],
        acknowledged | at[OLD] | {"acknowledged_at": now() - OLD},
    ]
    kept: list[dict[str, Any]] = [
        at[OLD],  # queued
        at[OLD] | {"state": MessageState.SENT},
        failed | at[RECENT],
        acknowledged | at[OLD] | {"acknowledged_at": now() - RECENT},
    ]
    session.add_all([make_message(world.worker, **fields) for fields in over + kept])
    await session.flush()
    assert await retention.delete_old_messages(session, keep_days=0) == 0
    assert await retention.delete_old_messages(session, keep_days=90) == len(over)
    assert await session.scalar(select(func.count(Message.id))) == len(kept)


async def test_the_message_of_a_skill_request_is_kept(session, world) -> None:
    """The page of the skill shows whether it has failed."""
    gateway, skill = make_gateway(world.tern), make_skill(world.tern)
    over = {"last_error": "It failed.", "waiting_since": now() - OLD}
    failed = make_request_message(world.worker, MessageState.FAILED, **over)
    session.add_all([gateway, skill, failed])
    await session.flush()
    session.add(make_gateway_skill(gateway, skill, message_id=failed.id))
    await session.flush()
    assert await retention.delete_old_messages(session, keep_days=90) == 0
