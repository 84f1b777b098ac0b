"""Remind people of approvals that nobody has decided."""

from operator import itemgetter

from sqlalchemy import DateTime, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from models import Approval, ApprovalStatus, Board, NotificationKind, Organization
from services import notifications
from services.approvals.details import ApprovalDetail, fetch_details
from services.approvals.policy_decisions import list_excluded_ids
from services.approvals.statements import approvals_query
from services.notifications import NewNotification

BATCH_SIZE = 100  # approvals in one transaction

_AT = bindparam("at", type_=DateTime(timezone=True))
_IS_DUE = (
    (Approval.status == ApprovalStatus.PENDING)
    & Approval.decided_status.is_(None)
    & Approval.reminded_at.is_(None)
    & (Approval.created_at <= _AT - func.make_interval(0, 0, 0, 0, 0, Board.remind_after_minutes))
    & Organization.stopped_at.is_(None)
)

DUE_REMINDERS: Query[object] = Query(
    select(Approval.id)
    .join(Board, Board.id == Approval.board_id)
    .join(Organization, Organization.id == Board.organization_id)
    .where(_IS_DUE)
    .order_by(Approval.id)
    .limit(BATCH_SIZE),
    itemgetter(0),
)


async def has_due_reminders(source: Source) -> bool:
    """Return whether people have to be reminded of an approval."""
    return await DUE_REMINDERS.first(source, at=now()) is not None


async def remind_of_approvals(session: AsyncSession) -> int:
    """Notify those who can decide of approvals that wait for long, and count these.

    Any number of workers may call this at the same time: each approval is reminded of once.
    """
    ids = await DUE_REMINDERS.fetch(session, at=now())
    claimed = (
        select(Approval.id)
        .where(Approval.id.in_(ids), Approval.reminded_at.is_(None))
        .order_by(Approval.id)
        .with_for_update(skip_locked=True)
    )
    locked = (await session.scalars(claimed)).all()
    if not locked:
        return 0
    reminded = update(Approval).where(Approval.id.in_(locked)).values(reminded_at=now())
    await session.execute(reminded.execution_options(synchronize_session=False))
    found = await fetch_details(session, approvals_query().where(Approval.id.in_(locked)))
    await notifications.notify(session, [_build_reminder(detail) for detail in found])
    return len(locked)


def _build_reminder(detail: ApprovalDetail) -> NewNotification:
    approval = detail.approval
    return NewNotification(
        NotificationKind.APPROVAL_UNDECIDED,
        detail.board.organization_id,
        str(approval.id),
        **notifications.find_deciders(approval),
        excluded_user_ids=list_excluded_ids(detail),
        board=detail.board,
        task=detail.tasks[0].id if detail.tasks else None,
        approval=approval,
        agent=detail.agent,
        data={"question": detail.question, "titles": detail.task_titles},
    )
