"""Approvals (contract, people-and-boards 3.11)."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api.framework.fields import (
    MAX_IDS,
    NOT_SENT,
    JsonObject,
    Name,
    PageQuery,
    PatchModel,
    RequestModel,
    ResponseModel,
    Text,
    Timestamp,
)
from api.framework.operation import RequestContext, error_responses
from core.paging import Page
from core.validation import MAX_INTEGER
from models import ApprovalStatus, Board, Member
from services import approvals

Score = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Ids = Annotated[list[UUID], Field(max_length=MAX_IDS)]
Note = Annotated[str, Field(max_length=approvals.MAX_TEXT_LENGTH)]
NOTE_DESCRIPTION = "The reason. It is also posted as a comment on the first task of the approval."


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
    requested_by_user_id: UUID | None
    decided_by_user_id: UUID | None
    decided_by_name: str | None
    decision_note: str | None

    @classmethod
    def of(cls, detail: approvals.ApprovalDetail) -> "ApprovalRead":
        """Build the model from an approval.

        A decision that can still be undone is not shown: the approval is pending for API clients.
        """
        row = detail.approval
        is_decided = row.status is not ApprovalStatus.PENDING
        return cls(
            **{name: getattr(row, name) for name in ROW_FIELDS},
            task_id=next(iter(detail.task_ids), None),
            task_ids=detail.task_ids,
            task_titles=detail.task_titles,
            decided_at=detail.decided_at if is_decided else None,
            decided_by_user_id=row.decided_by_user_id if is_decided else None,
            decided_by_name=detail.decider_name if is_decided else None,
            decision_note=row.decision_note if is_decided else None,
        )


ROW_FIELDS = (
    "action_type",
    "payload",
    "confidence",
    "rubric_scores",
    "status",
    "id",
    "board_id",
    "agent_id",
    "created_at",
    "resolved_at",
    "requested_by_user_id",
)


class ApprovalCreate(RequestModel):
    """A new request for approval. The caller is the requester: `agent_id` is accepted and ignored.

    Give the reason in `payload.reason`, in `payload.decision.reason`, or in `lead_reasoning`.
    """

    example = {
        "action_type": "task.complete",
        "task_ids": ["0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"],
        "confidence": 90,
        "payload": {"reason": "All checks pass, and the notes are written."},
    }

    action_type: Name
    confidence: float = Field(ge=0, le=100)
    task_id: UUID | None = None
    task_ids: Ids = []
    payload: JsonObject | None = None
    rubric_scores: dict[str, Score] | None = None
    status: ApprovalStatus = Field(
        default=ApprovalStatus.PENDING, description="Only `pending`: the requester does not decide."
    )
    agent_id: UUID | None = None
    lead_reasoning: Text | None = None

    def draft(self) -> approvals.ApprovalDraft:
        """Return the request as a value of the services."""
        fields = dict(self)
        del fields["agent_id"]
        return approvals.ApprovalDraft(**fields)


class ApprovalUpdate(PatchModel):
    """A decision. `pending` changes nothing, and is rejected after a decision."""

    example = {"status": "approved", "note": "Go ahead."}

    status: ApprovalStatus = NOT_SENT
    note: Note | None = Field(default=None, description=f"{NOTE_DESCRIPTION} Only with a decision.")


class ApprovalFilter(PageQuery):
    """Which approvals to list."""

    status: ApprovalStatus | None = Field(
        default=None, description="Only approvals with this status."
    )


class AllApprovalsFilter(ApprovalFilter):
    """Which approvals of all boards to list."""

    board_id: UUID | None = Field(default=None, description="Only of this board.")


class Decisions(RequestModel):
    """The same decision about several approvals."""

    example = {
        "ids": ["0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"],
        "status": "approved",
        "note": "Go ahead.",
    }

    ids: Annotated[list[UUID], Field(min_length=1, max_length=approvals.MAX_DECISIONS)]
    status: Literal["approved", "rejected"]
    note: Note | None = Field(default=None, description=NOTE_DESCRIPTION)


class DecisionRead(ResponseModel):
    """The result of one of several decisions."""

    approval_id: UUID
    approval: ApprovalRead | None = Field(
        description="The approval after the decision; null if it failed."
    )
    code: str | None = Field(description="The error code, if it failed.")
    detail: str | None = Field(description="The error message, if it failed.")
    details: JsonObject | None = Field(
        description="More about the error: for `already_decided` `by`, `status` and `decided_at`."
    )

    @classmethod
    def of(cls, outcome: approvals.DecisionResult) -> "DecisionRead":
        """Build the model from a decision result."""
        return cls(
            approval_id=outcome.approval_id,
            approval=ApprovalRead.of(outcome.detail) if outcome.detail else None,
            code=outcome.error.code if outcome.error else None,
            detail=outcome.error.message if outcome.error else None,
            details=outcome.error.details or None if outcome.error else None,
        )


class DecisionsRead(ResponseModel):
    """The results of several decisions, in the order of the request."""

    decided: int
    refused: int
    results: list[DecisionRead]


async def list_all_approvals(
    context: RequestContext, member: Member, query: AllApprovalsFilter
) -> Page[ApprovalRead]:
    """List the approvals of all boards that the user may read, newest first."""
    found = await approvals.list_member_approvals(
        context.session, member, query.paging, board_id=query.board_id, status=query.status
    )
    return found.map(ApprovalRead.of)


async def decide_approvals(context: RequestContext, body: Decisions) -> DecisionsRead:
    """Decide several approvals of any boards in one request. Each decision is independent.

    A failed decision does not stop the others. It fails if the approval was already decided, does
    not exist, or may not be decided by the caller.
    """
    outcomes = await approvals.decide_many_with_undo(
        context.session,
        context.user,
        body.ids,
        status=ApprovalStatus(body.status),
        note=body.note,
        undo_seconds=0,
    )
    results = [DecisionRead.of(outcome) for outcome in outcomes]
    refused = sum(result.approval is None for result in results)
    return DecisionsRead(decided=len(results) - refused, refused=refused, results=results)


async def list_approvals(
    context: RequestContext, board: Board, query: ApprovalFilter
) -> Page[ApprovalRead]:
    """List a board's approvals, newest first."""
    found = await approvals.list_board_approvals(
        context.session, board, query.paging, status=query.status
    )
    return found.map(ApprovalRead.of)


@error_responses(409)
async def create_approval(
    context: RequestContext, board: Board, body: ApprovalCreate
) -> ApprovalRead:
    """Request an approval. It is pending until a person of the board decides.

    A task has at most one pending approval; another request is rejected with 409.
    """
    return ApprovalRead.of(
        await approvals.request_approval(context.session, context.actor, board, body.draft())
    )


@error_responses(409)
async def update_approval(
    context: RequestContext, board: Board, approval_id: UUID, body: ApprovalUpdate
) -> ApprovalRead:
    """Decide an approval, effective at once. Only users may decide, and a decision is final.

    The same decision of the same user again changes nothing. Any other later decision is rejected
    with 409 `already_decided`, with `by`, `status` and `decided_at`.
    """
    status, note = body.changes().get("status"), body.note
    decided = await approvals.decide_immediately(
        context.session, context.user, board, approval_id, status, note=note
    )
    return ApprovalRead.of(decided)
