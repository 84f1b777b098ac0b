"""Presence on boards, and read markers."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from api.framework.dependencies import active_membership, board_for_read
from api.framework.fields import PageQuery, RequestModel, ResponseModel, Timestamp
from api.framework.operation import EITHER, USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, build_encoder, encode_page
from core.paging import Page
from models import Board, Member, ReadKind
from services import presence


class VisitorRead(ResponseModel):
    """A user who has a page of the board open."""

    user_id: UUID
    name: str
    since: Timestamp


encode_visitor = build_encoder(VisitorRead, user_id="user.id", name="user.display_name")


class PresenceRead(ResponseModel):
    """The users on a board."""

    people: list[VisitorRead] = Field(description="In order of arrival.")


@reads_only
async def get_presence(context: RequestContext, board: Board) -> Encoded[PresenceRead]:
    """Return the users with a page of the board open. Closed pages count for up to 25 seconds."""
    found = await presence.list_viewers(context.source, board)
    return Encoded({"people": list(map(encode_visitor, found))})


# Every JSON reader represents integers up to 2**53 - 1 exactly.
EventNumber = Annotated[int, Field(ge=0, le=2**53 - 1, json_schema_extra={"format": "int64"})]
BoardReadKind = Annotated[
    Literal[ReadKind.CHAT, ReadKind.APPROVALS],
    Field(description="What was read: the board's chat, or its approvals."),
]


class UnreadRead(ResponseModel):
    """A place with unread entries, and how far the user has read there."""

    board_id: UUID
    kind: ReadKind
    task_id: UUID | None = Field(description="The task of the comments.")
    unread: int = Field(description="Number of existing entries of others since then.")
    latest_at: Timestamp | None = Field(description="Time of the newest entry.")
    seen: int | None = Field(description="The number of the last event that was read, if any.")
    seen_at: Timestamp | None = Field(description="When the user last read there.")


encode_unread = build_encoder(UnreadRead, unread="count", seen="seen_seq")


class UnreadFilter(PageQuery):
    """Which places to list."""

    board_id: UUID | None = Field(default=None, description="Only on this board.")


class ReadMarkerUpdate(RequestModel):
    """How far the user has read."""

    component: ClassVar[str] = "ReadUpTo"

    example = {"seen": 4711}

    seen: EventNumber | None = Field(
        default=None,
        description="The `id` of the last message of a stream that was read. Default: all current "
        "entries.",
    )


@reads_only
async def list_unread(
    context: RequestContext, member: Member, query: UnreadFilter
) -> Encoded[Page[UnreadRead]]:
    """List the places with unread entries, newest first.

    Entries that are older than thirty days or than the user's membership do not count.
    """
    found = await presence.list_unread(
        context.source, member, query.paging, board_id=query.board_id
    )
    return encode_page(found, encode_unread)


async def mark_read(
    context: RequestContext, board: Board, kind: BoardReadKind, body: ReadMarkerUpdate
) -> Encoded[UnreadRead]:
    """Set how far the user has read a board's chat or approvals. The marker never moves back."""
    marked = await presence.mark_read(
        context.session, context.user, board, kind, last_seq=body.seen
    )
    return Encoded(encode_unread(marked))


@error_responses(404)
async def mark_comments_read(
    context: RequestContext, board: Board, task_id: UUID, body: ReadMarkerUpdate
) -> Encoded[UnreadRead]:
    """Set how far the user has read the comments of a task. The marker never moves back."""
    marked = await presence.mark_read(
        context.session,
        context.user,
        board,
        ReadKind.COMMENTS,
        task_id=task_id,
        last_seq=body.seen,
    )
    return Encoded(encode_unread(marked))


TAGS = ["read-markers"]

OPERATIONS = [
    Operation("GET", "/unread", list_unread, USER, TAGS, active_membership),
    Operation(
        "PUT", "/boards/{board_id}/read-markers/{kind}", mark_read, USER, TAGS, board_for_read
    ),
    Operation(
        "PUT",
        "/boards/{board_id}/tasks/{task_id}/read-marker",
        mark_comments_read,
        USER,
        TAGS,
        board_for_read,
    ),
    Operation(
        "GET", "/boards/{board_id}/presence", get_presence, EITHER, ["boards"], board_for_read
    ),
]
