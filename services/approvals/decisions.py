"""Deciding: at once by the API, or on a page, where it can be taken back for a few seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, Invalid, Refusal
from models import ApprovalStatus, Board, EventType, User
from services import boards, events, jobs, messages
from services.approvals import settling
from services.approvals.details import ApprovalDetail, board_of, boards_of, not_found, one
from services.approvals.facts import fact, record
from services.approvals.requests import one_at_a_time
from services.approvals.rules import checked_text


@dataclass(frozen=True)
class Outcome:
    """What became of one of several answers: the approval as it is now, or why it was refused."""

    approval_id: UUID
    detail: ApprovalDetail | None = None
    refusal: Refusal | None = None


async def decide(
    session: AsyncSession,
    user: User,
    board: Board,
    approval_id: UUID,
    status: ApprovalStatus | None,
) -> ApprovalDetail:
    """Decide at once, on a board that is held. Every way is open, also back to pending.

    What has that status already is left alone, and nothing is recorded. Raises NotFound, and
    Conflict if it would be the second pending approval of a task.
    """
    detail = await one(session, board, approval_id)
    approval = detail.approval
    if status is None:
        return detail
    if status is ApprovalStatus.PENDING:
        return await _open_again(session, user, detail)
    if approval.status is status:
        return detail
    if approval.decided_status is not status:
        detail = _decided(detail, user, status, note=None)
    return await settling.settle(session, detail)


async def answer(
    session: AsyncSession,
    user: User,
    approval_id: UUID,
    *,
    status: ApprovalStatus,
    note: str | None = None,
    undo_seconds: float,
) -> ApprovalDetail:
    """Answer a question on a page. Until `undo_seconds` have passed it can be taken back.

    Raises NotFound, Forbidden, and Conflict if somebody has answered before.
    """
    board = await _hold_board_of(session, user, approval_id)
    detail, happened = await _answer(session, user, board, approval_id, status, note, undo_seconds)
    drafts = settling.told([detail]) if happened else []
    await messages.queue(session, drafts, happened=happened)
    return detail


async def answer_many(
    session: AsyncSession,
    user: User,
    approval_ids: Sequence[UUID],
    *,
    status: ApprovalStatus,
    note: str | None = None,
    undo_seconds: float,
) -> list[Outcome]:
    """Answer several questions, each for itself: one that is refused does not stop the others.

    A refusal comes before anything is changed, so a refused one leaves nothing behind. One
    organization's questions are answered after the other's, since each keeps others from recording
    in it until the commit; the outcomes are in the order of `approval_ids`.
    """
    held = await _hold_boards_of(session, user, approval_ids)
    outcomes = {}
    happened: list[events.Happened] = []
    drafts: list[messages.Draft] = []
    for approval_id in sorted(dict.fromkeys(approval_ids), key=lambda one: _turn(held[one])):
        board = held[approval_id]
        try:
            if isinstance(board, Refusal):
                raise board
            detail, facts = await _answer(
                session, user, board, approval_id, status, note, undo_seconds
            )
            outcomes[approval_id] = Outcome(approval_id, detail=detail)
            happened += facts
            drafts += settling.told([detail]) if facts else []
        except Refusal as refusal:
            outcomes[approval_id] = Outcome(approval_id, refusal=refusal)
    await messages.queue(session, drafts, happened=happened)
    return [outcomes[id] for id in dict.fromkeys(approval_ids)]


def _turn(held: Board | Refusal) -> tuple[str, ...]:
    """Sort by organization; what is refused comes first, and records nothing."""
    return () if isinstance(held, Refusal) else (str(held.organization_id),)


async def undo(session: AsyncSession, user: User, approval_id: UUID) -> ApprovalDetail:
    """Take back an answer before it settles, whoever gave it. Agents never hear of it.

    Raises NotFound, Forbidden, and Conflict if it is too late.
    """
    board = await _hold_board_of(session, user, approval_id)
    detail = await one(session, board, approval_id)
    if detail.is_waiting:
        return detail
    settles_at = detail.approval.settles_at
    if settles_at is None or settles_at <= now():
        raise Conflict("too_late_to_undo", "It is too late to take this back. Reopen it instead.")
    return await _take_back(session, user, detail)


async def reopen(session: AsyncSession, user: User, approval_id: UUID) -> ApprovalDetail:
    """Set a question that was answered back to waiting. Raises as `decide` does, and Forbidden."""
    board = await _hold_board_of(session, user, approval_id)
    return await _open_again(session, user, await one(session, board, approval_id))


async def _answer(
    session: AsyncSession,
    user: User,
    board: Board,
    approval_id: UUID,
    status: ApprovalStatus,
    note: str | None,
    undo_seconds: float,
) -> tuple[ApprovalDetail, list[events.Happened]]:
    """Answer a question, and return what is to be recorded of it."""
    note = checked_text(note, "note")
    if status is ApprovalStatus.PENDING:
        raise Invalid("answer_required", "Approve or reject.", field="status")
    detail = await one(session, board, approval_id)
    approval = detail.approval
    if not detail.is_waiting:
        if (approval.decided_by_user_id, detail.answer) == (user.id, status):
            return detail, []
        raise _already_decided(detail)
    detail = _decided(detail, user, status, note)
    if undo_seconds <= 0:
        return detail, [await settling.settled(session, detail)]
    approval.settles_at = now() + timedelta(seconds=undo_seconds)
    await jobs.enqueue(
        session,
        jobs.Job.SETTLE_APPROVALS,
        {"board_id": str(board.id)},
        at=approval.settles_at,
    )
    return detail, [fact(EventType.APPROVAL_DECIDED, user, detail, answer=status, note=note)]


def _already_decided(detail: ApprovalDetail) -> Conflict:
    by = detail.decided_by or "Somebody"
    return Conflict(
        "already_decided",
        f"{by} has {detail.answer.value} this already.",
        by=by,
        status=detail.answer.value,
    )


async def _open_again(session: AsyncSession, user: User, detail: ApprovalDetail) -> ApprovalDetail:
    approval = detail.approval
    if detail.is_waiting:
        return detail
    if detail.is_settling:
        return await _take_back(session, user, detail)
    task_ids = [task.id for task in detail.tasks]
    await one_at_a_time(session, detail.board, task_ids, besides=approval.id)
    left = approval.status
    waiting = _erased(detail)
    await record(session, EventType.APPROVAL_REOPENED, user, waiting, left=left)
    return waiting


async def _take_back(session: AsyncSession, user: User, detail: ApprovalDetail) -> ApprovalDetail:
    answered = detail.approval.decided_status
    waiting = _erased(detail)
    await record(session, EventType.APPROVAL_UNDONE, user, waiting, answer=answered)
    return waiting


def _decided(
    detail: ApprovalDetail, user: User, status: ApprovalStatus, note: str | None
) -> ApprovalDetail:
    approval = detail.approval
    approval.decided_status = status
    approval.decided_by_user_id = user.id
    approval.decided_at = now()
    approval.decision_note = note
    approval.settles_at = None
    return replace(detail, decider=user)


def _erased(detail: ApprovalDetail) -> ApprovalDetail:
    approval = detail.approval
    approval.status = ApprovalStatus.PENDING
    approval.resolved_at = approval.decided_at = approval.settles_at = None
    approval.decided_status = approval.decided_by_user_id = approval.decision_note = None
    return replace(detail, decider=None)


async def _hold_board_of(session: AsyncSession, user: User, approval_id: UUID) -> Board:
    return await boards.hold(session, user, await board_of(session, user, approval_id))


async def _hold_boards_of(
    session: AsyncSession, user: User, approval_ids: Sequence[UUID]
) -> dict[UUID, Board | Refusal]:
    """Hold the boards of these approvals, in order of id, before anything is recorded."""
    board_ids = await boards_of(session, user, approval_ids)
    held: dict[UUID, Board | Refusal] = {}
    for board_id in sorted(set(board_ids.values())):
        try:
            held[board_id] = await boards.hold(session, user, board_id)
        except Refusal as refusal:
            held[board_id] = refusal
    return {id: held[board_ids[id]] if id in board_ids else not_found() for id in approval_ids}
