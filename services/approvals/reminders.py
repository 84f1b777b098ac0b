"""Remind people of approvals: undecided ones, and first approvals that count no longer."""

from collections import defaultdict
from operator import itemgetter
from uuid import UUID

from sqlalchemy import DateTime, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from models import Approval, ApprovalStatus, Board, Notification, NotificationKind, Organization
from services import boards, notifications, policies
from services.approvals.details import ApprovalDetail, approvals_query, fetch_details
from services.approvals.votes import list_excluded_ids
from services.notifications import DECISION_KINDS, NewNotification

BATCH_SIZE = 100  # approvals in one transaction

_AT = bindparam("at", type_=DateTime(timezone=True))
_IS_DUE = (
    (Approval.status == ApprovalStatus.PENDING)
    & Approval.decided_status.is_(None)
    & Approval.reminded_at.is_(None)
    & (Approval.created_at <= _AT - func.make_interval(0, 0, 0, 0, 0, Board.remind_after_minutes))
    & Organization.stopped_at.is_(None)
)

DUE_REMINDERS: Query[tuple[UUID, UUID]] = Query(
    select(Approval.id, Approval.board_id)
    .join(Board, Board.id == Approval.board_id)
    .join(Organization, Organization.id == Board.organization_id)
    .where(_IS_DUE)
    .order_by(Approval.id)
    .limit(BATCH_SIZE)
)


async def has_due_reminders(source: Source) -> bool:
    """Return whether people have to be reminded of an approval."""
    return await DUE_REMINDERS.first(source, at=now()) is not None


async def remind_of_approvals(session: AsyncSession) -> int:
    """Notify those who can decide of approvals that wait for long, and count these.

    Any number of workers may call this at the same time: each approval is reminded of once.
    """
    due = dict(await DUE_REMINDERS.fetch(session, at=now()))
    kept = await boards.block_board_deletions(session, due.values())
    claimed = (
        select(Approval.id)
        .where(Approval.id.in_(due), Approval.board_id.in_(kept))
        .where(policies.IS_UNDECIDED, Approval.reminded_at.is_(None))
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


_IS_RESOLVED = (
    select(Notification.id)
    .where(
        Notification.approval_id == Approval.id,
        Notification.user_id == Approval.first_approver_id,
        Notification.kind.in_(DECISION_KINDS),
        Notification.resolved_at.is_not(None),
    )
    .correlate(Approval)
    .exists()
)
_OUTDATED = (
    select(Approval.id, Approval.first_approver_id)
    .where(
        policies.IS_UNDECIDED,
        Approval.first_approver_id.is_not(None),
        ~policies.has_approved_first_query(Approval.first_approver_id),
        _IS_RESOLVED,
    )
    .order_by(Approval.id)
)
OUTDATED_BOARDS: Query[UUID] = Query(
    _OUTDATED.with_only_columns(Approval.board_id).limit(BATCH_SIZE), itemgetter(0)
)


async def has_outdated_first_approvals(source: Source) -> bool:
    """Return whether somebody has to be told that a first approval counts no more."""
    return await OUTDATED_BOARDS.first(source) is not None


async def reopen_outdated_first_approvals(session: AsyncSession) -> int:
    """Reopen the notifications of first approvers whose approval counts no more, and count these.

    They are reminded of it again. Any number of workers may call this at the same time: an approval
    that is being decided is left out, because its row is locked.
    """
    due = await OUTDATED_BOARDS.fetch(session)
    kept = await boards.block_board_deletions(session, due)
    of_kept = _OUTDATED.where(Approval.board_id.in_(kept)).limit(BATCH_SIZE)
    outdated = (await session.execute(of_kept.with_for_update(skip_locked=True))).all()
    keys_by_user: defaultdict[UUID, list[str]] = defaultdict(list)
    for approval_id, user_id in outdated:
        assert user_id is not None  # see _OUTDATED
        keys_by_user[user_id].append(str(approval_id))
    for user_id, keys in keys_by_user.items():
        await notifications.reopen(session, DECISION_KINDS, keys, user_id=user_id)
    ids = [approval_id for approval_id, _ in outdated]
    waiting = update(Approval).where(Approval.id.in_(ids)).values(reminded_at=None)
    await session.execute(waiting.execution_options(synchronize_session=False))
    return len(outdated)
