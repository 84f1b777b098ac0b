"""Memory and chat of boards and groups."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.framework.agent_operations import declare_agent, declare_shared
from api.framework.dependencies import (
    DependencyValues,
    board_for_read,
    board_for_update,
    group_for_read,
)
from api.framework.fields import (
    Ok,
    PageQuery,
    ResponseModel,
    StreamQuery,
    Timestamp,
)
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
    open_board_stream,
    open_stream,
)
from core.http.request import Session
from core.json_responses import Encoded, build_encoder, encode_page
from core.paging import Page
from models import Board, BoardGroup, Event, EventType, Note
from services import boards, memory
from services.memory import (
    GroupNoteCreate,
    MemoryKind,
    MemoryScope,
    NoteCreate,
    NoteDetail,
    NoteUpdate,
)


async def board_memory_for_read(
    context: RequestContext, path: Mapping[str, Any]
) -> DependencyValues:
    """Load the memory scope of a readable board, and the note in the path."""
    loaded = await board_for_read(context, path)
    return await _load_memory(context, memory.board_scope(loaded["board"]), path)


async def board_memory_for_update(
    context: RequestContext, path: Mapping[str, Any]
) -> DependencyValues:
    """Lock a board that the caller may change, and the note in the path."""
    loaded = await board_for_update(context, path)
    return await _lock_memory(context, memory.board_scope(loaded["board"]), path)


async def group_memory_for_read(
    context: RequestContext, path: Mapping[str, Any]
) -> DependencyValues:
    """Load the memory scope of a group or of a board's group, and the note in the path."""
    if "group_id" in path:
        return await _load_memory(
            context, memory.group_scope((await group_for_read(context, path))["group"]), path
        )
    loaded = await board_for_read(context, path)
    return await _load_memory(context, memory.board_group_scope(loaded["board"]), path)


async def group_memory_for_update(
    context: RequestContext, path: Mapping[str, Any]
) -> DependencyValues:
    """Lock a group, or a board and its group, for a caller who may write to its memory."""
    if "group_id" in path:
        group = await boards.lock_group(context.session, context.user, path["group_id"])
        return await _lock_memory(context, memory.group_scope(group), path)
    board = (await board_for_update(context, path))["board"]
    group = await boards.find_group_of_board(context.session, board)
    return await _lock_memory(context, memory.board_group_scope(board, group), path)


async def _load_memory(
    context: RequestContext, scope: MemoryScope, path: Mapping[str, Any]
) -> DependencyValues:
    if "memory_id" not in path:
        return {"scope": scope}
    return {
        "scope": scope,
        "note": await memory.get_note(context.source, scope, path["memory_id"]),
    }


async def _lock_memory(
    context: RequestContext, scope: MemoryScope, path: Mapping[str, Any]
) -> DependencyValues:
    if "memory_id" not in path:
        return {"scope": scope}
    return {
        "scope": scope,
        "note": await memory.lock_note(context.session, scope, path["memory_id"]),
    }


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


encode_board_note = build_encoder(BoardMemoryRead, "note", author_name="author_name")
encode_group_note = build_encoder(BoardGroupMemoryRead, "note", author_name="author_name")


def build_note_fields(detail: NoteDetail) -> dict[str, Any]:
    """Return the fields of a note of a board or a group, in the order of its model."""
    return (encode_board_note if isinstance(detail.note, Note) else encode_group_note)(detail)


def _encode_note(detail: NoteDetail) -> Encoded[Any]:
    return Encoded(build_note_fields(detail), detail.note.version)


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
    context: RequestContext, scope: MemoryScope, body: NoteCreate
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
    context: RequestContext, scope: MemoryScope, note: NoteDetail, body: NoteUpdate
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
    context: RequestContext, scope: MemoryScope, body: GroupNoteCreate
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
    context: RequestContext, scope: MemoryScope, note: NoteDetail, body: NoteUpdate
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


async def _create_note(context: RequestContext, scope: MemoryScope, body: NoteCreate) -> NoteDetail:
    base_url = context.settings.base_url
    return await memory.create_note(context.session, context.actor, scope, body, base_url=base_url)


async def _update_note(
    context: RequestContext, scope: MemoryScope, note: NoteDetail, body: NoteUpdate
) -> NoteDetail:
    return await memory.update_note(
        context.session, context.actor, scope, note, body, known=context.known_versions
    )


