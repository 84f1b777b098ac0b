"""Tell the first of two people who approved what has changed since: the approval counts no more."""

from collections import defaultdict
from operator import itemgetter
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query, Source
from models import Approval, Notification
from services import notifications, policies
from services.notifications import DECISION_KINDS

BATCH_SIZE = 100  # approvals in one transaction

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
    .limit(BATCH_SIZE)
)
FIRST_OUTDATED: Query[UUID] = Query(_OUTDATED.limit(1), itemgetter(0))


async def has_outdated_first_approvals(source: Source) -> bool:
    """Return whether somebody has to be told that a first approval counts no more."""
    return await FIRST_OUTDATED.first(source) is not None


async def reopen_outdated_first_approvals(session: AsyncSession) -> int:
    """Reopen the notifications of first approvers whose approval counts no more, and count these.

    They are reminded of it again. Any number of workers may call this at the same time: an approval
    that is being decided is left out, because its row is locked.
    """
    outdated = (await session.execute(_OUTDATED.with_for_update(skip_locked=True))).all()
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
