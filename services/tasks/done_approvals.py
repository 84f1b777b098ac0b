"""The approval that a board requires before a task is moved to done."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from core.errors import Conflict, build_request
from core.text import N_
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Event,
    EventType,
    Status,
    Task,
)
from services import custom_fields
from services.approval_actions import (
    COMPLETION_KIND,
    allows_completion,
    build_task_content,
    hash_content,
    list_changed_fields,
)
from services.tasks.change_request import DonePermission, LinkedApproval, TaskChange
from services.tasks.queries import BOARD_ID, TASK_ID

REASONS = {
    "none": N_("This board requires an approval before a task is done. Request one first."),
    "kind": N_(
        "This board requires an approval before a task is done. The approval of this task is"
        " for something else."
    ),
    "content": N_(
        "This board requires an approval before a task is done. The task has changed since it"
        " was approved: %(changed)s."
    ),
    "unknown_content": N_(
        "This board requires an approval before a task is done. The approval is from before"
        " the reviewed content was recorded."
    ),
    "used": N_(
        "This board requires an approval before a task is done. The approval was used already:"
        " it allows one move to Done."
    ),
    "expired": N_(
        "This board requires an approval before a task is done. The approval has expired."
    ),
    "rejected": N_(
        "This board requires an approval before a task is done. A later request about this"
        " task was rejected."
    ),
    "reopened": N_(
        "This board requires an approval before a task is done. The task was reopened after it"
        " was approved."
    ),
}
"""Why no approval allows the move."""


async def load_done_permission(session: AsyncSession, change: TaskChange) -> DonePermission:
    """Find the approval that allows a change to move its task to done."""
    ids = {"task_id": change.task.id, "board_id": change.board.id}
    facts = await TASK_FACTS.first(session, **ids)
    assert facts is not None  # the task is loaded already
    fields, reopened_at = facts
    linked = await DECIDED_APPROVALS.fetch(session, **ids)
    bound_fields = custom_fields.build_bound_fields(fields or ())
    return find_permission(
        linked,
        current=_content_after(change, bound_fields, {}),
        wanted=_content_after(change, bound_fields, change.values),
        reopened_at=reopened_at,
        at=now(),
    )


def find_permission(
    linked: Sequence[LinkedApproval],
    *,
    current: Mapping[str, Any],
    wanted: Mapping[str, Any],
    reopened_at: datetime | None,
    at: datetime,
) -> DonePermission:
    """Find the approval that allows done, or the reason why the newest one does not.

    `linked` are the decided approvals, newest first. `current` is the content of the task before
    the change, `wanted` the content after it.
    """
    approved = [one for one in linked if one.status is ApprovalStatus.APPROVED]
    rejected = [one.resolved_at for one in linked if one.status is ApprovalStatus.REJECTED]
    completing = [one for one in approved if one.completes_tasks]
    if not completing:
        if approved:
            return DonePermission(reason="kind", kind=approved[0].kind)
        return DonePermission(reason="rejected" if rejected else "none")
    rejected_at = max(rejected, default=None)
    wanted_hash = hash_content(wanted)
    reasons = [
        (one, _find_reason(one, wanted_hash, rejected_at, reopened_at, at)) for one in completing
    ]
    for one, reason in reasons:
        if reason is None:
            return DonePermission(approval=one)
    newest, reason = reasons[0]
    assert reason is not None
    if reason != "content" or newest.content is None:
        return DonePermission(reason=reason, kind=newest.kind)
    return DonePermission(
        reason=reason,
        kind=newest.kind,
        changed=list_changed_fields(newest.content, wanted),
        changed_by_request=hash_content(current) == newest.content_hash,
    )


def _find_reason(
    approval: LinkedApproval,
    wanted_hash: str,
    rejected_at: datetime | None,
    reopened_at: datetime | None,
    at: datetime,
) -> str | None:
    """Return why an approval does not allow done, or None if it does."""
    checks = {
        "rejected": rejected_at is not None and rejected_at > approval.resolved_at,
        "used": approval.used_at is not None,
        "reopened": reopened_at is not None and reopened_at >= approval.resolved_at,
        "expired": approval.expires_at is not None and approval.expires_at <= at,
        "unknown_content": approval.content_hash is None,
        "content": approval.content_hash != wanted_hash,
    }
    return next((reason for reason, applies in checks.items() if applies), None)


def approval_required(change: TaskChange) -> Conflict:
    """Build the error for a move to done without approval, with the request that asks for one."""
    permission = change.done_permission
    text, hint, request = REASONS[permission.reason], "", None
    if change.approval_pending:
        text = N_(
            "This board requires an approval before a task is done. One is pending for this task:"
            " wait for the decision."
        )
    elif change.is_creation:
        hint = "Create the task in the inbox, and request an approval."
    else:
        request = _build_approval_request(change)
        hint = "Send `detail.request`, with your own confidence and reason, and wait."
    if permission.reason == "kind" and not change.approval_pending:
        hint = f"Its kind is “{permission.kind}”. {hint}"
    if permission.changed_by_request:
        hint = f"This request changes it; send these changes first, without the status. {hint}"
    return Conflict(
        "approval_required",
        text,
        hint=hint,
        blocked_by_task_ids=[],
        reason=permission.reason,
        changed=list(permission.changed),
        request=request,
        sent_as="object",
    )


def _build_approval_request(change: TaskChange) -> dict[str, Any]:
    prefix = "/api/v1/agent" if isinstance(change.actor, Agent) else "/api/v1"
    body = {  # with an example of a confidence and a reason
        "action_type": COMPLETION_KIND,
        "task_id": str(change.task.id),
        "confidence": 80,
        "payload": {"reason": "The work on this task is finished."},
    }
    path = f"{prefix}/boards/{change.board.id}/approvals"
    return build_request("POST", path, body)


def _content_after(
    change: TaskChange,
    fields: Iterable[custom_fields.BoundField],
    values: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Return the content of the task with some new values."""
    given = values.get("custom_field_values", {})
    return build_task_content(
        values.get("title", change.task.title),
        values.get("description", change.task.description),
        {field.key: field.value_after(given) for field in fields},
    )


