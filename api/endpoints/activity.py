"""Activity, and comments of all boards (contract, people-and-boards 3.12)."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.framework.dependencies import active_membership
from api.framework.fields import PageQuery, ResponseModel, StreamQuery, Timestamp
from api.framework.operation import EITHER, USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from api.streams.subscription import (
    AllowedIds,
    FrameWriter,
    StreamDefinition,
    format_frame,
    get_current_membership,
    list_readable_board_ids,
    open_stream,
)
from core.http.request import Session
from core.json_responses import Encoded, encode_page, json_id, json_time
from core.paging import Page
from models import Agent, Event, EventType, Member
from services import activity, organizations
from services.activity import ActivityEntry, CommentEntry


class ActivityEventRead(ResponseModel):
    """An event, described in a sentence. `message` of a comment is the comment itself."""

    id: UUID
    event_type: EventType
    message: str
    agent_id: UUID | None
    task_id: UUID | None
    board_id: UUID | None
    route_name: str
    route_params: dict[str, str]
    created_at: Timestamp
    user_id: UUID | None
    actor_name: str | None


def _build_event_fields(entry: ActivityEntry) -> dict[str, Any]:
    """Return the fields of an ActivityEventRead, in the order of the model."""
    event = entry.event
    return {
        "id": json_id(event.id),
        "event_type": event.type,
        "message": entry.message,
        "agent_id": json_id(event.agent_id),
        "task_id": json_id(event.task_id),
        "board_id": json_id(event.board_id),
        "route_name": entry.route_name,
        "route_params": entry.route_params,
        "created_at": json_time(event.created_at),
        "user_id": json_id(event.user_id),
        "actor_name": entry.actor_name,
    }


class ActivityTaskCommentFeedItemRead(ResponseModel):
    """A comment with its author and its task."""

    id: UUID
    created_at: Timestamp
    message: str
    agent_id: UUID | None
    agent_name: str | None
    agent_role: str | None
    task_id: UUID
    task_title: str
    board_id: UUID
    board_name: str
    user_id: UUID | None
    author_name: str | None


def _build_comment_entry_fields(entry: CommentEntry) -> dict[str, Any]:
    """Return the fields of an ActivityTaskCommentFeedItemRead, in the order of the model."""
    comment, task, board = entry.comment, entry.task, entry.board
    return {
        "id": json_id(comment.id),
        "created_at": json_time(comment.created_at),
        "message": comment.message,
        "agent_id": json_id(comment.agent_id),
        "agent_name": entry.agent.name if entry.agent else None,
        "agent_role": entry.agent_role,
        "task_id": json_id(task.id),
        "task_title": task.title,
        "board_id": json_id(board.id),
        "board_name": board.name,
        "user_id": json_id(comment.user_id),
        "author_name": entry.author_name,
    }


class CommentFilter(PageQuery):
    """Which comments to list."""

    board_id: UUID | None = Field(default=None, description="Only of this board.")


@reads_only
async def list_activity(
    context: RequestContext, query: PageQuery
) -> Encoded[Page[ActivityEventRead]]:
    """List events, newest first.

    Users see the events of the boards that they may read. Agents see what they did themselves, and
    what concerns them.
    """
    if isinstance(context.actor, Agent):
        found = await activity.list_agent_activity(context.source, context.actor, query.paging)
    else:
        member = await organizations.get_or_create_active_membership(context.source, context.user)
        found = await activity.list_member_activity(context.source, member, query.paging)
    return encode_page(found, _build_event_fields)


@reads_only
@error_responses(403, 404)
async def list_task_comment_feed(
    context: RequestContext, member: Member, query: CommentFilter
) -> Encoded[Page[ActivityTaskCommentFeedItemRead]]:
    """List the comments on tasks of all boards that the user may read, newest first."""
    found = await activity.list_comment_entries(
        context.source, member, query.paging, board_id=query.board_id
    )
    return encode_page(found, _build_comment_entry_fields)


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
        frames = {}
        for event in received:
            if event.id in found:
                fields = _build_comment_entry_fields(found[event.id])
                message = CommentMessage(comment=ActivityTaskCommentFeedItemRead(**fields))
                frames[event.seq] = format_frame("comment", event.seq, message)
        return frames

    return write


COMMENTS = "/activity/task-comments"
TAGS = ["activity"]

OPERATIONS = [
    Operation("GET", "/activity", list_activity, EITHER, TAGS),
    Operation("GET", COMMENTS, list_task_comment_feed, USER, TAGS, active_membership),
    Operation("GET", COMMENTS + "/stream", stream_comments, USER, TAGS, active_membership),
]
