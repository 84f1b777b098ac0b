"""Approvals, as JSON (contract, people-and-boards 3.11)."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api.fields import (
    MOST_IDS,
    UNSENT,
    Answer,
    Body,
    Changes,
    JsonObject,
    Moment,
    Name,
    Paged,
    Text,
)
from api.operations import Call, may_answer
from kit.paging import Page
from kit.values import LARGEST_WHOLE
from models import ApprovalStatus, Board, Member
from services import approvals

Score = Annotated[int, Field(ge=-LARGEST_WHOLE, le=LARGEST_WHOLE)]
Ids = Annotated[list[UUID], Field(max_length=MOST_IDS)]
Note = Annotated[str, Field(max_length=approvals.LONGEST_TEXT)]
MOST_AT_ONCE = 200  # decisions
WHY = "Why. It is posted on the first of the tasks that it is about, too."


class ApprovalRead(Answer):
    """A question that an agent put before people, and what was decided."""

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
    created_at: Moment
    resolved_at: Moment | None
    requested_by_user_id: UUID | None
    decided_by_user_id: UUID | None
    decided_by_name: str | None
    decision_note: str | None

    @classmethod
    def of(cls, detail: approvals.ApprovalDetail) -> "ApprovalRead":
        """Make one of what the services know of an approval.

        A decision that can still be taken back has not been made yet, for who reads it here.
        """
        row = detail.approval
        is_decided = row.status is not ApprovalStatus.PENDING
        return cls(
            **{name: getattr(row, name) for name in OF_THE_ROW},
            task_id=next(iter(detail.task_ids), None),
            task_ids=detail.task_ids,
            task_titles=detail.task_titles,
            decided_by_user_id=row.decided_by_user_id if is_decided else None,
            decided_by_name=detail.decided_by if is_decided else None,
            decision_note=row.decision_note if is_decided else None,
        )


OF_THE_ROW = (
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


class ApprovalCreate(Body):
    """A question to be. Who asks is whoever calls: `agent_id` is taken and not believed.

    Say why: in `payload.reason`, in `payload.decision.reason`, or in `lead_reasoning`.
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
        default=ApprovalStatus.PENDING, description="Only `pending`: who asks does not decide."
    )
    agent_id: UUID | None = None
    lead_reasoning: Text | None = None

    def draft(self) -> approvals.ApprovalDraft:
        """Return the same, as the services take it."""
        fields = dict(self)
        del fields["agent_id"]
        return approvals.ApprovalDraft(**fields)


class ApprovalUpdate(Changes):
    """A decision, or its withdrawal: back to `pending`."""

    example = {"status": "approved", "note": "Go ahead."}

    status: ApprovalStatus = UNSENT
    note: Note | None = Field(default=None, description=f"{WHY} Of a decision only.")


class ApprovalFilter(Paged):
    """Which approvals to list."""

    status: ApprovalStatus | None = Field(default=None, description="Only those that stand so.")


class AllApprovalsFilter(ApprovalFilter):
    """Which approvals to list, of all boards."""

    board_id: UUID | None = Field(default=None, description="Only of this board.")


class Decisions(Body):
    """The same decision about several approvals."""

    example = {
        "ids": ["0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"],
        "status": "approved",
        "note": "Go ahead.",
    }

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_AT_ONCE)]
    status: Literal["approved", "rejected"]
    note: Note | None = Field(default=None, description=WHY)


class DecisionRead(Answer):
    """What has become of one of several decisions."""

    approval_id: UUID
    approval: ApprovalRead | None = Field(description="As it is now; null if it was refused.")
    code: str | None = Field(description="Why it was refused, for machines.")
    detail: str | None = Field(description="The same in a sentence.")

    @classmethod
    def of(cls, outcome: approvals.Outcome) -> "DecisionRead":
        """Make one of what the services know."""
        return cls(
            approval_id=outcome.approval_id,
            approval=ApprovalRead.of(outcome.detail) if outcome.detail else None,
            code=outcome.refusal.code if outcome.refusal else None,
            detail=outcome.refusal.message if outcome.refusal else None,
        )


class DecisionsRead(Answer):
    """What has become of several decisions, in the order in which they were sent."""

    decided: int
    refused: int
    results: list[DecisionRead]


async def list_all_approvals(
    call: Call, member: Member, query: AllApprovalsFilter
) -> Page[ApprovalRead]:
    """List the approvals of all boards that the caller may read, newest first."""
    found = await approvals.for_member(
        call.session, member, query.paging, board_id=query.board_id, status=query.status
    )
    return found.map(ApprovalRead.of)


async def decide_approvals(call: Call, body: Decisions) -> DecisionsRead:
    """Decide about several approvals at once, on whatever boards, each for itself.

    One that is refused does not stop the others: it was decided already, or is not the caller's
    to decide about, or is not there.
    """
    outcomes = await approvals.answer_many(
        call.session,
        call.user,
        body.ids,
        status=ApprovalStatus(body.status),
        note=body.note,
        undo_seconds=0,
    )
    results = [DecisionRead.of(outcome) for outcome in outcomes]
    refused = sum(result.approval is None for result in results)
    return DecisionsRead(decided=len(results) - refused, refused=refused, results=results)


async def list_approvals(call: Call, board: Board, query: ApprovalFilter) -> Page[ApprovalRead]:
    """List a board's approvals, newest first."""
    found = await approvals.listed(call.session, board, query.paging, status=query.status)
    return found.map(ApprovalRead.of)


@may_answer(409)
async def create_approval(call: Call, board: Board, body: ApprovalCreate) -> ApprovalRead:
    """Ask for an approval. It waits until a person of the board decides.

    For each task there is at most one question that waits; a second one is refused with 409.
    """
    return ApprovalRead.of(await approvals.request(call.session, call.actor, board, body.draft()))


@may_answer(409)
async def update_approval(
    call: Call, board: Board, approval_id: UUID, body: ApprovalUpdate
) -> ApprovalRead:
    """Decide about an approval, at once. Only people may."""
    status, note = body.changes().get("status"), body.note
    decided = await approvals.decide(call.session, call.user, board, approval_id, status, note=note)
    return ApprovalRead.of(decided)
