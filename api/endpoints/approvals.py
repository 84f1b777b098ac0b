"""Approvals."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.framework.agent_operations import declare_agent
from api.framework.dependencies import active_membership, board_for_read, board_for_update
from api.framework.fields import (
    MAX_IDS,
    NOT_SENT,
    JsonObject,
    PageQuery,
    PatchModel,
    RequestModel,
    ResponseModel,
    StreamQuery,
    Timestamp,
    limit_keys,
)
from api.framework.news import WaitQuery
from api.framework.operation import (
    EITHER,
    USER,
    Operation,
    changes_decisions,
    error_responses,
    reads_only,
    sends_events,
    waits_for_news,
)
from api.framework.request_context import RequestContext
from api.streams.subscription import StreamDefinition, format_frame, open_board_stream
from core.errors import Invalid
from core.http.request import Session
from core.json_responses import Encoded, build_encoder, encode_page, json_id, json_ids, json_time
from core.paging import Page
from core.text import N_
from models import ApprovalStatus, Board, Event, EventType, Member, Status
from services import approvals, events, tool_calls
from services.approval_actions import is_completion_kind
from services.approvals import ApprovalCreate, Note
from services.tool_calls import GrantScope

PendingCount = Annotated[
    int,
    Field(
        description="All pending approvals, whoever may decide them, and those whose decision can"
        " still be undone. The pages count only what waits for their user."
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


encode_action_object = build_encoder(ActionObjectRead, task_id="id", changed="is_changed")
encode_unblocked_task = build_encoder(UnblockedTask, task_id="id")


def build_approval_fields(detail: approvals.ApprovalDetail) -> dict[str, Any]:
    """Return the fields of an ApprovalRead, in the order of the model.

    A decision that can still be undone is not shown: the approval is pending for API clients.
    """
    row = detail.approval
    is_decided = row.status is not ApprovalStatus.PENDING
    decider_kind = "policy" if row.is_decided_by_policy else "user"
    ids, verdict = json_ids(detail.task_ids), row.policy_verdict
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
        "action": {
            "kind": row.action_type,
            "headline": detail.question,
            "agent_text": detail.agent_text,
            "completes_tasks": (
                is_completion_kind(row.action_type) if detail.can_undo else detail.completes_tasks
            ),
            "hash": row.action_hash,
            "objects": list(map(encode_action_object, detail.tasks)),
        },
        "unblocks": list(map(encode_unblocked_task, detail.unblocks)),
        "requested_by_user_id": json_id(row.requested_by_user_id),
        "decided_by_user_id": json_id(row.decided_by_user_id) if is_decided else None,
        "decided_by_name": detail.decider_name if is_decided else None,
        "decision_note": row.decision_note if is_decided else None,
        "decided_by": decider_kind if is_decided else None,
        "policy_rule": verdict.rule_name,
        "required_approvals": verdict.required_approvals,
        "requires_recent_sign_in": verdict.requires_recent_sign_in,
        "decisions": list(_list_decisions(detail)),
    }


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


class ApprovalUpdate(PatchModel):
    """A decision. `pending` changes nothing, and is rejected after a decision."""

    example = {"status": "approved", "note": "Go ahead."}

    status: ApprovalStatus = NOT_SENT
    note: Note | None = Field(default=None, description=f"{NOTE_DESCRIPTION} Only with a decision.")
    action_hash: ActionHash | None = Field(default=None, description=HASH_DESCRIPTION)
    completes_tasks: bool | None = Field(default=None, description=COMPLETES_DESCRIPTION)
    grant: GrantScope | None = Field(
        default=None,
        description="For a tool call of a coding agent: allow identical calls too, until its"
        " session has ended or its task is done.",
    )
    edited_input: JsonObject | None = Field(
        default=None,
        description="For a tool call of a client that can take another input than it has asked "
        "for (`claude`): allow the call with this input.",
    )


class ApprovalFilter(PageQuery):
    """Which approvals to list."""

    status: ApprovalStatus | None = Field(
        default=None, description="Only approvals with this status."
    )


class AllApprovalsFilter(ApprovalFilter):
    """Which approvals of all boards to list."""

    board_id: UUID | None = Field(default=None, description="Only those of this board.")


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


def _build_result_fields(outcome: approvals.DecisionResult) -> dict[str, Any]:
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
        "results": list(map(_build_result_fields, outcomes)),
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


def _is_decided(response: Encoded[ApprovalRead]) -> bool:
    return response.value["status"] is not ApprovalStatus.PENDING


@waits_for_news(_is_decided)
@reads_only
@error_responses(404)
async def get_approval(
    context: RequestContext, board: Board, approval_id: UUID, query: WaitQuery
) -> Encoded[ApprovalRead]:
    """Return an approval. With `wait`, a request of yours is returned when it is decided."""
    found = await approvals.get_approval(context.source, board, approval_id)
    return Encoded(build_approval_fields(found))


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
    requested = await approvals.request_approval(context.session, context.actor, board, body)
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

    `grant` and `edited_input` are for approvals of tool calls, one of them at a time.
    """
    if body.grant is not None or body.edited_input is not None:
        return Encoded(
            build_approval_fields(await _allow_tool_call(context, board, approval_id, body))
        )
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


