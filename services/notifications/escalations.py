"""Notify a second user of what the first one has not dealt with in time.

Approvals that the second user may not approve now, and questions and requests that they may not
answer, are not escalated: others have to decide.
"""

from datetime import datetime
from operator import itemgetter
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Uuid, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from models import Approval, Notification, NotificationKind, NotificationSettings
from services import boards, policies
from services.notifications.creation import (
    ESCALATED_PREFIX,
    Audience,
    NewNotification,
    notify,
)
from services.notifications.delivery_plans import BATCH_SIZE

ESCALATED_KINDS = (NotificationKind.APPROVAL_PENDING, NotificationKind.QUESTION)
_AT = bindparam("at", type_=DateTime(timezone=True))

_ESCALATES_AT = Notification.created_at + func.make_interval(
    0, 0, 0, 0, 0, NotificationSettings.escalate_after_minutes
)
_ESCALATING = (
    select(Notification, NotificationSettings.escalate_to_user_id)
    .join(
        NotificationSettings,
        (NotificationSettings.user_id == Notification.user_id)
        & (NotificationSettings.organization_id == Notification.organization_id),
    )
    .where(
        Notification.kind.in_(ESCALATED_KINDS),
        Notification.resolved_at.is_(None),
        Notification.escalated_at.is_(None),
        or_(Notification.key.is_(None), ~Notification.key.startswith(ESCALATED_PREFIX)),
        NotificationSettings.escalate_to_user_id.is_not(None),
        NotificationSettings.escalate_after_minutes.is_not(None),
    )
)


def _concerns_others() -> ColumnElement[bool]:
    """Match notifications of approvals that the second user may not approve now."""
    may_approve = policies.may_approve_query(NotificationSettings.escalate_to_user_id)
    found = select(Approval.id).where(Approval.id == Notification.approval_id, ~may_approve)
    return found.correlate(Notification, NotificationSettings).exists()


_IS_DUE = _ESCALATING.where(_ESCALATES_AT <= _AT, ~_concerns_others())
_DUE_BOARDS: Query[UUID | None] = Query(
    _IS_DUE.with_only_columns(Notification.board_id, maintain_column_froms=True).distinct(),
    itemgetter(0),
)
_DUE: Query[tuple[Notification, UUID]] = Query(
    _IS_DUE.where(
        or_(
            Notification.board_id.is_(None),
            Notification.board_id == func.any(bindparam("kept_ids", type_=ARRAY(Uuid()))),
        )
    )
    .order_by(Notification.id)
    .limit(BATCH_SIZE)
    .with_for_update(of=Notification, skip_locked=True)
)


def next_escalation_query() -> ColumnElement[datetime | None]:
    """Select when the next notification is due to be escalated."""
    next_at = _ESCALATING.where(~_concerns_others())
    next_at = next_at.with_only_columns(func.min(_ESCALATES_AT), maintain_column_froms=True)
    return next_at.scalar_subquery()


async def escalate(session: AsyncSession) -> int:
    """Notify the second user of what the first one has not dealt with in time, and count it."""
    at = now()
    board_ids = await _DUE_BOARDS.fetch(session, at=at)
    kept = await boards.block_board_deletions(session, board_ids)
    found = await _DUE.fetch(session, at=at, kept_ids=kept)
    if not found:
        return 0
    await notify(session, [_build_escalation(one, user_id) for one, user_id in found])
    escalated = update(Notification).where(Notification.id.in_([one.id for one, _ in found]))
    escalated = escalated.execution_options(synchronize_session=False)
    await session.execute(escalated.values(escalated_at=now()))
    return len(found)


def _build_escalation(notification: Notification, user_id: UUID) -> NewNotification:
    """Build the notification of the second user, who may have the first one's notification too."""
    is_decision = notification.kind is NotificationKind.APPROVAL_PENDING
    cause = notification.id if notification.merges else notification.key  # keys of states recur
    return NewNotification(
        NotificationKind.APPROVAL_UNDECIDED if is_decision else notification.kind,
        notification.organization_id,
        f"{ESCALATED_PREFIX}{cause}",
        audience=Audience.WRITERS if notification.board_id else Audience.ADMINS,
        user_ids=[user_id],
        board=notification.board_id,
        task=notification.task_id,
        approval=notification.approval_id,
        agent=notification.agent_id,
        gateway=notification.gateway_id,
        data={**notification.data, "is_escalated": True},
    )
