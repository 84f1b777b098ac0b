"""Send deliveries again: one, or those of a period that were not delivered."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Invalid
from core.text import N_
from models import WebhookDelivery, WebhookDeliveryState, WebhookEndpoint
from services.outbox import wake_workers
from services.webhook_endpoints.deliveries import (
    LOG_LIFETIME,
    TOPIC,
    insert_deliveries,
    list_events_of_period,
)
from services.webhook_endpoints.rules import OUTBOX, start_attempts

MAX_REPLAYED = 1_000  # events of one replay


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
        start_attempts(locked, now())
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
    _check_period(since, until)
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


def _check_period(since: datetime, until: datetime) -> None:
    if since >= until:
        raise Invalid("replay_period_empty", N_("The end must be after the start."), field="until")
    if since < now() - LOG_LIFETIME:
        days = LOG_LIFETIME.days
        reason = N_("Only the events of the last %(days)s days can be sent again.")
        raise Invalid("replay_too_old", reason, field="since", days=days)


def _require_enabled(endpoint: WebhookEndpoint) -> None:
    if not endpoint.is_enabled:
        raise Conflict("webhook_disabled", N_("This webhook is not enabled. Enable it first."))