class MemoryStreamQuery(StreamQuery):
    """Which notes to stream."""

    is_chat: bool | None = Field(
        default=None, description="`true`: only chat messages; `false`: only other notes."
    )


class MemoryMessage(ResponseModel):
    """A stream message with a new or changed note."""

    memory: BoardMemoryRead | BoardGroupMemoryRead


class DeletedMemory(ResponseModel):
    """The id of a deleted note."""

    id: UUID


class MemoryDeletedMessage(ResponseModel):
    """A stream message about a deleted note."""

    memory: DeletedMemory
    deleted: Literal[True] = True


MEMORY_EVENTS = {"memory": MemoryMessage | MemoryDeletedMessage}


@sends_events(MEMORY_EVENTS)
async def stream_board_memory(
    context: RequestContext, board: Board, query: MemoryStreamQuery
) -> Response:
    """Stream the memory and chat of a board.

    Each message is an event `memory` with the current `memory`; for a deleted note it contains only
    `id`, and `deleted` is true.
    """
    definition = _build_definition(memory.BOARD_MEMORY, query, scope_id=board.id)
    return await open_board_stream(context, definition, board, query)


@sends_events(MEMORY_EVENTS)
async def stream_board_group_memory(
    context: RequestContext, board: Board, query: MemoryStreamQuery
) -> Response:
    """Stream the memory and chat of the group of a board, also after it moves to another group.

    Messages are as in the stream of a board's memory. Without a group there are no messages.
    """

    async def load_allowed_ids(session: Session) -> AllowedIds:
        now = await boards.get_board(session, context.actor, board.id)
        return frozenset({now.board_group_id} - {None})

    definition = replace(
        _build_definition(memory.GROUP_MEMORY, query),
        # the board may have been moved to another group
        changes_rights=lambda event: (
            event.type is EventType.BOARD_UPDATED and event.board_id == board.id
        ),
    )
    return await open_stream(context, definition, board.organization_id, query, load_allowed_ids)


@sends_events(MEMORY_EVENTS)
async def stream_group_memory(
    context: RequestContext, group: BoardGroup, query: MemoryStreamQuery
) -> Response:
    """Stream the memory and chat of a board group.

    Messages are as in the stream of a board's memory.
    """

    async def load_allowed_ids(session: Session) -> AllowedIds:
        return frozenset({(await boards.get_group(session, context.user, group.id)).id})

    definition = replace(
        _build_definition(memory.GROUP_MEMORY, query, scope_id=group.id),
        changes_rights=lambda event: event.type in GROUP_EVENTS,
    )
    return await open_stream(context, definition, group.organization_id, query, load_allowed_ids)


def _build_definition(
    kind: MemoryKind, query: MemoryStreamQuery, scope_id: UUID | None = None
) -> StreamDefinition:
    model = BoardMemoryRead if kind is memory.BOARD_MEMORY else BoardGroupMemoryRead

    async def write_frames(session: Session, received: Sequence[Event]) -> Mapping[int, bytes]:
        ids = {event.seq: UUID(event.data["memory_id"]) for event in received}
        scope_ids = {id for event in received if (id := kind.scope_id_of(event))}
        found = await memory.load_notes(session, kind, scope_ids, set(ids.values()))
        frames = {}
        for event in received:
            id = ids[event.seq]
            message: MemoryMessage | MemoryDeletedMessage
            if event.type is kind.deleted:
                message = MemoryDeletedMessage(memory=DeletedMemory(id=id))
            elif id in found:
                message = MemoryMessage(memory=model(**build_note_fields(found[id])))
            else:
                continue  # it was deleted meanwhile
            frames[event.seq] = format_frame("memory", event.seq, message)
        return frames

    return StreamDefinition(
        f"memory of {kind.scope_field}",
        (kind.created, kind.updated, kind.deleted),
        write_frames,
        scope_id,
        get_scope_id=kind.scope_id_of,
        matches_query=lambda event: kind.matches(event, query.is_chat),
    )


GROUP_EVENTS = (
    EventType.BOARD_UPDATED,
    EventType.BOARD_DELETED,
    EventType.BOARD_GROUP_UPDATED,
    EventType.BOARD_GROUP_DELETED,
)
"""Events that may change the boards of a group, and so who may read its memory."""


