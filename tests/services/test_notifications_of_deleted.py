"""Notifications about deleted objects are resolved: nobody can act, links lead nowhere."""

from collections.abc import Sequence
from datetime import time, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import (
    EventType,
    Notification,
    NotificationKind,
    NotificationSettings,
    Status,
    Task,
    new_id,
)
from services import (
    agents,
    approvals,
    boards,
    gateways,
    notifications,
    questions,
    tasks,
    webhook_endpoints,
)
from services.approvals import ApprovalCreate
from services.events import NewEvent, record_events
from services.notifications import NewNotification
from tests.support.gateway_rows import make_gateway
from tests.support.secret_key import CIPHER
from tests.support.world import World

Kind = NotificationKind


async def list_open(session: AsyncSession) -> Sequence[Kind]:
    """Return the kinds of notifications that are not resolved."""
    query = select(Notification.kind).where(Notification.resolved_at.is_(None))
    return sorted(set(await session.scalars(query)))


async def record(session: AsyncSession, world: World, type: EventType, **data: object) -> None:
    """Record an event of the worker that nobody has caused."""
    event = NewEvent(
        type,
        None,
        organization_id=world.tern.id,
        board=world.board,
        subject=world.worker,
        data={"name": "Worker", **data},
    )
    await record_events(session, [event])


async def test_a_deleted_agent_needs_nobody(session: AsyncSession, world: World) -> None:
    await record(session, world, EventType.AGENT_PROVISION_FAILED, error="It is broken.")
    await record(session, world, EventType.AGENT_STATUS_CHANGED, to="offline")
    await record(session, world, EventType.AGENT_HELD, reason="Too much.")
    world.board.workers_may_ask_people = True
    await questions.ask_question(session, world.worker, world.board, "Which logo?")
    await questions.ask_question(session, world.other_worker, world.board, "Which font?")
    settings = NotificationSettings(
        id=new_id(),
        user_id=world.bob.id,
        organization_id=world.tern.id,
        digest_at=time(8),
        updated_at=now(),
        escalate_to_user_id=world.alice.id,
        escalate_after_minutes=5,
    )
    session.add(settings)
    await session.flush()
    problems = [Kind.AGENT_HELD, Kind.AGENT_OFFLINE, Kind.AGENT_STUCK]
    assert await list_open(session) == [*problems, Kind.QUESTION]
    await agents.delete_agent(session, world.alice, world.worker.id)
    assert await list_open(session) == [Kind.QUESTION]
    earlier = Notification.created_at - timedelta(hours=1)
    await session.execute(update(Notification).values(created_at=earlier))
    assert await notifications.escalate(session) == 1  # only that of the other worker


async def test_a_deleted_gateway_needs_nobody(session: AsyncSession, world: World) -> None:
    gone, other = make_gateway(world.tern), make_gateway(world.tern, "Pier")
    session.add_all([gone, other])
    await session.flush()
    for gateway in (gone, other):
        data = {"gateway_id": str(gateway.id), "name": gateway.name, "is_away": True}
        event = NewEvent(EventType.GATEWAY_UPDATED, None, organization_id=world.tern.id, data=data)
        await record_events(session, [event])
    await gateways.delete_gateway(session, world.alice_member, gone.id)
    query = select(Notification.gateway_id).where(Notification.resolved_at.is_(None))
    assert set(await session.scalars(query)) == {other.id}


async def test_a_deleted_webhook_needs_nobody(session: AsyncSession, world: World) -> None:
    draft = webhook_endpoints.WebhookEndpointCreate(url="https://example.com/")
    endpoint, _ = await webhook_endpoints.create_endpoint(
        session, world.alice_member, CIPHER, draft
    )
    disabled = NewNotification(
        Kind.WEBHOOK_DISABLED, world.tern.id, str(endpoint.id), user_ids=[world.alice.id]
    )
    await notifications.notify(session, [disabled])
    await webhook_endpoints.delete_endpoint(session, world.alice_member, endpoint)
    assert await list_open(session) == []


async def add_due_task(session: AsyncSession, world: World) -> Task:
    """Add a task of Bob that is due, and stale."""
    task = world.make_task(
        status=Status.IN_PROGRESS, assigned_user_id=world.bob.id, due_at=now() + timedelta(hours=1)
    )
    task.updated_at = now() - timedelta(days=1)
    session.add(task)
    await session.flush()
    await tasks.follow_up_tasks(session, world.board.id)
    await tasks.remind_of_due_dates(session)
    return task


async def request_approval(session: AsyncSession, world: World, *task_ids: UUID) -> None:
    """Request an approval about tasks as the lead."""
    board = await boards.lock_board(session, world.lead, world.board.id)
    draft = ApprovalCreate(
        action_type="deploy", confidence=90, lead_reasoning="It is ready.", task_ids=task_ids
    )
    await approvals.request_approval(session, world.lead, board, draft)


async def test_a_deleted_task_needs_nobody_until_it_is_restored(
    session: AsyncSession, world: World
) -> None:
    task = await add_due_task(session, world)
    await request_approval(session, world, task.id)
    assert await list_open(session) == [Kind.APPROVAL_PENDING, Kind.DUE_SOON, Kind.TASK_STALE]
    await tasks.delete_task(session, world.alice, world.board, task.id)
    assert await list_open(session) == []
    await tasks.restore_task(session, world.alice, world.board, task.id)
    assert await list_open(session) == [Kind.APPROVAL_PENDING]
    await tasks.remind_of_due_dates(session)
    assert await list_open(session) == [Kind.APPROVAL_PENDING, Kind.DUE_SOON]


async def test_an_approval_about_other_tasks_too_still_waits(
    session: AsyncSession, world: World
) -> None:
    task, other = await add_due_task(session, world), world.make_task("Other")
    session.add(other)
    await session.flush()
    await request_approval(session, world, task.id, other.id)
    await tasks.delete_task(session, world.alice, world.board, task.id)
    assert await list_open(session) == [Kind.APPROVAL_PENDING]