def _build_linked(row: tuple[Approval, ApprovalTask | None]) -> LinkedApproval:
    approval, link = row
    assert approval.resolved_at is not None
    return LinkedApproval(
        id=approval.id,
        status=approval.status,
        kind=approval.action_type,
        completes_tasks=allows_completion(approval.action_type, approval.completes_tasks),
        resolved_at=approval.resolved_at,
        expires_at=approval.expires_at,
        link_id=link.id if link else None,
        content=link.content if link else None,
        content_hash=link.content_hash if link else None,
        used_at=link.used_at if link else None,
    )


_left: ColumnElement[str] = Event.data["left"].astext
_entered: ColumnElement[str] = Event.data["entered"].astext
REOPENED_AT = (
    select(func.max(Event.created_at))
    .where(
        Event.task_id == Task.id,
        Event.type == EventType.TASK_STATUS_CHANGED,
        or_(
            _left == Status.DONE.value,
            (_left == Status.REVIEW.value) & (_entered != Status.DONE.value),
        ),
    )
    .correlate(Task)
    .scalar_subquery()
)
"""When the task last left done, or was returned from review without being done."""
TASK_FACTS: Query[tuple[Any, datetime | None]] = Query(
    select(custom_fields.bound_fields_query(BOARD_ID, of_tasks=True), REOPENED_AT).where(
        Task.id == TASK_ID
    )
)
"""Selects the custom fields of a task, and when it was last reopened."""

IS_LINK = (ApprovalTask.approval_id == Approval.id) & (ApprovalTask.task_id == TASK_ID)
DECIDED_APPROVALS: Query[LinkedApproval] = Query(
    select(Approval, ApprovalTask)
    .outerjoin(ApprovalTask, IS_LINK)
    .where(
        Approval.board_id == BOARD_ID,
        Approval.status != ApprovalStatus.PENDING,
        or_(ApprovalTask.id.is_not(None), Approval.task_id == TASK_ID),
    )
    .order_by(Approval.resolved_at.desc(), Approval.id.desc())
    .limit(50)
    .execution_options(populate_existing=True),
    _build_linked,
)
"""Selects the last decided approvals of a task, the newest decision first."""
