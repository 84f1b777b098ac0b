"""Resolve the notifications about deleted objects: nobody can act any more, and links lead nowhere.

What has a board or a board group is deleted with it by foreign keys.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.listen import CHANNEL
from core.db.transactions import Write
from models import EventType, NotificationKind
from services.notifications.creation import USER_TOPIC

Kind = NotificationKind


def _resolve_statement(column: str) -> Write:
    """Build the statement for the objects of a column.

    The notifications lose their keys, so that a restored object can cause new ones.
    """
    return Write(
        text(f"""
        with resolved as (
            update notifications set resolved_at = :at, key = null
            where {column} = any(:ids) and kind = any(:kinds) and resolved_at is null
            returning user_id
        )
        select count(pg_notify(:channel, :user_topic || user_id))
        from (select distinct user_id from resolved) as notified
    """)  # noqa: S608
    )


AGENT_KINDS = (Kind.AGENT_STUCK, Kind.AGENT_OFFLINE, Kind.AGENT_HELD, Kind.QUESTION)
GATEWAY_KINDS = (Kind.GATEWAY_AWAY, Kind.GATEWAY_CONFIG_INVALID)
TASK_KINDS = (Kind.TASK_STALE, Kind.DUE_SOON)
DELETIONS: dict[EventType, tuple[Write, Sequence[NotificationKind]]] = {
    EventType.AGENT_DELETED: (_resolve_statement("agent_id"), AGENT_KINDS),
    EventType.GATEWAY_DELETED: (_resolve_statement("gateway_id"), GATEWAY_KINDS),
    EventType.TASK_DELETED: (_resolve_statement("task_id"), TASK_KINDS),
}
"""Events of deletions: how the notifications are resolved, and of which kinds."""


async def resolve_deleted(session: AsyncSession, type: EventType, ids: Sequence[UUID]) -> None:
    """Resolve the notifications about objects that were deleted, as an event of this type says."""
    resolve, kinds = DELETIONS[type]
    await resolve.execute(
        session,
        ids=list(ids),
        kinds=[kind.value for kind in kinds],
        at=now(),
        channel=CHANNEL,
        user_topic=f"{USER_TOPIC}:",
    )