async def _allow_tool_call(
    context: RequestContext, board: Board, approval_id: UUID, body: ApprovalUpdate
) -> approvals.ApprovalDetail:
    """Approve a tool call for longer than once, or with another input."""
    if body.changes().get("status") is not ApprovalStatus.APPROVED:
        reason = N_("A permission or an edited input needs the status approved.")
        raise Invalid("answer_required", reason, field="status")
    await approvals.get_approval(context.session, board, approval_id)
    if body.grant is not None and body.edited_input is not None:
        reason = N_("Allow either identical calls, or this call with another input.")
        raise Invalid("grant_with_edit", reason, field="grant")
    decision: dict[str, Any] = {
        "note": body.note,
        "action_hash": body.action_hash,
        "undo_seconds": 0,
    }
    if body.grant is not None:
        return await tool_calls.approve_for(
            context.session, context.user, approval_id, body.grant, **decision
        )
    assert body.edited_input is not None
    return await tool_calls.approve_with_edit(
        context.session, context.user, approval_id, body.edited_input, **decision
    )


class TaskCounts(ResponseModel):
    """The number of approvals of a task."""

    task_id: UUID
    approvals_count: int
    approvals_pending_count: int


class ApprovalMessage(ResponseModel):
    """A stream message with the current approval."""

    approval: ApprovalRead
    pending_approvals_count: PendingCount
    task_counts: TaskCounts | list[TaskCounts] | None = Field(
        exclude_if=lambda counts: counts is None,
        description="An object for one task, a list for several, omitted without tasks.",
    )


class DeletedApproval(ResponseModel):
    """The id of a deleted approval."""

    id: UUID


class ApprovalDeletedMessage(ResponseModel):
    """A stream message about an approval that was deleted with its task."""

    approval: DeletedApproval
    pending_approvals_count: PendingCount
    deleted: Literal[True] = True


@sends_events({"approval": ApprovalMessage | ApprovalDeletedMessage})
async def stream_approvals(context: RequestContext, board: Board, query: StreamQuery) -> Response:
    """Stream the approvals of a board: requests and decisions.

    Each message is an event `approval` with `approval`, `pending_approvals_count` and, if it is
    about tasks, `task_counts`: an object for one task, a list for several. If an approval was
    deleted with its task, `approval` contains only `id`, and `deleted` is true.
    """

    async def write_frames(session: Session, received: Sequence[Event]) -> Mapping[int, bytes]:
        ids_by_seq = {event.seq: _get_approval_ids(event) for event in received}
        found = await approvals.load_approvals(
            session, board, {id for ids in ids_by_seq.values() for id in ids}
        )
        task_ids = {id for detail in found.values() for id in detail.task_ids}
        counts = await approvals.count_approvals(session, board, list(task_ids))
        frames = {}
        for event in received:
            messages = [
                _build_approval_message(event, id, found, counts) for id in ids_by_seq[event.seq]
            ]
            frame = b"".join(format_frame("approval", event.seq, one) for one in messages if one)
            if frame:
                frames[event.seq] = frame
        return frames

    definition = StreamDefinition(
        "approval",
        events.list_types(lambda entry: "approval" in entry.streams),
        write_frames,
        board.id,
    )
    return await open_board_stream(context, definition, board, query)


def _get_approval_ids(event: Event) -> Sequence[UUID]:
    """Return the approvals of an event: one, or those deleted or restored with a task."""
    if event.approval_id is not None:
        return [event.approval_id]
    return [UUID(id) for id in event.data.get("approval_ids", ())]


def _build_approval_message(
    event: Event,
    id: UUID,
    found: Mapping[UUID, approvals.ApprovalDetail],
    counts: approvals.ApprovalCounts,
) -> ApprovalMessage | ApprovalDeletedMessage | None:
    """Return the message about an approval, or None if it was deleted meanwhile."""
    if event.type is EventType.TASK_DELETED:
        return ApprovalDeletedMessage(
            approval=DeletedApproval(id=id), pending_approvals_count=counts.pending
        )
    if id not in found:
        return None
    detail = found[id]
    per_task = [
        TaskCounts(task_id=id, approvals_count=all, approvals_pending_count=open)
        for id in detail.task_ids
        for all, open in [counts.by_task[id]]
    ]
    return ApprovalMessage(
        approval=ApprovalRead(**build_approval_fields(detail)),
        pending_approvals_count=counts.pending,
        task_counts=per_task[0] if len(per_task) == 1 else per_task or None,
    )


APPROVALS = "/boards/{board_id}/approvals"
TAGS = ["approvals"]

OPERATIONS = [
    Operation("GET", "/approvals", list_all_approvals, USER, TAGS, active_membership),
    Operation("POST", "/approvals/decisions", decide_approvals, USER, TAGS),
    Operation("GET", APPROVALS, list_approvals, EITHER, TAGS, board_for_read),
    declare_agent(
        "GET", APPROVALS, list_approvals, "agent_board_approval_discovery", board_for_read
    ),
    declare_agent(
        "GET",
        APPROVALS + "/{approval_id}",
        get_approval,
        "agent_board_approval_lookup",
        board_for_read,
    ),
    Operation("POST", APPROVALS, create_approval, EITHER, TAGS, board_for_update),
    declare_agent(
        "POST", APPROVALS, create_approval, "agent_board_approval_request", board_for_update
    ),
    Operation("GET", APPROVALS + "/stream", stream_approvals, EITHER, TAGS, board_for_read),
    Operation("PATCH", APPROVALS + "/{approval_id}", update_approval, USER, TAGS, board_for_update),
]
