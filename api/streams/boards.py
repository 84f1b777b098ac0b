"""Streams of tasks, comments and approvals."""

from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.endpoints.activity import ActivityTaskCommentFeedItemRead, build_comment_entry_fields
from api.endpoints.approval_models import ApprovalRead, PendingCount
from api.endpoints.tasks import TaskCommentRead, TaskRead
from api.framework.fields import ResponseModel, StreamQuery, Timestamp
from api.framework.handler import RequestContext, error_responses
from api.streams.sse_cache import FrameWriter, format_frame
from api.streams.subscription import (
    AllowedIds,
    StreamDefinition,
    get_current_membership,
    list_readable_board_ids,
    open_stream,
)
from core.http.request import Session
from models import Board, Event, EventType, Member
from services import activity, approvals, boards, tasks
from services.activity import CommentEntry

TASK_EVENT_TYPES = frozenset(
    {
        EventType.TASK_CREATED,
        EventType.TASK_UPDATED,
        EventType.TASK_STATUS_CHANGED,
        EventType.TASK_COMMENT,
        EventType.TASK_DELETED,
        EventType.TASK_RESTORED,
    }
)
APPROVAL_EVENT_TYPES = frozenset(
    {
        EventType.APPROVAL_REQUESTED,
        EventType.APPROVAL_APPROVED,
        EventType.APPROVAL_REJECTED,
        EventType.TASK_DELETED,
        EventType.TASK_RESTORED,
    }
)
"""Events of the approval stream: a decision that can still be undone is not published.

Approvals about a single task are deleted and restored with the task.
"""


NO_TASK_ID = UUID(int=0)


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

    @classmethod
    def of(
        cls, detail: approvals.ApprovalDetail, counts: approvals.ApprovalCounts
    ) -> "ApprovalMessage":
        """Build the message from an approval."""
        per_task = [
            TaskCounts(task_id=id, approvals_count=all, approvals_pending_count=open)
            for id in detail.task_ids
            for all, open in [counts.by_task[id]]
        ]
        return cls(
            approval=ApprovalRead.of(detail),
            pending_approvals_count=counts.pending,
            task_counts=per_task[0] if len(per_task) == 1 else per_task or None,
        )


class DeletedApproval(ResponseModel):
    """The id of a deleted approval."""

    id: UUID


class ApprovalDeletedMessage(ResponseModel):
    """A stream message about an approval that was deleted with its task."""

    approval: DeletedApproval
    pending_approvals_count: PendingCount
    deleted: Literal[True] = True


class TaskActivity(ResponseModel):
    """An event of a task, described in a sentence."""

    id: UUID
    event_type: EventType
    message: str
    agent_id: UUID | None
    task_id: UUID | None
    created_at: Timestamp


class TaskMessage(ResponseModel):
    """A stream message with the current task, or null if it was deleted."""

    type: EventType
    activity: TaskActivity
    task: TaskRead | None


class TaskCommentMessage(ResponseModel):
    """A stream message with a comment."""

    type: EventType
    activity: TaskActivity
    comment: TaskCommentRead


async def stream_tasks(context: RequestContext, board: Board, query: StreamQuery) -> Response:
    """Stream the changes of a board's tasks and their comments.

    Each message is an event `task` with `type`, `activity` and the current `task`; for a comment
    with `comment` instead; for a deleted task `task` is null.
    """
    return await _open_board_stream(
        context,
        StreamDefinition("task", TASK_EVENT_TYPES, _task_frame_writer(board), board.id),
        board,
        query,
    )


async def stream_approvals(context: RequestContext, board: Board, query: StreamQuery) -> Response:
    """Stream the approvals of a board: requests and decisions.

    Each message is an event `approval` with `approval`, `pending_approvals_count` and, if it is
    about tasks, `task_counts`: an object for one task, a list for several. If an approval was
    deleted with its task, `approval` contains only `id`, and `deleted` is true.
    """
    definition = StreamDefinition(
        "approval", APPROVAL_EVENT_TYPES, _approval_frame_writer(board), board.id
    )
    return await _open_board_stream(context, definition, board, query)


async def _open_board_stream(
    context: RequestContext, definition: StreamDefinition, board: Board, query: StreamQuery
) -> Response:
    async def load_allowed_ids(session: Session) -> AllowedIds:
        return frozenset({(await boards.get_board(session, context.actor, board.id)).id})

    return await open_stream(context, definition, board.organization_id, query, load_allowed_ids)


