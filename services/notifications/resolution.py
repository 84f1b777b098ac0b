"""Resolve notifications when nobody has to act any more, and reopen them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.listen import CHANNEL
from core.db.transactions import Write
from models import Board, EventType, NotificationKind
from services.notifications.creation import DELIVERY_TOPIC, ESCALATED_PREFIX, USER_TOPIC

Kind = NotificationKind


def _lock_rows(condition: str) -> str:
    """Return the start of a statement that locks notifications in the order of `notify`."""
    return f"""
    with locked as (
        select id from notifications where {condition}
        order by user_id, kind, key, id for update
    ),
    """  # noqa: S608


def _resolve_statement(condition: str, *, key: str) -> Write:
    """Build the statement that resolves notifications and sets their keys."""
    return Write(
        text(f"""
    {_lock_rows(f"{condition} and resolved_at is null")}
    resolved as (
        update notifications set resolved_at = :at, key = {key}
        where id in (select id from locked)
        returning user_id
    )
    select count(pg_notify(:channel, :user_topic || user_id))
    from (select distinct user_id from resolved) as notified
    """)  # noqa: S608
    )


_KEY_UNLESS_MERGED = "case when merges then null else key end"
_RESOLVE = _resolve_statement(
    "kind = any(:kinds) and key = any(:keys)"
    " and (cast(:user_id as uuid) is null or user_id = :user_id)",
    key=_KEY_UNLESS_MERGED,
)
_RESOLVE_CHAT_QUESTIONS = _resolve_statement(
    "kind = 'question' and board_id = :board_id and data ->> 'question_id' is null",
    key=_KEY_UNLESS_MERGED,
)

_REOPEN = Write(
    text(
        _lock_rows(  # noqa: S608
            "kind = any(:kinds) and key = any(:keys) and resolved_at is not null"
            " and user_id is distinct from cast(:excluded_user_id as uuid)"
            " and (cast(:user_id as uuid) is null or user_id = :user_id)"
        )
        + """
    reopened as (
        update notifications set
            resolved_at = null,
            read_at = case when not :is_news then read_at end,
            updated_at = case when not :is_news then updated_at else :at end
        where id in (select id from locked)
        returning id, user_id
    ),
    queued as (
        update notification_deliveries set state = 'queued'
        where notification_id in (select id from reopened) and state = 'skipped'
        returning id
    )
    select
        (select count(pg_notify(:channel, :user_topic || user_id))
            from (select distinct user_id from reopened) as notified),
        (select count(pg_notify(:channel, :delivery_topic)) from (select 1 from queued limit 1) as one)
"""  # noqa: E501
    )
)


async def resolve(
    session: AsyncSession,
    kinds: Sequence[NotificationKind],
    keys: Sequence[str],
    *,
    user_id: UUID | None = None,
) -> None:
    """Mark notifications and their escalations as resolved: nobody has to act any more.

    They are not sent any more. With `user_id` only those of one user, who has acted.
    """
    await _RESOLVE.execute(session, at=now(), user_id=user_id, **_condition(kinds, keys))


async def resolve_chat_questions(session: AsyncSession, board: Board) -> None:
    """Resolve the questions of the lead that people answer in the chat of a board."""
    parameters = {"channel": CHANNEL, "user_topic": f"{USER_TOPIC}:"}
    await _RESOLVE_CHAT_QUESTIONS.execute(session, at=now(), board_id=board.id, **parameters)


async def reopen(
    session: AsyncSession,
    kinds: Sequence[NotificationKind],
    keys: Sequence[str],
    *,
    user_id: UUID | None = None,
    excluded_user_id: UUID | None = None,
    is_news: bool = True,
) -> None:
    """Take back that notifications and their escalations are resolved, except those of one user.

    What was not sent because they were resolved is sent, unless they have been read. With `user_id`
    only those of one user, who has to act again: they are unread and first in the list, unless this
    is no news.
    """
    await _REOPEN.execute(
        session,
        at=now(),
        delivery_topic=DELIVERY_TOPIC,
        is_news=is_news and user_id is not None,
        user_id=user_id,
        excluded_user_id=excluded_user_id,
        **_condition(kinds, keys),
    )


def _condition(kinds: Sequence[NotificationKind], keys: Sequence[str]) -> dict[str, object]:
    return {
        "kinds": [kind.value for kind in kinds],
        "keys": [*keys, *(ESCALATED_PREFIX + key for key in keys)],
        "channel": CHANNEL,
        "user_topic": f"{USER_TOPIC}:",
    }


def _resolve_of_objects(column: str) -> Write:
    """Build the statement for the objects of a column.

    The notifications lose their keys, so that a restored object can cause new ones.
    """
    return _resolve_statement(f"{column} = any(:ids) and kind = any(:kinds)", key="null")


AGENT_KINDS = (
    *(Kind.AGENT_STUCK, Kind.AGENT_OFFLINE, Kind.AGENT_HELD, Kind.AGENT_UNGATED),
    Kind.QUESTION,
)
GATEWAY_KINDS = (Kind.GATEWAY_AWAY, Kind.GATEWAY_CONFIG_INVALID)
TASK_KINDS = (Kind.TASK_STALE, Kind.DUE_SOON)
DELETIONS: dict[EventType, tuple[Write, Sequence[NotificationKind]]] = {
    EventType.AGENT_DELETED: (_resolve_of_objects("agent_id"), AGENT_KINDS),
    EventType.GATEWAY_DELETED: (_resolve_of_objects("gateway_id"), GATEWAY_KINDS),
    EventType.TASK_DELETED: (_resolve_of_objects("task_id"), TASK_KINDS),
}
"""Events of deletions: how the notifications are resolved, and of which kinds."""


async def resolve_deleted(session: AsyncSession, type: EventType, ids: Sequence[UUID]) -> None:
    """Resolve the notifications about objects that were deleted, as an event of this type says.

    Nobody can act any more, and their links lead nowhere. What has a board or a board group is
    deleted with it by foreign keys.
    """
    resolve, kinds = DELETIONS[type]
    await resolve.execute(
        session,
        ids=list(ids),
        kinds=[kind.value for kind in kinds],
        at=now(),
        channel=CHANNEL,
        user_topic=f"{USER_TOPIC}:",
    )
