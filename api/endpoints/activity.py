"""Activity, and comments of all boards."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.framework.dependencies import active_membership
from api.framework.fields import PageQuery, ResponseModel, StreamQuery, Timestamp
from api.framework.operation import (
    EITHER,
    USER,
    Operation,
    error_responses,
    reads_only,
    sends_events,
)
from api.framework.request_context import RequestContext
from api.streams.subscription import (
    AllowedIds,
    StreamDefinition,
    format_frame,
    get_current_membership,
    list_readable_board_ids,
    open_stream,
)
from core.http.request import Session
from core.json_responses import Encoded, build_encoder, encode_page
from core.paging import Page
from models import Agent, Event, EventType, Member
from services import activity, organizations


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


encode_entry = build_encoder(
    ActivityEventRead,
    "event",
    event_type="event.type",
    message="message",
    route_name="route_name",
    route_params="route_params",
    actor_name="actor_name",
)


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


encode_comment_entry = build_encoder(
    ActivityTaskCommentFeedItemRead,
    "comment",
    agent_name="agent_name",
    agent_role="agent_role",
    task_title="task.title",
    board_name="board.name",
    author_name="author_name",
)


class CommentFilter(PageQuery):
    """Which comments to list."""

    board_id: UUID | None = Field(default=None, description="Only those of this board.")


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
    return encode_page(found, encode_entry)


@reads_only
@error_responses(403, 404)
async def list_task_comment_feed(
    context: RequestContext, member: Member, query: CommentFilter
) -> Encoded[Page[ActivityTaskCommentFeedItemRead]]:
    """List the comments on tasks of all boards that the user may read, newest first."""
    found = await activity.list_comment_entries(
        context.source, member, query.paging, board_id=query.board_id
    )
    return encode_page(found, encode_comment_entry)


class CommentMessage(ResponseModel):
    """A stream message with a comment."""

    comment: ActivityTaskCommentFeedItemRead


class CommentStreamQuery(StreamQuery):
    """Which comments to stream."""

    board_id: UUID | None = Field(default=None, description="Only those of this board.")


@error_responses(403, 404)
@sends_events({"comment": CommentMessage})
async def stream_comments(
    context: RequestContext, member: Member, query: CommentStreamQuery
) -> Response:
    """Stream comments on tasks. Each message is an event `comment` with `comment`."""
    organization_id = member.organization_id

    async def load_allowed_ids(session: Session) -> AllowedIds:
        current = await get_current_membership(session, context.user, organization_id)
        return await list_readable_board_ids(session, current, query.board_id)

    async def write_frames(session: Session, received: Sequence[Event]) -> Mapping[int, bytes]:
        ids = [event.id for event in received]
        found = await activity.load_comment_entries(session, organization_id, ids)
        frames = {}
        for event in received:
            if event.id in found:
                fields = encode_comment_entry(found[event.id])
                message = CommentMessage(comment=ActivityTaskCommentFeedItemRead(**fields))
                frames[event.seq] = format_frame("comment", event.seq, message)
        return frames

    definition = StreamDefinition("comment", (EventType.TASK_COMMENT,), write_frames)
    return await open_stream(context, definition, organization_id, query, load_allowed_ids)


COMMENTS = "/activity/task-comments"
TAGS = ["activity"]

OPERATIONS = [
    Operation("GET", "/activity", list_activity, EITHER, TAGS),
    Operation("GET", COMMENTS, list_task_comment_feed, USER, TAGS, active_membership),
    Operation("GET", COMMENTS + "/stream", stream_comments, USER, TAGS, active_membership),
]
