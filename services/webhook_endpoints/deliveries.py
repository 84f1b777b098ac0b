"""Create the deliveries of new events, exactly one for each endpoint and event, or repeat them.

A cursor of the endpoint names the last event that was looked at. It moves in the transaction that
creates the deliveries. docs/decisions/outgoing-webhooks.md gives the reasons.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.transactions import delete_unlocked
from core.errors import Conflict, Invalid
from core.text import N_
from models import (
    Comment,
    EndpointState,
    Event,
    EventType,
    WebhookDelivery,
    WebhookDeliveryState,
    WebhookEndpoint,
    new_id,
)
from services.outbox import wake_workers
from services.webhook_endpoints.catalog import (
    PUBLIC_TYPES,
    TEST_TYPE,
    build_payload,
    build_test_payload,
    is_wanted,
)
from services.webhook_endpoints.commands import OWNER_HAS_ACCESS, TOPIC, disable_endpoint
from services.webhook_endpoints.rules import OUTBOX

LOG_LIFETIME = timedelta(days=30)
BATCH_SIZE = 200  # events that are looked at in one transaction
MAX_REPLAYED = 1_000  # events of one replay


async def create_deliveries(session: AsyncSession, endpoint_id: UUID, base_url: str) -> bool:
    """Create the deliveries of the next events of an endpoint; return whether there may be more.

    An endpoint that another worker has locked is left to it. One whose owner may not read its
    boards any more is disabled.
    """
    query = select(WebhookEndpoint, OWNER_HAS_ACCESS).where(
        WebhookEndpoint.id == endpoint_id, WebhookEndpoint.state == EndpointState.ENABLED
    )
    locked = query.with_for_update(of=WebhookEndpoint, skip_locked=True)
    row = (await session.execute(locked)).one_or_none()
    if row is None:
        return False
    endpoint, has_access = row
    if not has_access:
        endpoint.state = EndpointState.OWNER_WITHOUT_ACCESS
        await disable_endpoint(session, endpoint, now())
        return False
    later = _events_query(endpoint.organization_id).where(Event.seq > endpoint.last_seq)
    rows = (await session.execute(later.limit(BATCH_SIZE))).all()
    if not rows:
        return False
    endpoint.last_seq = rows[-1][0].seq
    await insert_deliveries(session, endpoint, [tuple(row) for row in rows], base_url)
    return len(rows) == BATCH_SIZE


async def insert_deliveries(
    session: AsyncSession,
    endpoint: WebhookEndpoint,
    rows: Sequence[tuple[Event, str | None]],
    base_url: str,
) -> int:
    """Create the missing deliveries of events with their comments; return how many were missing.

    The caller has locked the endpoint. Events that it does not receive are left out, and comments
    that were deleted meanwhile: a receiver could not use them without their text.
    """
    values = [
        _new_delivery(endpoint, event.type, build_payload(event, comment, base_url), event.id)
        for event, comment in rows
        if is_wanted(endpoint, event.type, event.board_id)
        and (comment is not None or event.type != EventType.TASK_COMMENT)
    ]
    if not values:
        return 0
    statement = insert(WebhookDelivery).values(values)
    statement = statement.on_conflict_do_nothing(index_elements=["endpoint_id", "event_id"])
    created = await session.scalars(statement.returning(WebhookDelivery.id))
    return len(created.all())


async def create_test_delivery(session: AsyncSession, endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Create a delivery that only tries the endpoint."""
    payload = build_test_payload(endpoint.organization_id, now())
    delivery = WebhookDelivery(**_new_delivery(endpoint, TEST_TYPE, payload, None))
    session.add(delivery)
    await session.flush()
    await wake_workers(session, TOPIC)
    return delivery


def _new_delivery(
    endpoint: WebhookEndpoint, type: str, payload: str, event_id: UUID | None
) -> dict[str, Any]:
    at = now()
    return {
        "id": new_id(),
        "endpoint_id": endpoint.id,
        "event_id": event_id,
        "event_type": str(type),
        "payload": payload,
        "state": WebhookDeliveryState.PENDING,
        "attempts": 0,
        "retries_left": len(OUTBOX.retry_delays) if event_id else 0,
        "next_attempt_at": at,
        "created_at": at,
    }


