"""What happened, as JSON (contract, people-and-boards 3.12)."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.fields import Answer, Following, Moment, Paged
from api.frames import Writer, frame
from api.operations import Call, may_answer
from api.streams import Channel, Rights, boards_read, follow, member_still
from kit.http import Session
from kit.paging import Page
from models import Agent, Event, EventType, Member
from services import activity, organizations
from services.activity import CommentEntry, Entry


class ActivityEventRead(Answer):
    """Something that happened, in a sentence. `message` of a comment is the comment itself."""

    id: UUID
    event_type: EventType
    message: str
    agent_id: UUID | None
    task_id: UUID | None
    board_id: UUID | None
    route_name: str
    route_params: dict[str, str]
    created_at: Moment
    user_id: UUID | None
    actor_name: str | None

    @classmethod
    def of(cls, entry: Entry) -> "ActivityEventRead":
        """Make one of what the services know of an event."""
        event = entry.event
        return cls(
            id=event.id,
            event_type=event.type,
            message=entry.message,
            agent_id=event.agent_id,
            task_id=event.task_id,
            board_id=event.board_id,
            route_name=entry.route_name,
            route_params=dict(entry.route_params),
            created_at=event.created_at,
            user_id=event.user_id,
            actor_name=entry.actor_name,
        )


class ActivityTaskCommentFeedItemRead(Answer):
    """A comment, with who said it and about what."""

    id: UUID
    created_at: Moment
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

    @classmethod
    def of(cls, entry: CommentEntry) -> "ActivityTaskCommentFeedItemRead":
        """Make one of what the services know of a comment."""
        return cls(
            id=entry.comment.id,
            created_at=entry.comment.created_at,
            message=entry.comment.message,
            agent_id=entry.comment.agent_id,
            agent_name=entry.agent.name if entry.agent else None,
            agent_role=entry.agent_role,
            task_id=entry.task.id,
            task_title=entry.task.title,
            board_id=entry.board.id,
            board_name=entry.board.name,
            user_id=entry.comment.user_id,
            author_name=entry.author_name,
        )


class CommentMessage(Answer):
    """What the stream of comments tells."""

    comment: ActivityTaskCommentFeedItemRead


class CommentFilter(Paged):
    """Which comments to list."""

    board_id: UUID | None = Field(default=None, description="Only of this board.")


class CommentStreamQuery(Following):
    """Which comments to follow."""

    board_id: UUID | None = Field(default=None, description="Only of this board.")


async def list_activity(call: Call, query: Paged) -> Page[ActivityEventRead]:
    """List what happened, newest first.

    People see what happened on the boards that they read; an agent what it did itself, and what
    happened to it.
    """
    if isinstance(call.actor, Agent):
        found = await activity.for_agent(call.session, call.actor, query.paging)
    else:
        member = await organizations.active(call.session, call.user)
        found = await activity.for_member(call.session, member, query.paging)
    return found.map(ActivityEventRead.of)


@may_answer(403, 404)
async def list_task_comment_feed(
    call: Call, member: Member, query: CommentFilter
) -> Page[ActivityTaskCommentFeedItemRead]:
    """List what was said about tasks on the boards that one reads, newest first."""
    found = await activity.comment_feed(call.session, member, query.paging, board_id=query.board_id)
    return found.map(ActivityTaskCommentFeedItemRead.of)


@may_answer(403, 404)
async def stream_comments(call: Call, member: Member, query: CommentStreamQuery) -> Response:
    """Follow what is said about tasks. Each message is an event `comment` with `comment`."""
    organization_id = member.organization_id

    async def look(session: Session) -> Rights:
        still = await member_still(session, call.user, organization_id)
        return await boards_read(session, still, query.board_id)

    channel = Channel("comment", frozenset({EventType.TASK_COMMENT}), _comments_of(organization_id))
    return await follow(call, channel, organization_id, query, look)


def _comments_of(organization_id: UUID) -> Writer:
    async def write(session: Session, heard: Sequence[Event]) -> Mapping[int, bytes]:
        ids = [event.id for event in heard]
        found = await activity.comments_of(session, organization_id, ids)
        return {event.seq: _told(event, found[event.id]) for event in heard if event.id in found}

    return write


def _told(event: Event, entry: CommentEntry) -> bytes:
    item = ActivityTaskCommentFeedItemRead.of(entry)
    return frame("comment", event.seq, CommentMessage(comment=item))