def _approval_frame_writer(board: Board) -> FrameWriter:
    async def write(session: Session, received: Sequence[Event]) -> Mapping[int, bytes]:
        ids_by_seq = {event.seq: _get_approval_ids(event) for event in received}
        found = await approvals.load_approvals(
            session, board, {id for ids in ids_by_seq.values() for id in ids}
        )
        task_ids = {id for detail in found.values() for id in detail.task_ids}
        counts = await approvals.count_approvals(session, board, list(task_ids))

        def frames(event: Event) -> bytes:
            messages = [
                _build_approval_message(event, id, found, counts) for id in ids_by_seq[event.seq]
            ]
            return b"".join(format_frame("approval", event.seq, one) for one in messages if one)

        return {
            event.seq: messages_by_seq for event in received if (messages_by_seq := frames(event))
        }

    return write


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
    return ApprovalMessage.of(found[id], counts) if id in found else None


def _task_frame_writer(board: Board) -> FrameWriter:
    async def write(session: Session, received: Sequence[Event]) -> Mapping[int, bytes]:
        comment_event_ids = [event.id for event in received if event.type is EventType.TASK_COMMENT]
        comments = await tasks.load_comments(session, board, comment_event_ids)
        ids = {event.task_id for event in received if event.task_id}
        details = await tasks.load_task_details(session, board, ids)
        entries = await activity.load_entries(session, received)
        messages_by_seq = {
            entry.event.seq: _build_task_message(entry, comments, details) for entry in entries
        }
        return {
            seq: format_frame("task", seq, message)
            for seq, message in messages_by_seq.items()
            if message
        }

    return write


def _build_task_message(
    entry: activity.ActivityEntry,
    comments: Mapping[UUID, tasks.CommentDetail],
    details: Mapping[UUID, tasks.TaskDetail],
) -> TaskMessage | TaskCommentMessage | None:
    """Return the message about a task event, or None for a comment that was deleted."""
    event = entry.event
    activity_entry = TaskActivity(
        id=event.id,
        event_type=event.type,
        message=entry.message,
        agent_id=event.agent_id,
        task_id=event.task_id,
        created_at=event.created_at,
    )
    if event.type is EventType.TASK_COMMENT:
        if event.id not in comments:
            return None
        comment = TaskCommentRead.of(comments[event.id])
        return TaskCommentMessage(type=event.type, activity=activity_entry, comment=comment)
    detail = details.get(event.task_id or NO_TASK_ID)
    task = TaskRead.of(detail) if detail else None
    return TaskMessage(type=event.type, activity=activity_entry, task=task)


class CommentMessage(ResponseModel):
    """A stream message with a comment."""

    comment: ActivityTaskCommentFeedItemRead


class CommentStreamQuery(StreamQuery):
    """Which comments to stream."""

    board_id: UUID | None = Field(default=None, description="Only of this board.")


@error_responses(403, 404)
async def stream_comments(
    context: RequestContext, member: Member, query: CommentStreamQuery
) -> Response:
    """Stream comments on tasks. Each message is an event `comment` with `comment`."""
    organization_id = member.organization_id

    async def load_allowed_ids(session: Session) -> AllowedIds:
        current = await get_current_membership(session, context.user, organization_id)
        return await list_readable_board_ids(session, current, query.board_id)

    definition = StreamDefinition(
        "comment", frozenset({EventType.TASK_COMMENT}), _comment_frame_writer(organization_id)
    )
    return await open_stream(context, definition, organization_id, query, load_allowed_ids)


def _comment_frame_writer(organization_id: UUID) -> FrameWriter:
    async def write(session: Session, received: Sequence[Event]) -> Mapping[int, bytes]:
        ids = [event.id for event in received]
        found = await activity.load_comment_entries(session, organization_id, ids)
        return {
            event.seq: _format_comment_frame(event, found[event.id])
            for event in received
            if event.id in found
        }

    return write


def _format_comment_frame(event: Event, entry: CommentEntry) -> bytes:
    item = ActivityTaskCommentFeedItemRead.model_validate(build_comment_entry_fields(entry))
    return format_frame("comment", event.seq, CommentMessage(comment=item))
