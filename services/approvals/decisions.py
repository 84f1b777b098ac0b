"""Decide approvals, one or several, immediately (API) or with a few seconds to undo it (pages)."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from core.errors import AppError, Conflict, Invalid
from core.text import N_
from models import Approval, ApprovalStatus, Board, EventType, User
from services import boards, events, organizations
from services.approvals import finalization, votes
from services.approvals.contents import (
    CurrentContents,
    bind_decision,
    content_changed,
    load_current_contents,
)
from services.approvals.details import (
    ApprovalDetail,
    already_decided,
    approval_not_found,
    approvals_query,
    build_approval_event,
    detail_from_row,
    find_board_ids,
    get_approval,
    is_one_of_these_approvals,
    lock_board_of_approval,
)
from services.approvals.votes import (
    DeciderRoles,
    load_decider_roles,
    require_completion_allowed,
    require_decider,
    require_other_requester,
    require_recent_sign_in,
    set_expiry,
)


@dataclass(frozen=True)
class PreparedDecision:
    """A decision to apply. `finalizes_at`: end of the undo time; None if it cannot be undone."""

    user: User
    status: ApprovalStatus
    note: str | None
    action_hashes: Mapping[UUID, str]  # of what the user has seen, by approval id
    completes_tasks: bool | None
    finalizes_at: datetime | None = None
    moves_tasks_to_done: bool = False  # when the approval becomes final
    signed_in_at: datetime | None = None  # in a browser; None with a token

    def find_hash(self, approval: Approval) -> str | None:
        """Return the hash of what the user has seen, if they have sent it."""
        sent = self.action_hashes.get(approval.id)
        return sent.lower() if sent else None


async def decide_immediately(
    session: AsyncSession,
    user: User,
    board: Board,
    approval_id: UUID,
    status: ApprovalStatus | None,
    *,
    note: str | None = None,
    action_hash: str | None = None,
    completes_tasks: bool | None = None,
) -> ApprovalDetail:
    """Decide an approval on a locked board, without time to undo the decision.

    Without a status nothing changes. Parameters and errors are those of `decide_with_undo`.
    """
    await organizations.lock_memberships(session, [board.organization_id])
    await boards.require_write_access(session, user, board.id)
    detail = await get_approval(session, board, approval_id)
    if status is None or (status is ApprovalStatus.PENDING and detail.is_undecided):
        return detail
    hashes = {approval_id: action_hash} if action_hash else {}
    decision = PreparedDecision(user, status, _strip(note), hashes, completes_tasks)
    return await _decide(session, detail, decision)


async def decide_with_undo(
    session: AsyncSession,
    user: User,
    approval_id: UUID,
    *,
    status: ApprovalStatus,
    note: str | None = None,
    action_hash: str | None = None,
    completes_tasks: bool | None = None,
    moves_tasks_to_done: bool = False,
    signed_in_at: datetime | None = None,
    undo_seconds: float,
) -> ApprovalDetail:
    """Decide an approval. The decision can be undone until `undo_seconds` have passed.

    `action_hash` is of the action that the user has seen, by default that of the original request.
    With `completes_tasks` the user says whether the tasks may be moved to done; by default the kind
    of the approval determines that. With `moves_tasks_to_done` the user moves them there when it is
    final. `signed_in_at` is that of `organizations.require_recent_sign_in`. Raises NotFound,
    Forbidden, and Conflict if it is decided, has expired, or has changed.
    """
    board = await lock_board_of_approval(session, user, approval_id)
    approval = await get_approval(session, board, approval_id)
    decision = PreparedDecision(
        user,
        status,
        _strip(note),
        {approval_id: action_hash} if action_hash else {},
        completes_tasks,
        _get_finalization_time(undo_seconds),
        moves_tasks_to_done,
        signed_in_at,
    )
    return await _decide(session, approval, decision)


async def _decide(
    session: AsyncSession, approval: ApprovalDetail, decision: PreparedDecision
) -> ApprovalDetail:
    """Apply one decision, and publish its effects."""
    basis = await load_decision_basis(session, [approval], decision)
    detail, effects = await apply_decision(session, approval, decision, basis)
    if effects is not None:
        if decision.finalizes_at is not None:
            await finalization.wake_workers(session)
        await finalization.publish_effects(session, [effects])
        await finalization.complete_tasks(session, [detail])
    return detail


MAX_DECISIONS = 200  # approvals in one request


@dataclass(frozen=True)
class DecisionResult:
    """The result of one of several decisions: the updated approval, or the error."""

    approval_id: UUID
    detail: ApprovalDetail | None = None
    error: AppError | None = None


async def decide_many_with_undo(
    session: AsyncSession,
    user: User,
    approval_ids: Sequence[UUID],
    *,
    status: ApprovalStatus,
    note: str | None = None,
    action_hashes: Mapping[UUID, str] | None = None,
    completes_tasks: bool | None = None,
    signed_in_at: datetime | None = None,
    undo_seconds: float,
) -> list[DecisionResult]:
    """Decide several approvals independently: an error of one does not affect the others.

    `action_hashes` are by approval id; parameters and errors are those of `decide_with_undo`. All
    checks of an approval come before its first change. Results are in the order of the ids.
    """
    decision = PreparedDecision(
        user,
        status,
        _strip(note),
        action_hashes or {},
        completes_tasks,
        _get_finalization_time(undo_seconds),
        signed_in_at=signed_in_at,
    )
    found = await _lock_approvals(session, user, approval_ids)
    details = [one for one in found.values() if isinstance(one, ApprovalDetail)]
    basis = await load_decision_basis(session, details, decision)
    results = {
        id: DecisionResult(id, error=e) for id, e in found.items() if isinstance(e, AppError)
    }
    changed: list[ApprovalDetail] = []
    effects: list[finalization.FinalizationEffects] = []
    for approval in details:
        await asyncio.sleep(0)  # a long request takes some 50 ms, so others have their turn
        id = approval.approval.id
        try:
            detail, effect = await apply_decision(session, approval, decision, basis)
        except AppError as error:
            results[id] = DecisionResult(id, error=error)
            continue
        results[id] = DecisionResult(id, detail)
        if effect is not None:
            changed.append(detail)
            effects.append(effect)
    if changed and decision.finalizes_at is not None:
        await finalization.wake_workers(session)
    await finalization.publish_effects(session, effects)
    await finalization.complete_tasks(session, changed)
    return [results[id] for id in found]


def _strip(note: str | None) -> str | None:
    return (note or "").strip() or None


def _get_finalization_time(undo_seconds: float) -> datetime | None:
    return now() + timedelta(seconds=undo_seconds) if undo_seconds > 0 else None


async def _lock_approvals(
    session: AsyncSession, user: User, approval_ids: Sequence[UUID]
) -> dict[UUID, ApprovalDetail | AppError]:
    """Lock the boards of these approvals and the memberships, and load each approval.

    The user's rights are checked after that. No event is recorded before all boards are locked.
    """
    board_ids = await find_board_ids(session, user, approval_ids)
    locked = await boards.lock_boards(session, user, set(board_ids.values()))
    organization_ids = {one.organization_id for one in locked.values() if isinstance(one, Board)}
    await organizations.lock_memberships(session, organization_ids)
    writable_ids = set(await boards.list_writable_board_ids(session, user))
    for board_id, board in locked.items():
        if isinstance(board, AppError) or board_id in writable_ids:
            continue
        try:
            await boards.require_write_access(session, user, board_id)
        except AppError as error:
            locked[board_id] = error
    found = await APPROVALS_ON_BOARDS.fetch(
        session, approval_ids=list(board_ids), board_ids=list(locked)
    )
    details = {detail.approval.id: detail for detail in found}

    def result(id: UUID) -> ApprovalDetail | AppError:
        board = locked.get(board_ids[id]) if id in board_ids else None
        return board if isinstance(board, AppError) else details.get(id) or approval_not_found()

    return {id: result(id) for id in approval_ids}


APPROVALS_ON_BOARDS = Query(
    approvals_query()
    .where(
        is_one_of_these_approvals(),
        Approval.board_id == func.any(bindparam("board_ids", type_=ARRAY(Uuid()))),
    )
    .execution_options(populate_existing=True),
    detail_from_row,
)


@dataclass(frozen=True)
class DecisionBasis:
    """What decisions are checked against, as it is after the boards were locked."""

    contents: CurrentContents  # of the tasks of approvals that are about to be approved
    roles: DeciderRoles


async def load_decision_basis(
    session: AsyncSession, found: Collection[ApprovalDetail], decision: PreparedDecision
) -> DecisionBasis:
    """Load what decisions about these approvals are checked against, once for all of them."""
    roles = await load_decider_roles(session, decision.user, found)
    if decision.status is not ApprovalStatus.APPROVED:
        return DecisionBasis({}, roles)
    undecided = [one.approval.id for one in found if one.is_undecided]
    return DecisionBasis(await load_current_contents(session, undecided), roles)


async def apply_decision(
    session: AsyncSession,
    approval: ApprovalDetail,
    decision: PreparedDecision,
    basis: DecisionBasis,
) -> tuple[ApprovalDetail, finalization.FinalizationEffects | None]:
    """Apply a decision. Return no effects if the same user has already decided the same.

    All errors are raised before the first change: others of a bulk decision are committed.
    """
    if not approval.is_undecided:
        return await _repeat(session, approval, decision, basis.roles)
    if decision.status is ApprovalStatus.PENDING:
        raise Invalid("answer_required", N_("Approve or reject."), field="status")
    require_decider(approval, decision.user, decision.status, basis.roles)
    require_recent_sign_in(approval.approval.policy_verdict, decision.signed_in_at)
    if decision.status is ApprovalStatus.APPROVED:
        require_other_requester(approval, decision.user)
        await require_completion_allowed(
            session, approval, decision.user, decision.completes_tasks, decision.signed_in_at
        )
        id = approval.approval.id
        approval = bind_decision(
            approval,
            basis.contents.get(id, ()),
            decision.find_hash(approval.approval),
            decision.completes_tasks,
        )
        first = await votes.approve_first(
            session, approval, decision.user, decision.note, decision.completes_tasks
        )
        if first is not None:
            pending, new_events = first
            return pending, finalization.FinalizationEffects(new_events) if new_events else None
        completes = votes.combine_completion(approval, decision.completes_tasks)
        decision = replace(decision, completes_tasks=completes)
    return await _store_decision(session, approval, decision)


async def _store_decision(
    session: AsyncSession, approval: ApprovalDetail, decision: PreparedDecision
) -> tuple[ApprovalDetail, finalization.FinalizationEffects]:
    """Store a decision, and finalize it if there is no time to undo it."""
    detail = votes.set_decision(approval, decision.user, decision.status, decision.note)
    row = detail.approval
    if decision.status is ApprovalStatus.APPROVED:
        completes = decision.completes_tasks
        if completes is None:
            completes = detail.completes_tasks
        row.completes_tasks = completes
        row.moves_tasks_to_done = decision.moves_tasks_to_done and completes
        set_expiry(row, now())
    if decision.finalizes_at is None:
        return detail, await finalization.finalize_without_recording(session, detail)
    row.finalizes_at = decision.finalizes_at
    data = {"answer": decision.status, "note": decision.note}
    event = build_approval_event(EventType.APPROVAL_DECIDED, decision.user, detail, **data)
    return detail, finalization.FinalizationEffects([event])


async def _repeat(
    session: AsyncSession,
    approval: ApprovalDetail,
    decision: PreparedDecision,
    roles: DeciderRoles,
) -> tuple[ApprovalDetail, finalization.FinalizationEffects | None]:
    """Accept a decision that its user has made before; raise Conflict for any other one.

    A repeated decision without undo time ends the undo time of the first one. Then a hash is needed
    as for the first one: the content may be another one than that of the request.
    """
    row = approval.approval
    if (row.decided_by_user_id, approval.shown_status) != (decision.user.id, decision.status):
        raise already_decided(approval)
    require_decider(approval, decision.user, decision.status, roles)
    require_recent_sign_in(row.policy_verdict, decision.signed_in_at)
    repeats_note = decision.note in (None, row.decision_note)
    sent_hash, is_approved = decision.find_hash(row), decision.status is ApprovalStatus.APPROVED
    repeats_hash = not is_approved or sent_hash in (None, row.action_hash)
    repeats_use = decision.completes_tasks in (None, approval.completes_tasks)
    repeats_move = decision.moves_tasks_to_done in (False, row.moves_tasks_to_done)
    if not (repeats_note and repeats_hash and repeats_use and repeats_move):
        raise already_decided(approval)
    if decision.finalizes_at is None and approval.can_undo:
        if is_approved and (sent_hash or row.requested_hash) != row.action_hash:
            raise content_changed(approval, (), row.action_hash, decision.completes_tasks)
        return await finalization.finalize_counted(session, approval)
    return approval, None


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
        message = N_("It is too late to undo this: the decision is final.")
        raise Conflict("too_late_to_undo", message)
    roles = await load_decider_roles(session, user, [detail])
    require_decider(detail, user, detail.shown_status, roles)
    approval, undone = detail.approval, detail.shown_status
    _keep_undone_note(approval, approval.decided_by_user_id, undone, approval.decision_note)
    pending = votes.clear_decision(detail)
    await _record_undone(session, user, pending, undone)
    if undone is ApprovalStatus.APPROVED and approval.first_approver_id == user.id:
        return await _undo_first_approval(session, user, pending)
    return pending


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
    await _record_undone(session, user, pending, approved)
    return pending


async def _record_undone(
    session: AsyncSession, user: User, detail: ApprovalDetail, undone: ApprovalStatus
) -> None:
    event = build_approval_event(EventType.APPROVAL_UNDONE, user, detail, answer=undone)
    await events.record_events(session, [event])


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
