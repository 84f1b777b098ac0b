"""Streams of the memory of boards and groups (contract, people-and-boards 1.8)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.endpoints.memory import (
    BoardGroupMemoryRead,
    BoardMemoryRead,
    MemoryRead,
    build_memory_read,
)
from api.framework.fields import ResponseModel, StreamQuery
from api.framework.handler import RequestContext
from api.streams.sse_cache import FrameWriter, format_frame
from api.streams.subscription import AllowedIds, StreamDefinition, open_stream
from core.http.request import Session
from models import Board, BoardGroup, Event, EventType
from services import boards, memory
from services.memory import MemoryKind

RESPONSE_MODELS: Mapping[str, type[MemoryRead]] = {
    memory.BOARD_MEMORY.scope_field: BoardMemoryRead,
    memory.GROUP_MEMORY.scope_field: BoardGroupMemoryRead,
}


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


async def stream_board_memory(
    context: RequestContext, board: Board, query: MemoryStreamQuery
) -> Response:
    """Stream the memory and chat of a board.

    Each message is an event `memory` with the current `memory`; for a deleted note it contains only
    `id`, and `deleted` is true.
    """

    async def load_allowed_ids(session: Session) -> AllowedIds:
        return frozenset({(await boards.get_board(session, context.actor, board.id)).id})

    definition = _build_definition(memory.BOARD_MEMORY, query, scope_id=board.id)
    return await open_stream(context, definition, board.organization_id, query, load_allowed_ids)


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
        changes_rights=lambda event: _may_change_group(event, board.id),
    )
    return await open_stream(context, definition, board.organization_id, query, load_allowed_ids)


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
    return StreamDefinition(
        f"memory of {kind.scope_field}",
        frozenset({kind.created, kind.updated, kind.deleted}),
        _memory_frame_writer(kind),
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


def _may_change_group(event: Event, board_id: UUID) -> bool:
    """Return whether an event may have moved the board to another group."""
    return event.type is EventType.BOARD_UPDATED and event.board_id == board_id


def _memory_frame_writer(kind: MemoryKind) -> FrameWriter:
    async def write(session: Session, received: Sequence[Event]) -> Mapping[int, bytes]:
        ids = {event.seq: UUID(event.data["memory_id"]) for event in received}
        places = {place for event in received if (place := kind.scope_id_of(event))}
        found = await memory.load_notes(session, kind, places, set(ids.values()))
        messages_by_seq = {
            event.seq: _build_memory_message(kind, event, ids[event.seq], found)
            for event in received
        }
        return {
            seq: format_frame("memory", seq, message)
            for seq, message in messages_by_seq.items()
            if message
        }

    return write


def _build_memory_message(
    kind: MemoryKind, event: Event, id: UUID, found: Mapping[UUID, memory.NoteDetail]
) -> MemoryMessage | MemoryDeletedMessage | None:
    """Return the message about a note, or None if it was deleted meanwhile."""
    if event.type is kind.deleted:
        return MemoryDeletedMessage(memory=DeletedMemory(id=id))
    return (
        MemoryMessage(memory=build_memory_read(RESPONSE_MODELS[kind.scope_field], found[id]))
        if id in found
        else None
    )
