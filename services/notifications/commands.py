"""Mark notifications as read or unread, and delete old ones.

Pages of the user learn of each change at the commit.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    DateTime,
    Select,
    String,
    Uuid,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.listen import CHANNEL
from core.db.reads import Query, Source
from core.db.transactions import Write
from models import Board, Member, Notification, NotificationCount, NotificationKind, User
from services.notifications.creation import USER_TOPIC
from services.notifications.queries import (
    IS_LISTED_UNREAD,
    IS_UNREAD,
    NOTIFICATION_ID,
    USER_ID,
    NotificationEntry,
    NotificationFilters,
    get_notification,
)
from services.notifications.rules import KINDS_BY_GROUP, KindGroup

NAMES_OF_IDS = ("request_id", "endpoint_id", "channel_id")
"""Ids in the data of notifications: of gateway requests, webhooks and channels."""
_AT = bindparam("at", type_=DateTime(timezone=True))


class OpenedPage(NamedTuple):
    """The object whose page a user has opened."""

    task_id: UUID | None = None
    approval_id: UUID | None = None
    agent_id: UUID | None = None
    gateway_id: UUID | None = None
    chat_board_id: UUID | None = None  # the board whose newest chat is shown: marks its questions
    named_id: UUID | None = None  # of an object of NAMES_OF_IDS
    note_ids: Sequence[UUID] = ()  # of the notes or chat messages that it shows

    def to_parameters(self, user: User) -> Mapping[str, object]:
        """Return the parameters of the statements."""
        named_id = str(self.named_id) if self.named_id else None
        note_ids = [str(id) for id in self.note_ids]
        return {"user_id": user.id, **self._asdict(), "named_id": named_id, "note_ids": note_ids}


def _mark_statement(condition: ColumnElement[bool], is_read: ColumnElement[bool]) -> Write:
    """Mark notifications that fit a condition, and count them.

    The rows are locked in the order in which `notify` locks them, after their boards: see
    `boards.block_agent_deletion`. One that merges loses its key, so that the next cause creates
    another one.
    """
    board_ids = select(Notification.board_id).where(condition)
    kept = select(Board.id).where(Board.id.in_(board_ids)).order_by(Board.id)
    kept_count = select(func.count()).select_from(
        kept.with_for_update(read=True, key_share=True).subquery("kept")
    )
    order = (Notification.user_id, Notification.kind, Notification.key, Notification.id)
    locked = select(Notification.id).where(condition, kept_count.scalar_subquery() >= 0)
    locked = locked.order_by(*order).with_for_update()
    changed = (
        update(Notification)
        .where(Notification.id.in_(select(locked.cte("locked").c.id)))
        .values(
            read_at=case((is_read, _AT), else_=null()),
            key=case((Notification.merges & is_read, null()), else_=Notification.key),
        )
        .returning(Notification.id)
        .cte("changed")
    )
    once = select(literal(1)).select_from(changed).limit(1).subquery()
    topic = bindparam("topic", type_=String)
    notified = select(func.count(func.pg_notify(bindparam("channel", type_=String), topic)))
    return Write(
        select(func.count(), notified.select_from(once).scalar_subquery()).select_from(changed)
    )


async def _execute(
    statement: Write, session: AsyncSession, user_id: UUID, parameters: Mapping[str, object]
) -> int:
    notified = {"channel": CHANNEL, "topic": f"{USER_TOPIC}:{user_id}"}
    [row] = await statement.execute(session, at=now(), **notified, **parameters)
    return row[0]


_IS_READ: ColumnElement[bool] = bindparam("is_read", type_=Boolean())
_MARK_ONE = _mark_statement(
    (Notification.id == NOTIFICATION_ID) & (Notification.read_at.is_(None) == _IS_READ), _IS_READ
)


async def mark_read(
    session: AsyncSession, member: Member, id: UUID, *, is_read: bool = True
) -> NotificationEntry:
    """Mark a notification of the member as read or unread, and return it. Raises NotFound."""
    entry = await get_notification(session, member, id)
    if (entry.notification.read_at is not None) is is_read:
        return entry
    parameters = {"notification_id": id, "is_read": is_read}
    await _execute(_MARK_ONE, session, member.user_id, parameters)
    await session.refresh(entry.notification)
    return entry


_MARK_ALL = _mark_statement(IS_LISTED_UNREAD, literal(True))


async def mark_all_read(session: AsyncSession, member: Member, filters: NotificationFilters) -> int:
    """Mark the unread notifications that fit the filters as read, and count them."""
    parameters = filters.to_parameters(member)
    return await _execute(_MARK_ALL, session, member.user_id, parameters)


def _is_about_page() -> ColumnElement[bool]:
    def equals(name: str) -> ColumnElement[bool]:
        return getattr(Notification, name) == bindparam(name, type_=Uuid())

    about_agents = Notification.kind.in_(KINDS_BY_GROUP[KindGroup.AGENTS])
    named_id = bindparam("named_id", type_=String)
    named = (Notification.data[name].astext == named_id for name in NAMES_OF_IDS)
    in_chat = and_(
        Notification.board_id == bindparam("chat_board_id", type_=Uuid()),
        Notification.task_id.is_(None),
        Notification.kind == NotificationKind.QUESTION,
    )
    note_ids = bindparam("note_ids", type_=ARRAY(String()))
    return and_(
        Notification.user_id == USER_ID,
        IS_UNREAD,
        or_(
            equals("task_id"),
            equals("approval_id"),
            *named,
            equals("agent_id") & about_agents,
            equals("gateway_id"),
            in_chat,
            Notification.data["memory_id"].astext == func.any(note_ids),
        ),
    )


_UNREAD_ABOUT_PAGE: Query[tuple[UUID]] = Query(
    select(Notification.id).where(_is_about_page()).limit(1)
)
_MARK_PAGE = _mark_statement(_is_about_page(), literal(True))


async def has_unread_about(source: Source, user: User, page: OpenedPage) -> bool:
    """Return whether opening a page marks notifications as read."""
    return await _UNREAD_ABOUT_PAGE.first(source, **page.to_parameters(user)) is not None


async def mark_page_read(session: AsyncSession, user: User, page: OpenedPage) -> int:
    """Mark the notifications about the object of a page as read, and count them."""
    return await _execute(_MARK_PAGE, session, user.id, page.to_parameters(user))


async def delete_old_notifications(session: AsyncSession) -> int:
    """Delete a batch of old notifications, and count them.

    Those that were read or resolved are kept for 90 days, those that nobody has read for a year.
    """
    deleted = delete(Notification).where(Notification.id.in_(select_old_notifications(now())))
    return len((await session.scalars(deleted.returning(Notification.id))).all())


def select_old_notifications(at: datetime) -> Select[UUID]:
    """Select a batch of the notifications to delete; each condition has an index.

    Their counters are locked too, and none is waited for: others lock them in another order.
    """
    done_at = func.least(Notification.read_at, Notification.resolved_at)  # ignores null
    is_old = or_(
        done_at < at - timedelta(days=90), Notification.updated_at < at - timedelta(days=365)
    )
    key = (
        NotificationCount.user_id == Notification.user_id,
        NotificationCount.organization_id == Notification.organization_id,
        NotificationCount.kind == Notification.kind,
        NotificationCount.board_id.is_not_distinct_from(Notification.board_id),
        NotificationCount.board_group_id.is_not_distinct_from(Notification.board_group_id),
    )
    batch = select(Notification.id).where(is_old).limit(5_000).cte("batch")  # before the join
    old = select(Notification.id).join(NotificationCount, and_(*key))
    return old.where(Notification.id.in_(select(batch.c.id))).with_for_update(skip_locked=True)
