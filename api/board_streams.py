"""What happens on a board, told as it happens: tasks, comments and approvals."""

from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.approvals import ApprovalRead
from api.comments import TaskCommentRead
from api.fields import Answer, Following, Moment
from api.frames import Writer, frame
from api.operations import Call
from api.streams import Channel, Rights, follow
from api.tasks import TaskRead
from kit.http import Session
from models import Board, Event, EventType
from services import activity, approvals, boards, tasks

OF_TASKS = frozenset(
    {
        EventType.TASK_CREATED,
        EventType.TASK_UPDATED,
        EventType.TASK_STATUS_CHANGED,
        EventType.TASK_COMMENT,
        EventType.TASK_DELETED,
        EventType.TASK_RESTORED,
    }
)
OF_APPROVALS = frozenset(
    {
        EventType.APPROVAL_REQUESTED,
        EventType.APPROVAL_APPROVED,
        EventType.APPROVAL_REJECTED,
        EventType.APPROVAL_REOPENED,
        EventType.TASK_DELETED,
        EventType.TASK_RESTORED,
    }
)
"""What agents may see of approvals: an answer that can be taken back has not been given yet.

With a task go the approvals that are about it alone, and they come back with it.
"""


NONE = UUID(int=0)


class TaskCounts(Answer):
    """How many approvals a task has."""

    task_id: UUID
    approvals_count: int
    approvals_pending_count: int


class ApprovalMessage(Answer):
    """What the stream of approvals tells: the approval as it is now."""

    approval: ApprovalRead
    pending_approvals_count: int
    task_counts: TaskCounts | list[TaskCounts] | None = Field(
        exclude_if=lambda counts: counts is None,
        description="An object for one task, a list for several, and not there without tasks.",
    )

    @classmethod
    def of(cls, detail: approvals.ApprovalDetail, counts: approvals.Counts) -> "ApprovalMessage":
        """Make one of what the services know."""
        per_task = [
            TaskCounts(task_id=id, approvals_count=all, approvals_pending_count=open)
            for id in detail.task_ids
            for all, open in [counts.of_tasks[id]]
        ]
        return cls(
            approval=ApprovalRead.of(detail),
            pending_approvals_count=counts.pending,
            task_counts=per_task[0] if len(per_task) == 1 else per_task or None,
        )


class GoneApproval(Answer):
    """Which approval is gone."""

    id: UUID


class ApprovalGone(Answer):
    """What the stream tells of an approval that has gone with its task."""

    approval: GoneApproval
    pending_approvals_count: int
    deleted: Literal[True] = True


class TaskActivity(Answer):
    """What happened to a task, in a sentence."""

    id: UUID
    event_type: EventType
    message: str
    agent_id: UUID | None
    task_id: UUID | None
    created_at: Moment


class TaskMessage(Answer):
    """What the stream of tasks tells: the task as it is now, or null if it is gone."""

    type: EventType
    activity: TaskActivity
    task: TaskRead | None


class TaskCommentMessage(Answer):
    """What the stream of tasks tells of a comment."""

    type: EventType
    activity: TaskActivity
    comment: TaskCommentRead


async def stream_tasks(call: Call, board: Board, query: Following) -> Response:
    """Follow a board's tasks: what is created, changed, said and deleted.

    Each message is an event `task` with `type`, `activity` and `task` as it is now; of a comment,
    `comment` instead; of a task that is gone, `task` is null.
    """
    return await _follow_board(
        call, Channel("task", OF_TASKS, _tasks_of(board), board.id), board, query
    )


async def stream_approvals(call: Call, board: Board, query: Following) -> Response:
    """Follow a board's approvals: what is asked, and what is decided.

    Each message is an event `approval` with `approval`, `pending_approvals_count` and, where it is
    about tasks, `task_counts`: an object for one task, a list for several. Of one that has gone
    with its task, `approval` has only its `id`, and `deleted` is true.
    """
    channel = Channel("approval", OF_APPROVALS, _approvals_of(board), board.id)
    return await _follow_board(call, channel, board, query)


async def _follow_board(call: Call, channel: Channel, board: Board, query: Following) -> Response:
    async def look(session: Session) -> Rights:
        return frozenset({(await boards.get(session, call.actor, board.id)).id})

    return await follow(call, channel, board.organization_id, query, look)


def _approvals_of(board: Board) -> Writer:
    async def write(session: Session, heard: Sequence[Event]) -> Mapping[int, bytes]:
        named = {event.seq: _approvals_in(event) for event in heard}
        found = await approvals.several(
            session, board, {id for ids in named.values() for id in ids}
        )
        task_ids = {id for detail in found.values() for id in detail.task_ids}
        counts = await approvals.counts(session, board, list(task_ids))

        def frames(event: Event) -> bytes:
            messages = [_asked(event, id, found, counts) for id in named[event.seq]]
            return b"".join(frame("approval", event.seq, one) for one in messages if one)

        return {event.seq: told for event in heard if (told := frames(event))}

    return write


def _approvals_in(event: Event) -> Sequence[UUID]:
    """Return the approvals that an event is about: one, or those that go with a task."""
    if event.approval_id is not None:
        return [event.approval_id]
    return [UUID(id) for id in event.data.get("approval_ids", ())]


def _asked(
    event: Event, id: UUID, found: Mapping[UUID, approvals.ApprovalDetail], counts: approvals.Counts
) -> ApprovalMessage | ApprovalGone | None:
    """Tell of an approval. What is gone by now is told by the deletion of its task alone."""
    if event.type is EventType.TASK_DELETED:
        return ApprovalGone(approval=GoneApproval(id=id), pending_approvals_count=counts.pending)
    return ApprovalMessage.of(found[id], counts) if id in found else None


def _tasks_of(board: Board) -> Writer:
    async def write(session: Session, heard: Sequence[Event]) -> Mapping[int, bytes]:
        said = [event.id for event in heard if event.type is EventType.TASK_COMMENT]
        comments = await tasks.comments_of(session, board, said)
        ids = {event.task_id for event in heard if event.task_id}
        details = await tasks.details_of(session, board, ids)
        entries = await activity.entries(session, heard)
        told = {entry.event.seq: _told(entry, comments, details) for entry in entries}
        return {seq: frame("task", seq, message) for seq, message in told.items() if message}

    return write


def _told(
    entry: activity.Entry,
    comments: Mapping[UUID, tasks.CommentDetail],
    details: Mapping[UUID, tasks.TaskDetail],
) -> TaskMessage | TaskCommentMessage | None:
    """Tell an event of a task. A comment that is gone with its task is not told."""
    event = entry.event
    happened = TaskActivity(
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
        return TaskCommentMessage(type=event.type, activity=happened, comment=comment)
    detail = details.get(event.task_id or NONE)
    task = TaskRead.of(detail) if detail else None
    return TaskMessage(type=event.type, activity=happened, task=task)
