"""Memory and chat of boards and groups (contract, people-and-boards 3.8 and 3.9)."""

from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import Field, StringConstraints

from api.framework.fields import (
    NOT_SENT,
    Ok,
    PageQuery,
    PatchModel,
    RequestModel,
    RequiredText,
    ResponseModel,
    ShortText,
    Timestamp,
)
from api.framework.handler import RequestContext, error_responses, reads_only
from core.json_responses import Encoded, encode_page, json_id, json_time
from core.paging import Page
from models import Note
from services import memory
from services.memory import MemoryScope, NoteDetail

NoteTag = Annotated[str, StringConstraints(max_length=memory.MAX_TAG_LENGTH)]
Tags = Annotated[
    list[NoteTag],
    Field(
        max_length=memory.MAX_TAGS,
        description="The tag `chat` makes the note a chat message, which agents are notified of.",
    ),
]
Source = Annotated[
    ShortText,
    Field(description="A label chosen by the author. The author itself is recorded separately."),
]


class MemoryRead(ResponseModel):
    """A note or a chat message, and its author."""

    id: UUID
    content: str
    tags: list[str] | None
    source: str | None = Field(description="A label chosen by the author.")
    is_chat: bool
    created_at: Timestamp
    agent_id: UUID | None = Field(description="The author, if an agent.")
    user_id: UUID | None = Field(description="The author, if a user.")
    author_name: str | None = Field(
        description="The name of the author; null if the author was deleted."
    )
    version: int = Field(description="Increases with every change; the first part of the ETag.")
    updated_at: Timestamp


class BoardMemoryRead(MemoryRead):
    """A note or a chat message of a board."""

    board_id: UUID


class BoardGroupMemoryRead(MemoryRead):
    """A note or a chat message of a board group."""

    board_group_id: UUID


Model = TypeVar("Model", bound=MemoryRead)


def build_memory_read(model: type[Model], detail: NoteDetail) -> Model:
    """Build the model from a note."""
    return model(**build_note_fields(detail))


def build_note_fields(detail: NoteDetail) -> dict[str, Any]:
    """Return the fields of a note, in the order of its model."""
    note = detail.note
    return {
        "id": json_id(note.id),
        "content": note.content,
        "tags": note.tags,
        "source": note.source,
        "is_chat": note.is_chat,
        "created_at": json_time(note.created_at),
        "agent_id": json_id(note.agent_id),
        "user_id": json_id(note.user_id),
        "author_name": detail.author_name,
        "version": note.version,
        "updated_at": json_time(note.updated_at),
        **(
            {"board_id": json_id(note.board_id)}
            if isinstance(note, Note)
            else {"board_group_id": json_id(note.board_group_id)}
        ),
    }


def _encode_note(detail: NoteDetail) -> Encoded[Any]:
    return Encoded(build_note_fields(detail), detail.note.version)


class MemoryCreate(RequestModel):
    """A new note or chat message."""

    example = {"content": "The release is on Friday.", "tags": ["decision"]}

    content: RequiredText
    tags: Tags | None = None
    source: Source | None = None
    correlation_id: ShortText | None = Field(
        default=None, description="Of the question that a note with the tag `user_reply` answers."
    )

    @property
    def draft(self) -> memory.NoteDraft:
        """The note as a value of the services."""
        return memory.NoteDraft(**dict(self))


class GroupMemoryCreate(MemoryCreate):
    """A new note or chat message of a board group."""


class MemoryUpdate(PatchModel):
    """Changes of a note. Only streams are notified of a change."""

    example = {"content": "The release is on Monday."}

    content: RequiredText = NOT_SENT
    tags: Tags | None = None
    source: Source | None = None


class MemoryFilter(PageQuery):
    """Which notes to list."""

    is_chat: bool | None = Field(
        default=None, description="`true`: only chat messages; `false`: only other notes."
    )


@reads_only
async def list_board_memory(
    context: RequestContext, scope: MemoryScope, query: MemoryFilter
) -> Encoded[Page[BoardMemoryRead]]:
    """List the memory of a board, newest first."""
    return await _list_notes(context, scope, query)


@error_responses(403)
async def create_board_memory(
    context: RequestContext, scope: MemoryScope, body: MemoryCreate
) -> Encoded[BoardMemoryRead]:
    """Write a note on a board, or with the tag `chat` a chat message.

    The lead and mentioned agents are notified of a chat message. `/pause` and `/resume`, in chat
    messages of users or of the lead, are sent to all agents of the board.
    """
    return _encode_note(await _create_note(context, scope, body))


@reads_only
async def get_board_memory(context: RequestContext, note: NoteDetail) -> Encoded[BoardMemoryRead]:
    """Return a note of a board."""
    return _encode_note(note)


@error_responses(403, 412)
async def update_board_memory(
    context: RequestContext, scope: MemoryScope, note: NoteDetail, body: MemoryUpdate
) -> Encoded[BoardMemoryRead]:
    """Change a note of a board. Agents may change their own notes, the lead all notes."""
    return _encode_note(await _update_note(context, scope, note, body))


@reads_only
async def list_group_memory(
    context: RequestContext, scope: MemoryScope, query: MemoryFilter
) -> Encoded[Page[BoardGroupMemoryRead]]:
    """List the memory of a board group, newest first; empty for a board without a group."""
    return await _list_notes(context, scope, query)


async def create_group_memory(
    context: RequestContext, scope: MemoryScope, body: GroupMemoryCreate
) -> Encoded[BoardGroupMemoryRead]:
    """Write a note in a board group, or with the tag `chat` a chat message.

    The leads of its boards and mentioned agents are notified of a chat message; with the tag
    `broadcast` or the text `@all`, all agents of its boards.
    """
    return _encode_note(await _create_note(context, scope, body))


@reads_only
async def get_group_memory(
    context: RequestContext, note: NoteDetail
) -> Encoded[BoardGroupMemoryRead]:
    """Return a note of a board group."""
    return _encode_note(note)


@error_responses(403, 412)
async def update_group_memory(
    context: RequestContext, scope: MemoryScope, note: NoteDetail, body: MemoryUpdate
) -> Encoded[BoardGroupMemoryRead]:
    """Change a note of a group. Agents may change their own notes, leads all notes."""
    return _encode_note(await _update_note(context, scope, note, body))


@error_responses(403, 412)
async def delete_memory(context: RequestContext, scope: MemoryScope, note: NoteDetail) -> Ok:
    """Delete a note. Agents may delete their own notes, leads all notes."""
    await memory.delete_note(
        context.session, context.actor, scope, note, known=context.known_versions
    )
    return Ok()


async def _list_notes(
    context: RequestContext, scope: MemoryScope, query: MemoryFilter
) -> Encoded[Any]:
    found = await memory.list_notes(context.source, scope, query.paging, is_chat=query.is_chat)
    return encode_page(found, build_note_fields)


async def _create_note(
    context: RequestContext, scope: MemoryScope, body: MemoryCreate
) -> NoteDetail:
    base_url = context.settings.base_url
    return await memory.create_note(
        context.session, context.actor, scope, body.draft, base_url=base_url
    )


async def _update_note(
    context: RequestContext, scope: MemoryScope, note: NoteDetail, body: MemoryUpdate
) -> NoteDetail:
    changes, known = body.changes(), context.known_versions
    return await memory.update_note(
        context.session, context.actor, scope, note, changes, known=known
    )