def _events_query(organization_id: UUID) -> Select[Any, Any]:
    """Select events of an organization in order, with the texts of comments that exist."""
    is_comment = and_(Comment.id == Event.id, Event.type == EventType.TASK_COMMENT)
    query = select(Event, Comment.message).outerjoin(Comment, is_comment)
    return query.where(Event.organization_id == organization_id).order_by(Event.seq)


async def list_events_of_period(
    session: AsyncSession, endpoint: WebhookEndpoint, since: datetime, until: datetime, limit: int
) -> Sequence[tuple[Event, str | None]]:
    """Return the events of a period that an endpoint receives, in order."""
    query = _events_query(endpoint.organization_id).where(
        Event.created_at >= since,
        Event.created_at < until,
        Event.seq <= endpoint.last_seq,
        Event.type.in_(endpoint.event_types or PUBLIC_TYPES),
    )
    if endpoint.board_ids:
        ids = [UUID(id) for id in endpoint.board_ids]  # some may be deleted
        query = query.where(or_(Event.board_id.is_(None), Event.board_id.in_(ids)))
    return [tuple(row) for row in await session.execute(query.limit(limit))]


async def delete_old_deliveries(session: AsyncSession) -> int:
    """Delete a batch of the deliveries that were created longer ago than the log is kept."""
    is_old = WebhookDelivery.created_at < now() - LOG_LIFETIME
    return await delete_unlocked(session, WebhookDelivery, is_old)


async def replay_delivery(
    session: AsyncSession, endpoint: WebhookEndpoint, delivery: WebhookDelivery
) -> None:
    """Send a delivery again, with the same id and all its retries. Raises Conflict.

    The endpoint is locked, and `delivery` is one of its own.
    """
    _require_enabled(endpoint)
    query = select(WebhookDelivery).where(WebhookDelivery.id == delivery.id).with_for_update()
    locked = await session.scalar(query.execution_options(populate_existing=True))
    if locked is not None:
        locked.state = WebhookDeliveryState.PENDING
        locked.retries_left, locked.next_attempt_at = len(OUTBOX.retry_delays), now()
        await wake_workers(session, TOPIC)


async def replay_period(
    session: AsyncSession,
    endpoint: WebhookEndpoint,
    since: datetime,
    until: datetime,
    base_url: str,
) -> int:
    """Send what was not delivered in a period, also events that were missed during a pause.

    Returns the number of deliveries. The endpoint is locked. Raises Conflict if it is disabled, and
    Invalid if the period is too long ago or has too many events.
    """
    _require_enabled(endpoint)
    if since >= until:
        raise Invalid("replay_period_empty", N_("The end must be after the start."), field="until")
    if since < now() - LOG_LIFETIME:
        days = LOG_LIFETIME.days
        reason = N_("Only the events of the last %(days)s days can be sent again.")
        raise Invalid("replay_too_old", reason, field="since", days=days)
    found = await list_events_of_period(session, endpoint, since, until, MAX_REPLAYED + 1)
    if len(found) > MAX_REPLAYED:
        reason = N_("The period has more than %(max_count)s events. Choose a shorter one.")
        raise Invalid("replay_too_large", reason, field="until", max_count=MAX_REPLAYED)
    failed = update(WebhookDelivery).where(
        WebhookDelivery.endpoint_id == endpoint.id,
        WebhookDelivery.event_id.in_([event.id for event, _ in found]),
        WebhookDelivery.state == WebhookDeliveryState.FAILED,
    )
    values = {"state": WebhookDeliveryState.PENDING, "retries_left": len(OUTBOX.retry_delays)}
    again = failed.values(**values, next_attempt_at=now()).returning(WebhookDelivery.id)
    options = {"synchronize_session": False}
    repeated = (await session.scalars(again.execution_options(**options))).all()
    created = await insert_deliveries(session, endpoint, found, base_url)
    await wake_workers(session, TOPIC)
    return len(repeated) + created


def _require_enabled(endpoint: WebhookEndpoint) -> None:
    if not endpoint.is_enabled:
        raise Conflict("webhook_disabled", N_("This webhook is not enabled. Enable it first."))
