"""The log of a channel: what was sent, what the receiver answered, and sending again."""

from collections.abc import Sequence
from datetime import timedelta
from operator import itemgetter
from uuid import UUID

from sqlalchemy import Integer, bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.errors import Conflict, NotFound
from core.text import N_
from models import DeliveryState, Notification, NotificationChannel, NotificationDelivery
from services import notifications
from services.notifications import SendOutcome, SendResult
from services.outbox import wake_workers

LOG_SIZE = 50  # messages on a page
TEST_LIFETIME = timedelta(days=90)  # as of notifications, with which other messages are deleted

LOG: Query[tuple[NotificationDelivery, Notification | None]] = Query(
    select(NotificationDelivery, Notification)
    .outerjoin(Notification, Notification.id == NotificationDelivery.notification_id)
    .where(NotificationDelivery.channel_id == bindparam("channel_id"))
    .order_by(NotificationDelivery.created_at.desc(), NotificationDelivery.id.desc())
    .limit(bindparam("limit", type_=Integer()))
)

LOCKED_DELIVERY: Query[NotificationDelivery] = Query(
    select(NotificationDelivery)
    .where(
        NotificationDelivery.id == bindparam("id"),
        NotificationDelivery.channel_id == bindparam("channel_id"),
    )
    .with_for_update()
    .execution_options(populate_existing=True),
    itemgetter(0),
)


async def list_sent_messages(
    source: Source, channel: NotificationChannel
) -> Sequence[tuple[NotificationDelivery, Notification | None]]:
    """Return the last messages of a channel, newest first; a test has no notification."""
    return await LOG.fetch(source, channel_id=channel.id, limit=LOG_SIZE)


async def record_test(
    session: AsyncSession, channel: NotificationChannel, id: UUID, result: SendResult
) -> None:
    """Record a test that was sent on a locked channel. It is not repeated."""
    at, is_delivered = now(), result.outcome is SendOutcome.DELIVERED
    session.add(
        NotificationDelivery(
            id=id,
            channel_id=channel.id,
            state=DeliveryState.DELIVERED if is_delivered else DeliveryState.FAILED,
            attempts=1,
            next_attempt_at=at,
            last_error=None if is_delivered else str(result.reason or result.outcome),
            request=result.request or None,
            response=result.response or result.detail or None,
            created_at=at,
            delivered_at=at if is_delivered else None,
        )
    )
    await notifications.record_channel_state(session, channel, result)


async def send_again(session: AsyncSession, channel: NotificationChannel, id: UUID) -> None:
    """Send a failed message of a locked channel again. Raises NotFound and Conflict.

    The worker leaves it out if the notification was read or resolved meanwhile.
    """
    delivery = await LOCKED_DELIVERY.first(session, id=id, channel_id=channel.id)
    if delivery is None or delivery.notification_id is None:
        raise NotFound("delivery_not_found", N_("There is no such message."))
    if delivery.state is not DeliveryState.FAILED:
        raise Conflict("delivery_not_failed", N_("Only a message that failed can be sent again."))
    delivery.state, delivery.attempts = DeliveryState.QUEUED, 0
    delivery.next_attempt_at = delivery.created_at = now()
    await session.flush()
    await wake_workers(session, notifications.DELIVERY_TOPIC)


async def delete_old_tests(session: AsyncSession) -> None:
    """Delete the tests of all channels that were sent longer ago than they are kept."""
    is_old = NotificationDelivery.created_at < now() - TEST_LIFETIME
    is_test = NotificationDelivery.notification_id.is_(None)
    await session.execute(delete(NotificationDelivery).where(is_test, is_old))
