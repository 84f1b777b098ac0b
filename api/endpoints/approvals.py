"""Approvals (contract, people-and-boards 3.11)."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api.endpoints.approval_models import ApprovalRead, build_approval_fields
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
    limit_keys,
)
from api.framework.handler import RequestContext, changes_decisions, error_responses, reads_only
from core.json_responses import Encoded, encode_page, json_id
from core.paging import Page
from core.validation import MAX_INTEGER
from models import ApprovalStatus, Board, Member
from services import approvals

Score = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Ids = Annotated[list[UUID], Field(max_length=MAX_IDS)]
Note = Annotated[str, Field(max_length=approvals.MAX_TEXT_LENGTH)]
MAX_SCORES = 50_000
ActionHash = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]
HASH_DESCRIPTION = (
    "`action.hash` as you have seen it. If the content of a task is different now, nothing is "
    "approved: 409 `approval_content_changed`. Without it, the content must be that of the "
    "original request, even if somebody has approved other content since. Rejecting needs none."
)
COMPLETES_DESCRIPTION = (
    "Whether the tasks may be moved to done with this approval. By default its kind says so."
)
NOTE_DESCRIPTION = "The reason. It is also posted as a comment on the first task of the approval."


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
    rubric_scores: (
        Annotated[dict[str, Score], Field(max_length=MAX_SCORES), limit_keys(MAX_SCORES)] | None
    ) = None
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
    action_hash: ActionHash | None = Field(default=None, description=HASH_DESCRIPTION)
    completes_tasks: bool | None = Field(default=None, description=COMPLETES_DESCRIPTION)


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
    action_hashes: Annotated[dict[UUID, ActionHash], limit_keys(MAX_IDS)] = Field(
        default={}, max_length=MAX_IDS, description=f"By approval id: {HASH_DESCRIPTION}"
    )
    completes_tasks: bool | None = Field(default=None, description=COMPLETES_DESCRIPTION)


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


def _build_decision_fields(outcome: approvals.DecisionResult) -> dict[str, Any]:
    """Return the fields of DecisionRead."""
    error = outcome.error
    return {
        "approval_id": json_id(outcome.approval_id),
        "approval": build_approval_fields(outcome.detail) if outcome.detail else None,
        "code": error.code if error else None,
        "detail": error.message if error else None,
        "details": (error.details or None) if error else None,
    }


class DecisionsRead(ResponseModel):
    """The results of several decisions, in the order of the request."""

    decided: int
    refused: int
    results: list[DecisionRead]


@reads_only
async def list_all_approvals(
    context: RequestContext, member: Member, query: AllApprovalsFilter
) -> Encoded[Page[ApprovalRead]]:
    """List the approvals of all boards that the user may read, newest first."""
    found = await approvals.list_member_approvals(
        context.source, member, query.paging, board_id=query.board_id, status=query.status
    )
    return encode_page(found, build_approval_fields)


@changes_decisions
async def decide_approvals(context: RequestContext, body: Decisions) -> Encoded[DecisionsRead]:
    """Decide several approvals of any boards in one request. Each decision is independent.

    A failed decision does not stop the others. It fails if the approval was already decided, does
    not exist, or may not be decided by the caller, or only on a page after a recent sign-in.
    """
    outcomes = await approvals.decide_many_with_undo(
        context.session,
        context.user,
        body.ids,
        status=ApprovalStatus(body.status),
        note=body.note,
        action_hashes=body.action_hashes,
        completes_tasks=body.completes_tasks,
        undo_seconds=0,
    )
    details = [outcome.detail for outcome in outcomes if outcome.detail]
    fields = {
        "decided": sum(one.approval.status is not ApprovalStatus.PENDING for one in details),
        "refused": len(outcomes) - len(details),
        "results": list(map(_build_decision_fields, outcomes)),
    }
    return Encoded(fields, long_list="results")


@reads_only
async def list_approvals(
    context: RequestContext, board: Board, query: ApprovalFilter
) -> Encoded[Page[ApprovalRead]]:
    """List a board's approvals, newest first."""
    found = await approvals.list_board_approvals(
        context.source, board, query.paging, status=query.status
    )
    return encode_page(found, build_approval_fields)


@error_responses(409)
async def create_approval(
    context: RequestContext, board: Board, body: ApprovalCreate
) -> Encoded[ApprovalRead]:
    """Request an approval. It is pending until a person of the board decides.

    A task has at most one pending approval; another request is rejected with 409. The same request
    of the same agent or user again is counted, and the pending approval is returned. Who has too
    many pending approvals, or requests too many in an hour, gets 429 `approval_requests_held`.

    Only an approval of the kind `task.complete`, or of a synonym, allows its tasks to be moved to
    done, once, and as long as their title, description and custom fields are as approved.
    """
    draft = body.draft()
    requested = await approvals.request_approval(context.session, context.actor, board, draft)
    return Encoded(build_approval_fields(requested))


@changes_decisions
@error_responses(409)
async def update_approval(
    context: RequestContext, board: Board, approval_id: UUID, body: ApprovalUpdate
) -> Encoded[ApprovalRead]:
    """Decide an approval, effective at once. Only users may decide, and a decision is final.

    The same decision of the same user again changes nothing. Any other later decision is rejected
    with 409 `already_decided`, with `by`, `status` and `decided_at`.

    An approval is of the content of the original request, or of that with the `action_hash` that
    you send. If the current content differs, nothing is approved: 409 `approval_content_changed`
    has the differences, the current hash, and the request that approves what is there now. Always
    send the hash of what you show: the first of two people, or one who undid the approval, may have
    approved other content than was requested.

    If two people must approve, the status is `pending` after the first approval. It counts only
    while its person may still decide; otherwise the second person becomes the first one.

    If `requires_recent_sign_in` is set, it is decided only on its page: 403
    `recent_sign_in_required`.
    """
    decided = await approvals.decide_immediately(
        context.session,
        context.user,
        board,
        approval_id,
        body.changes().get("status"),
        note=body.note,
        action_hash=body.action_hash,
        completes_tasks=body.completes_tasks,
    )
    return Encoded(build_approval_fields(decided))
