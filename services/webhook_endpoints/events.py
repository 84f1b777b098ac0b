"""Events of endpoints, and their deactivation."""

from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncSession

from models import Actor, EventType, NotificationKind, WebhookEndpoint
from services import events, notifications


def get_endpoint_name(endpoint: WebhookEndpoint) -> str:
    """Return the description, or the host of the URL: the path can be a secret."""
    return endpoint.description or urlsplit(endpoint.url).hostname or ""


def endpoint_event(
    type: EventType, actor: Actor | None, endpoint: WebhookEndpoint, **more: object
) -> events.NewEvent:
    """Build an event of an endpoint. `more` is added to its data."""
    return events.NewEvent(
        type,
        actor,
        organization_id=endpoint.organization_id,
        data={"endpoint_id": str(endpoint.id), "name": get_endpoint_name(endpoint), **more},
    )


async def disable_endpoint(session: AsyncSession, endpoint: WebhookEndpoint, at: datetime) -> None:
    """Record that an endpoint was disabled by its failures, and notify the admins."""
    endpoint.updated_at = at
    name, reason = get_endpoint_name(endpoint), endpoint.state.value
    notification = notifications.NewNotification(
        kind=NotificationKind.WEBHOOK_DISABLED,
        organization_id=endpoint.organization_id,
        key=str(endpoint.id),
        audience=notifications.Audience.ADMINS,
        data={"name": name, "endpoint_id": str(endpoint.id), "reason": reason},
        merges=True,
    )
    await notifications.notify(session, [notification])
    disabled = endpoint_event(EventType.WEBHOOK_ENDPOINT_DISABLED, None, endpoint, reason=reason)
    await events.record_events(session, [disabled])
