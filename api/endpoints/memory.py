"""Memory and chat of boards and groups (contract, people-and-boards 3.8 and 3.9)."""

from typing import Annotated, TypeVar
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
from api.framework.operation import RequestContext, error_responses
from core.paging import Page
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


Model = TypeVar("Model", bound=MemoryRead)


class BoardMemoryRead(MemoryRead):
    """A note or a chat message of a board."""

    board_id: UUID


class BoardGroupMemoryRead(MemoryRead):
    """A note or a chat message of a board group."""

    board_group_id: UUID


def build_memory_read(model: type[Model], detail: NoteDetail) -> Model:
    """Build the model from a note."""
    row_fields = model.model_fields.keys() - {"author_name"}
    fields = {name: getattr(detail.note, name) for name in row_fields}
    return model(**fields, author_name=detail.author_name)


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


async def list_board_memory(
    context: RequestContext, scope: MemoryScope, query: MemoryFilter
) -> Page[BoardMemoryRead]:
    """List the memory of a board, newest first."""
    return await _list_notes(context, scope, query, BoardMemoryRead)


@error_responses(403)
async def create_board_memory(
    context: RequestContext, scope: MemoryScope, body: MemoryCreate
) -> BoardMemoryRead:
    """Write a note on a board, or with the tag `chat` a chat message.

    The lead and mentioned agents are notified of a chat message. `/pause` and `/resume`, in chat
    messages of users or of the lead, are sent to all agents of the board.
    """
    return build_memory_read(BoardMemoryRead, await _create_note(context, scope, body))


async def get_board_memory(context: RequestContext, note: NoteDetail) -> BoardMemoryRead:
    """Return a note of a board."""
    return build_memory_read(BoardMemoryRead, note)


@error_responses(403, 412)
async def update_board_memory(
    context: RequestContext, scope: MemoryScope, note: NoteDetail, body: MemoryUpdate
) -> BoardMemoryRead:
    """Change a note of a board. Agents may change their own notes, the lead all notes."""
    return build_memory_read(BoardMemoryRead, await _update_note(context, scope, note, body))


async def list_group_memory(
    context: RequestContext, scope: MemoryScope, query: MemoryFilter
) -> Page[BoardGroupMemoryRead]:
    """List the memory of a board group, newest first; empty for a board without a group."""
    return await _list_notes(context, scope, query, BoardGroupMemoryRead)


async def create_group_memory(
    context: RequestContext, scope: MemoryScope, body: MemoryCreate
) -> BoardGroupMemoryRead:
    """Write a note in a board group, or with the tag `chat` a chat message.

    The leads of its boards and mentioned agents are notified of a chat message; with the tag
    `broadcast` or the text `@all`, all agents of its boards.
    """
    return build_memory_read(BoardGroupMemoryRead, await _create_note(context, scope, body))


async def get_group_memory(context: RequestContext, note: NoteDetail) -> BoardGroupMemoryRead:
    """Return a note of a board group."""
    return build_memory_read(BoardGroupMemoryRead, note)


@error_responses(403, 412)
async def update_group_memory(
    context: RequestContext, scope: MemoryScope, note: NoteDetail, body: MemoryUpdate
) -> BoardGroupMemoryRead:
    """Change a note of a group. Agents may change their own notes, leads all notes."""
    return build_memory_read(BoardGroupMemoryRead, await _update_note(context, scope, note, body))


@error_responses(403, 412)
async def delete_memory(context: RequestContext, scope: MemoryScope, note: NoteDetail) -> Ok:
    """Delete a note. Agents may delete their own notes, leads all notes."""
    await memory.delete_note(
        context.session, context.actor, scope, note, known=context.known_versions
    )
    return Ok()


async def _list_notes(
    context: RequestContext, scope: MemoryScope, query: MemoryFilter, model: type[Model]
) -> Page[Model]:
    found = await memory.list_notes(context.session, scope, query.paging, is_chat=query.is_chat)
    return found.map(lambda detail: build_memory_read(model, detail))


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
