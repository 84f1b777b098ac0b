"""Complete tasks for people who may decide: request, decision and move in one transaction."""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query, Source
from core.errors import Conflict, Forbidden
from core.text import N_
from models import Approval, ApprovalStatus, ApprovalTask, Board, Status, Task, User
from services import boards, organizations, policies, tasks
from services.approvals import finalization
from services.approvals.contents import (
    CurrentContent,
    CurrentContents,
    content_changed,
    load_current_contents,
    load_task_contents,
)
from services.approvals.decisions import PreparedDecision, apply_decision, load_decision_basis
from services.approvals.details import (
    BOARD_ID,
    ApprovalDetail,
    already_decided,
    approvals_query,
    detail_from_row,
)
from services.approvals.requests import approval_pending_exists, build_approval, request_approval
from services.approvals.rules import ApprovalCreate, payload_with_reason


@dataclass(frozen=True)
class CompletionProposal:
    """The approval with which a person would complete a task, and the content of the task."""

    task_id: UUID
    detail: ApprovalDetail  # a pending one of the task, or one that is not stored yet
    contents: CurrentContents

    @property
    def is_usable(self) -> bool:
        """Whether deciding this approval is about the completion of this task, and nothing else."""
        return _is_completion_of(self.detail, self.task_id)


async def propose_completions(
    source: Source, user: User, board: Board, requests: Iterable[tuple[Task, ApprovalCreate]]
) -> list[CompletionProposal]:
    """Return what a user would approve to complete these tasks, each with its request.

    If a request about a task is pending, that is what would be approved.
    """
    given = list(requests)
    ids = [task.id for task, _fields in given]
    # Contents come first, as on all pages: what changes afterwards has another hash than is sent.
    current = await load_task_contents(source, ids)
    pending = await _load_pending(source, board, ids)
    stored = {detail.approval.id for detail in pending.values()}
    contents = dict(await load_current_contents(source, stored))
    proposed = dict(pending)
    for task, fields in given:
        if task.id in pending:
            continue
        detail = build_approval(user, board, fields, payload_with_reason(fields), [task])
        link = ApprovalTask(approval_id=detail.approval.id, task_id=task.id)
        content = CurrentContent(link, current[task.id])
        content.compare()
        await asyncio.sleep(0)  # hashing of long contents must not hold the event loop
        contents[detail.approval.id], proposed[task.id] = [content], detail
    new = [(id, proposed[id].approval) for id in ids if id not in pending]
    verdicts = await policies.evaluate_requests(
        source, board, [(approval, [id]) for id, approval in new]
    )
    for (_id, approval), verdict in zip(new, verdicts, strict=True):
        approval.policy_verdict = verdict
    return [CompletionProposal(id, proposed[id], contents) for id in ids]


async def approve_and_complete(
    session: AsyncSession,
    user: User,
    board: Board,
    fields: ApprovalCreate,
    *,
    action_hash: str,
    signed_in_at: datetime | None = None,
) -> None:
    """Request and approve that the task of a request is completed, and move it to done.

    The board is locked. If a completion of the task has been requested already, that request is
    approved. `action_hash` is of what the user has seen. Raises what `request_approval`,
    `decide_with_undo` and `update_task` raise; nothing is changed unless all three are allowed.
    """
    await organizations.lock_memberships(session, [board.organization_id])
    await boards.require_write_access(session, user, board.id)
    assert fields.task_id is not None
    found = await tasks.get_task_detail(session, board, fields.task_id)
    if found.task.status is Status.DONE:
        raise Conflict("task_is_done", N_("This task is done already."))
    if board.require_approval_for_done:
        pending = await _load_pending(session, board, [fields.task_id])
        detail = pending.get(fields.task_id)
        if detail is None:
            detail = await request_approval(session, user, board, fields, is_decided_at_once=True)
        await _approve(session, user, detail, fields.task_id, action_hash, signed_in_at)
    changes = tasks.TaskUpdate.of(status=Status.DONE)
    await tasks.update_task(session, user, board, fields.task_id, changes)


async def _approve(
    session: AsyncSession,
    user: User,
    detail: ApprovalDetail,
    task_id: UUID,
    action_hash: str,
    signed_in_at: datetime | None,
) -> None:
    """Approve a request to complete a task at once, so that the task can be moved to done."""
    approval = detail.approval
    if approval.is_decided_by_policy:
        if approval.status is not ApprovalStatus.APPROVED:
            name = approval.policy_verdict.rule_name
            reason = N_("The policy “%(rule)s” does not allow this task to be completed.")
            raise Forbidden("completion_denied", reason, rule=name)
        if action_hash != approval.action_hash:
            raise content_changed(detail, (), approval.action_hash, None)
        return
    if not detail.is_undecided:
        raise already_decided(detail)
    if not _is_completion_of(detail, task_id):
        raise approval_pending_exists([(task_id, approval.id)])
    decision = PreparedDecision(
        user,
        ApprovalStatus.APPROVED,
        None,
        {approval.id: action_hash},
        None,
        moves_tasks_to_done=True,
        signed_in_at=signed_in_at,
    )
    basis = await load_decision_basis(session, [detail], decision)
    decided, effects = await apply_decision(session, detail, decision, basis)
    if decided.is_undecided or effects is None:
        reason = N_("One more person must approve this before the task is done.")
        raise Forbidden("second_approval_required", reason)
    await finalization.publish_effects(session, [effects])


def _is_completion_of(detail: ApprovalDetail, task_id: UUID) -> bool:
    is_about_task = detail.task_ids == [task_id]
    return detail.is_undecided and detail.completes_tasks and is_about_task


async def _load_pending(
    source: Source, board: Board, task_ids: Collection[UUID]
) -> dict[UUID, ApprovalDetail]:
    """Return the oldest pending approval of each task, also one that can still be undone."""
    details = await PENDING_OF_TASKS.fetch(source, board_id=board.id, task_ids=list(task_ids))
    found: dict[UUID, ApprovalDetail] = {}
    for detail in details:
        for id in detail.task_ids:
            found.setdefault(id, detail)
    return {id: found[id] for id in task_ids if id in found}


_GIVEN_TASK = func.any(bindparam("task_ids", type_=ARRAY(Uuid())))
_LINKED_IDS = select(ApprovalTask.approval_id).where(ApprovalTask.task_id == _GIVEN_TASK)
PENDING_OF_TASKS = Query(
    approvals_query()
    .where(
        Approval.board_id == BOARD_ID,
        Approval.status == ApprovalStatus.PENDING,
        or_(Approval.id.in_(_LINKED_IDS), Approval.task_id == _GIVEN_TASK),
    )
    .order_by(Approval.created_at, Approval.id)
    .execution_options(populate_existing=True),
    detail_from_row,
)