BOARD_MEMORY = "/boards/{board_id}/memory"
BOARD_NOTE = "/boards/{board_id}/memory/{memory_id}"
BOARD_GROUP_MEMORY = "/boards/{board_id}/group-memory"
BOARD_GROUP_NOTE = "/boards/{board_id}/group-memory/{memory_id}"
GROUP_MEMORY = "/board-groups/{group_id}/memory"
GROUP_NOTE = "/board-groups/{group_id}/memory/{memory_id}"
BOARD_TAGS = ["board-memory"]
GROUP_TAGS = ["board-group-memory"]

OPERATIONS = [
    Operation("GET", BOARD_MEMORY, list_board_memory, EITHER, BOARD_TAGS, board_memory_for_read),
    declare_agent(
        "GET",
        BOARD_MEMORY,
        list_board_memory,
        "agent_board_memory_discovery",
        board_memory_for_read,
    ),
    Operation(
        "POST",
        BOARD_MEMORY,
        create_board_memory,
        EITHER,
        BOARD_TAGS,
        board_memory_for_update,
    ),
    declare_agent(
        "POST",
        BOARD_MEMORY,
        create_board_memory,
        "agent_board_memory_record",
        board_memory_for_update,
    ),
    Operation(
        "GET",
        BOARD_MEMORY + "/stream",
        stream_board_memory,
        EITHER,
        BOARD_TAGS,
        board_for_read,
    ),
    Operation("GET", BOARD_NOTE, get_board_memory, EITHER, BOARD_TAGS, board_memory_for_read),
    declare_agent(
        "GET", BOARD_NOTE, get_board_memory, "agent_board_memory_lookup", board_memory_for_read
    ),
    Operation(
        "PATCH", BOARD_NOTE, update_board_memory, EITHER, BOARD_TAGS, board_memory_for_update
    ),
    declare_agent(
        "PATCH",
        BOARD_NOTE,
        update_board_memory,
        "agent_board_memory_update",
        board_memory_for_update,
    ),
    Operation("DELETE", BOARD_NOTE, delete_memory, EITHER, BOARD_TAGS, board_memory_for_update),
    declare_agent(
        "DELETE", BOARD_NOTE, delete_memory, "agent_board_memory_delete", board_memory_for_update
    ),
    declare_shared(
        "GET",
        BOARD_GROUP_MEMORY,
        list_group_memory,
        "board-group-memory",
        "agent_board_group_memory_discovery",
        group_memory_for_read,
    ),
    declare_shared(
        "POST",
        BOARD_GROUP_MEMORY,
        create_group_memory,
        "board-group-memory",
        "agent_board_group_memory_record",
        group_memory_for_update,
    ),
    declare_shared(
        "GET",
        BOARD_GROUP_MEMORY + "/stream",
        stream_board_group_memory,
        "board-group-memory",
        "agent_board_group_memory_stream",
        board_for_read,
    ),
    declare_shared(
        "GET",
        BOARD_GROUP_NOTE,
        get_group_memory,
        "board-group-memory",
        "agent_board_group_memory_lookup",
        group_memory_for_read,
    ),
    declare_shared(
        "PATCH",
        BOARD_GROUP_NOTE,
        update_group_memory,
        "board-group-memory",
        "agent_board_group_memory_update",
        group_memory_for_update,
    ),
    declare_shared(
        "DELETE",
        BOARD_GROUP_NOTE,
        delete_memory,
        "board-group-memory",
        "agent_board_group_memory_delete",
        group_memory_for_update,
    ),
]

GROUP_OPERATIONS = [
    Operation("GET", GROUP_MEMORY, list_group_memory, USER, GROUP_TAGS, group_memory_for_read),
    Operation(
        "POST",
        GROUP_MEMORY,
        create_group_memory,
        USER,
        GROUP_TAGS,
        group_memory_for_update,
    ),
    Operation(
        "GET",
        GROUP_MEMORY + "/stream",
        stream_group_memory,
        USER,
        GROUP_TAGS,
        group_for_read,
    ),
    Operation("GET", GROUP_NOTE, get_group_memory, USER, GROUP_TAGS, group_memory_for_read),
    Operation(
        "PATCH",
        GROUP_NOTE,
        update_group_memory,
        USER,
        GROUP_TAGS,
        group_memory_for_update,
    ),
    Operation("DELETE", GROUP_NOTE, delete_memory, USER, GROUP_TAGS, group_memory_for_update),
]
