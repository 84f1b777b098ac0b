"""Undo decisions that are not final yet. Their notes can be used again."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict
from core.text import N_
from models import Approval, ApprovalStatus, EventType, User
from services.approvals import votes
from services.approvals.details import ApprovalDetail, get_approval, lock_board_of_approval
from services.approvals.events import record_approval_event
from services.approvals.policy_decisions import load_decider_roles, require_decider


async def undo_decision(session: AsyncSession, user: User, approval_id: UUID) -> ApprovalDetail:
    """Undo the decision of any user before it is finalized. Agents are not notified.

    If the first of two people undoes the approval of the second, their own is undone too: it would
    count when another person approves. It needs no recent sign-in: the approval waits for a
    decision again, and there is no time to sign in. Raises NotFound, Forbidden, and Conflict if it
    is too late or there is nothing to undo.
    """
    board = await lock_board_of_approval(session, user, approval_id)
    detail = await get_approval(session, board, approval_id)
    if detail.is_undecided:
        return await _undo_first_approval(session, user, detail)
    finalizes_at = detail.approval.finalizes_at
    if finalizes_at is None or finalizes_at <= now():
        message = N_(
            "It is too late to undo this. The decision is final; make a new request instead."
        )
        raise Conflict("too_late_to_undo", message)
    roles = await load_decider_roles(session, user, [detail])
    require_decider(detail, user, detail.shown_status, roles)
    return await _undo(session, user, detail)


async def _undo_first_approval(
    session: AsyncSession, user: User, detail: ApprovalDetail
) -> ApprovalDetail:
    """Undo the approval of the user, who is the first of two people. Raises Conflict.

    Nothing changes if a decision was undone before: browsers repeat requests.
    """
    approver_id = detail.approval.first_approver_id
    if approver_id is None and detail.approval.undone_status is not None:
        return detail
    if approver_id != user.id:
        message = N_("You have decided nothing here that can be undone.")
        raise Conflict("nothing_to_undo", message)
    approved = ApprovalStatus.APPROVED
    _keep_undone_note(detail.approval, user.id, approved, detail.approval.first_approval_note)
    pending = votes.clear_first_approval(detail)
    await record_approval_event(session, EventType.APPROVAL_UNDONE, user, pending, answer=approved)
    return pending


async def _undo(session: AsyncSession, user: User, detail: ApprovalDetail) -> ApprovalDetail:
    approval, undone = detail.approval, detail.approval.decided_status
    _keep_undone_note(approval, approval.decided_by_user_id, undone, approval.decision_note)
    pending = votes.clear_decision(detail)
    await record_approval_event(session, EventType.APPROVAL_UNDONE, user, pending, answer=undone)
    is_own_approval_left = pending.approval.first_approver_id == user.id
    if undone is ApprovalStatus.APPROVED and is_own_approval_left:
        return await _undo_first_approval(session, user, pending)
    return pending


def _keep_undone_note(
    approval: Approval, user_id: UUID | None, status: ApprovalStatus | None, note: str | None
) -> None:
    """Keep the note of a decision that is undone. One without a note keeps the note before."""
    if note or not approval.undone_note:
        approval.undone_by_user_id, approval.undone_status = user_id, status
        approval.undone_note = note


class UndoneNote(NamedTuple):
    """The note of a decision that was undone."""

    text: str
    status: ApprovalStatus  # of the decision


def find_undone_note(approval: Approval, user: User) -> UndoneNote | None:
    """Return the note of the last undone decision with one, if the user had made this decision.

    A user who approved again as the first of two people has none.
    """
    note, status = approval.undone_note, approval.undone_status
    is_own = approval.undone_by_user_id == user.id != approval.first_approver_id
    return UndoneNote(note, status) if is_own and note and status else None


def choose_note_to_store(
    note: str | None, status: ApprovalStatus, restored: UndoneNote | None
) -> str | None:
    """Return the note to store with a decision: None if it is the restored note of another one.

    The reason of a rejection must not become the note of an approval. A changed note is a new one.
    Spaces are not compared: browsers normalize them in fields.
    """
    is_other = restored is not None and restored.status is not status
    is_same_text = bool(note and restored and note.split() == restored.text.split())
    return None if is_other and is_same_text else note
