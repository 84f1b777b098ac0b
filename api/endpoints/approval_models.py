"""Response models of approvals."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api.framework.fields import JsonObject, ResponseModel, Timestamp
from core.json_responses import json_id, json_ids, json_time
from models import Approval, ApprovalStatus, PolicyVerdict, Status
from services import approvals
from services.action_kinds import is_completion_kind

PendingCount = Annotated[
    int,
    Field(
        description="All pending approvals, for whoever, with those whose decision can still be"
        " undone. The pages count what waits for their user instead."
    ),
]


class ActionObjectRead(ResponseModel):
    """A task of an approval."""

    task_id: UUID
    title: str
    content_hash: str | None = Field(
        description="The hash of the content that was requested or, once approved, reviewed."
    )
    changed: bool = Field(description="Whether the content of the task differs from that.")
    used_at: Timestamp | None = Field(description="When this approval let the task be done.")


class ActionRead(ResponseModel):
    """What an approval allows, built by the server. docs/approvals.md describes the hashes."""

    kind: str = Field(description="The `action_type`.")
    headline: str = Field(description="What is decided, as a question, from kind and tasks.")
    agent_text: str | None = Field(
        description="The title, question or summary that the requester wrote. It can be wrong."
    )
    completes_tasks: bool = Field(description="Whether it allows its tasks to be moved to done.")
    hash: str | None = Field(
        description="SHA-256 of the action as requested or, once approved, as reviewed."
    )
    objects: list[ActionObjectRead]


class UnblockedTask(ResponseModel):
    """An open task that waits for a task of an approval."""

    task_id: UUID
    title: str
    status: Status


class PersonDecision(ResponseModel):
    """The decision of one person. If the policy asks two people, the first one is listed too."""

    user_id: UUID | None
    name: str | None
    status: ApprovalStatus
    note: str | None
    decided_at: Timestamp


class ApprovalRead(ResponseModel):
    """A request for approval, and its decision."""

    action_type: str
    task_id: UUID | None
    task_ids: list[UUID]
    payload: JsonObject | None
    confidence: float
    rubric_scores: dict[str, Any] | None
    status: ApprovalStatus
    id: UUID
    board_id: UUID
    task_titles: list[str]
    agent_id: UUID | None
    created_at: Timestamp
    resolved_at: Timestamp | None
    decided_at: Timestamp | None
    expires_at: Timestamp | None = Field(description="After this time it allows nothing.")
    used_at: Timestamp | None = Field(description="When it last let a task be moved to done.")
    request_count: int = Field(description="How often the agent has made this same request.")
    action: ActionRead
    unblocks: list[UnblockedTask] = Field(description="Open tasks that wait for its tasks.")
    requested_by_user_id: UUID | None
    decided_by_user_id: UUID | None
    decided_by_name: str | None
    decision_note: str | None
    decided_by: Literal["user", "policy"] | None
    policy_rule: str | None = Field(description="The name of the rule that matched the request.")
    required_approvals: int = Field(description="How many people must approve it: 1 or 2.")
    requires_recent_sign_in: bool = Field(
        description="Whether it is decided only on its page, after a recent sign-in."
    )
    decisions: list[PersonDecision] = Field(description="The decisions of people so far.")

    @classmethod
    def of(cls, detail: approvals.ApprovalDetail) -> "ApprovalRead":
        """Build the model from an approval."""
        return cls(**build_approval_fields(detail))


def build_approval_fields(detail: approvals.ApprovalDetail) -> dict[str, Any]:
    """Return the fields of an ApprovalRead, in the order of the model.

    A decision that can still be undone is not shown: the approval is pending for API clients.
    """
    row = detail.approval
    is_decided = row.status is not ApprovalStatus.PENDING
    ids = json_ids(detail.task_ids)
    return {
        "action_type": row.action_type,
        "task_id": next(iter(ids), None),
        "task_ids": ids,
        "payload": row.payload,
        "confidence": row.confidence,
        "rubric_scores": row.rubric_scores,
        "status": row.status,
        "id": json_id(row.id),
        "board_id": json_id(row.board_id),
        "task_titles": detail.task_titles,
        "agent_id": json_id(row.agent_id),
        "created_at": json_time(row.created_at),
        "resolved_at": json_time(row.resolved_at),
        "decided_at": json_time(detail.decided_at) if is_decided else None,
        "expires_at": json_time(row.expires_at),
        "used_at": json_time(detail.used_at),
        "request_count": row.request_count,
        "action": _build_action_fields(detail),
        "unblocks": [
            {"task_id": json_id(id), "title": title, "status": status}
            for id, title, status in detail.unblocks
        ],
        "requested_by_user_id": json_id(row.requested_by_user_id),
        "decided_by_user_id": json_id(row.decided_by_user_id) if is_decided else None,
        "decided_by_name": detail.decider_name if is_decided else None,
        "decision_note": row.decision_note if is_decided else None,
        "decided_by": _get_decider_kind(row) if is_decided else None,
        **_build_policy_fields(row.policy_verdict),
        "decisions": list(_list_decisions(detail)),
    }


def _build_policy_fields(verdict: PolicyVerdict) -> dict[str, Any]:
    return {
        "policy_rule": verdict.rule_name,
        "required_approvals": verdict.required_approvals,
        "requires_recent_sign_in": verdict.requires_recent_sign_in,
    }


def _build_action_fields(detail: approvals.ApprovalDetail) -> dict[str, Any]:
    """Return the fields of an ActionRead. A decision that can be undone is not shown."""
    kind = detail.approval.action_type
    return {
        "kind": kind,
        "headline": detail.question,
        "agent_text": detail.agent_text,
        "completes_tasks": (
            is_completion_kind(kind) if detail.can_undo else detail.completes_tasks
        ),
        "hash": detail.approval.action_hash,
        "objects": [
            {
                "task_id": json_id(task.id),
                "title": task.title,
                "content_hash": task.content_hash,
                "changed": task.is_changed,
                "used_at": json_time(task.used_at),
            }
            for task in detail.tasks
        ],
    }


def _get_decider_kind(row: Approval) -> Literal["user", "policy"]:
    return "policy" if row.is_decided_by_policy else "user"


def _list_decisions(detail: approvals.ApprovalDetail) -> Iterator[dict[str, Any]]:
    row = detail.approval
    if row.first_approved_at is not None:
        first = detail.first_approver
        yield _build_decision_fields(
            row.first_approver_id,
            first.display_name if first else None,
            ApprovalStatus.APPROVED,
            row.first_approval_note,
            row.first_approved_at,
        )
    if row.status is not ApprovalStatus.PENDING and not row.is_decided_by_policy:
        yield _build_decision_fields(
            row.decided_by_user_id,
            detail.decider_name,
            row.status,
            row.decision_note,
            detail.decided_at,
        )


def _build_decision_fields(
    user_id: UUID | None,
    name: str | None,
    status: ApprovalStatus,
    note: str | None,
    at: datetime | None,
) -> dict[str, Any]:
    assert at is not None
    return {
        "user_id": json_id(user_id),
        "name": name,
        "status": status,
        "note": note,
        "decided_at": json_time(at),
    }
