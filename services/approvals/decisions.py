"""Deciding: at once by the API, or on a page, where it can be taken back for a few seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, Invalid, Refusal
from models import Approval, ApprovalStatus, Board, EventType, User
from services import boards, jobs
from services.approvals import settling
from services.approvals.details import (
    ApprovalDetail,
    board_of,
    boards_of,
    every,
    not_found,
    one,
    rows,
)
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
    *,
    note: str | None = None,
) -> ApprovalDetail:
    """Decide at once, on a board that is held. Every way is open, also back to pending.

    What has that status already is left alone, and nothing is recorded. Raises NotFound, Invalid
    about the note, and Conflict if it would be the second pending approval of a task.
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
        detail = _decided(detail, user, status, checked_text(note, "note"))
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
    settles_at = _settles_at(undo_seconds)
    wanted = _Answer(user, status, checked_text(note, "note"), settles_at)
    detail, news = await _answer(session, await one(session, board, approval_id), wanted)
    if news is not None:
        await _settle_later(session, [detail], settles_at)
        await settling.announce(session, [news])
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
    wanted = _Answer(user, status, checked_text(note, "note"), _settles_at(undo_seconds))
    asked = await _asked(session, user, approval_ids)
    outcomes: dict[UUID, Outcome] = {}
    answered: list[ApprovalDetail] = []
    told: list[settling.News] = []
    for approval_id, detail in sorted(asked.items(), key=lambda item: _turn(item[1])):
        try:
            now_so, news = await _answer(session, detail, wanted)
        except Refusal as refusal:
            outcomes[approval_id] = Outcome(approval_id, refusal=refusal)
            continue
        outcomes[approval_id] = Outcome(approval_id, detail=now_so)
        if news is not None:
            answered.append(now_so)
            told.append(news)
    await _settle_later(session, answered, wanted.settles_at)
    await settling.announce(session, told)
    return [outcomes[id] for id in asked]


def _turn(asked: ApprovalDetail | Refusal) -> tuple[str, ...]:
    """Sort by organization; what is refused comes first, and records nothing."""
    return () if isinstance(asked, Refusal) else (str(asked.board.organization_id),)


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


@dataclass(frozen=True)
class _Answer:
    """What somebody answers, and until when it can be taken back; None: it counts at once."""

    by: User
    status: ApprovalStatus
    note: str | None
    settles_at: datetime | None


async def _answer(
    session: AsyncSession, asked: ApprovalDetail | Refusal, wanted: _Answer
) -> tuple[ApprovalDetail, settling.News | None]:
    """Answer a question, and return what is to be announced; nothing, if it was answered so."""
    if isinstance(asked, Refusal):
        raise asked
    if wanted.status is ApprovalStatus.PENDING:
        raise Invalid("answer_required", "Approve or reject.", field="status")
    if not asked.is_waiting:
        if (asked.approval.decided_by_user_id, asked.answer) == (wanted.by.id, wanted.status):
            return asked, None
        raise _already_decided(asked)
    detail = _decided(asked, wanted.by, wanted.status, wanted.note)
    if wanted.settles_at is None:
        return detail, await settling.settled(session, detail)
    detail.approval.settles_at = wanted.settles_at
    told = {"answer": wanted.status, "note": wanted.note}
    return detail, settling.News([fact(EventType.APPROVAL_DECIDED, wanted.by, detail, **told)])


def _settles_at(undo_seconds: float) -> datetime | None:
    return now() + timedelta(seconds=undo_seconds) if undo_seconds > 0 else None


async def _settle_later(
    session: AsyncSession, answered: Sequence[ApprovalDetail], at: datetime | None
) -> None:
    """Let the boards be looked after once these answers cannot be taken back any more."""
    if at is not None:
        for board_id in sorted({detail.board.id for detail in answered}):
            await jobs.enqueue(
                session, jobs.Job.SETTLE_APPROVALS, {"board_id": str(board_id)}, at=at
            )


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


async def _asked(
    session: AsyncSession, user: User, approval_ids: Sequence[UUID]
) -> dict[UUID, ApprovalDetail | Refusal]:
    """Hold the boards of these approvals before anything is recorded, and return each of them."""
    board_ids = await boards_of(session, user, approval_ids)
    held = await boards.hold_several(session, user, set(board_ids.values()))
    query = rows().where(Approval.id.in_(board_ids), Approval.board_id.in_(held))
    found = await every(session, query.execution_options(populate_existing=True))
    details = {detail.approval.id: detail for detail in found}

    def of(id: UUID) -> ApprovalDetail | Refusal:
        board = held.get(board_ids[id]) if id in board_ids else None
        return board if isinstance(board, Refusal) else details.get(id) or not_found()

    return {id: of(id) for id in approval_ids}
