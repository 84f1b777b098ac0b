"""What people have not read yet, as JSON."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from api.fields import Answer, Body, Moment, Paged
from api.operations import Call, may_answer
from kit.paging import Page
from models import Board, Member, ReadKind
from services import read_markers

LARGEST_NUMBER = 2**53 - 1  # that is exact in every program's JSON

EventNumber = Annotated[int, Field(ge=0, le=LARGEST_NUMBER, json_schema_extra={"format": "int64"})]
OfBoard = Annotated[
    Literal[ReadKind.CHAT, ReadKind.APPROVALS],
    Field(description="What was read: the board's chat, or its questions."),
]


class UnreadRead(Answer):
    """A place where there is something to read, and how far the caller has read there."""

    board_id: UUID
    kind: ReadKind
    task_id: UUID | None = Field(description="The task, of comments.")
    unread: int = Field(description="What others have said or asked there since, and is there.")
    latest_at: Moment | None = Field(description="When the newest of it came.")
    seen: int | None = Field(description="The number of the last event that was seen, if any was.")
    seen_at: Moment | None = Field(description="When the caller was last there.")

    @classmethod
    def of(cls, place: read_markers.Unread) -> "UnreadRead":
        """Make one of what the services know."""
        return cls(
            board_id=place.board_id,
            kind=place.kind,
            task_id=place.task_id,
            unread=place.count,
            latest_at=place.latest_at,
            seen=place.seen_seq,
            seen_at=place.seen_at,
        )


class UnreadFilter(Paged):
    """Where to look."""

    board_id: UUID | None = Field(default=None, description="Only on this board.")


class ReadUpTo(Body):
    """How far one has read."""

    example = {"seen": 4711}

    seen: EventNumber | None = Field(
        default=None,
        description="The `id` of the last message of a stream that was seen. Without it: all that "
        "there is now.",
    )


async def list_unread(call: Call, member: Member, query: UnreadFilter) -> Page[UnreadRead]:
    """List where there is something that the caller has not read, the newest first.

    What is older than thirty days is no news, and neither is what came before one was a member.
    """
    found = await read_markers.unread(call.session, member, query.paging, board_id=query.board_id)
    return found.map(UnreadRead.of)


async def mark_read(call: Call, board: Board, kind: OfBoard, body: ReadUpTo) -> UnreadRead:
    """Note how far the caller has read a board's chat, or its questions. It never goes back."""
    return UnreadRead.of(
        await read_markers.mark(call.session, call.user, board, kind, seen=body.seen)
    )


@may_answer(404)
async def mark_comments_read(call: Call, board: Board, task_id: UUID, body: ReadUpTo) -> UnreadRead:
    """Note how far the caller has read the comments of a task. It never goes back."""
    return UnreadRead.of(
        await read_markers.mark(
            call.session, call.user, board, ReadKind.COMMENTS, task_id=task_id, seen=body.seen
        )
    )
