"""What boards and groups remember, told as it is written (contract, people-and-boards 1.8)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.fields import Answer, Following
from api.frames import Writer, frame
from api.memory import BoardGroupMemoryRead, BoardMemoryRead, MemoryRead, read
from api.operations import Call
from api.streams import Channel, Rights, follow
from kit.http import Session
from models import Board, BoardGroup, Event, EventType
from services import board_groups, boards, memory
from services.memory import Kind

SHAPES: Mapping[str, type[MemoryRead]] = {
    memory.BOARD.place: BoardMemoryRead,
    memory.GROUP.place: BoardGroupMemoryRead,
}


class MemoryStreamQuery(Following):
    """Which notes to follow."""

    is_chat: bool | None = Field(
        default=None, description="Only messages of the chat, or only notes that are none."
    )


class MemoryMessage(Answer):
    """What the stream tells of a note that was written or changed: the note as it is now."""

    memory: BoardMemoryRead | BoardGroupMemoryRead


class ForgottenNote(Answer):
    """Which note is gone."""

    id: UUID


class MemoryGone(Answer):
    """What the stream tells of a note that was deleted."""

    memory: ForgottenNote
    deleted: Literal[True] = True


async def stream_board_memory(call: Call, board: Board, query: MemoryStreamQuery) -> Response:
    """Follow what a board remembers, and its chat.

    Each message is an event `memory` with `memory` as it is now; of a note that was deleted,
    `memory` has only its `id`, and `deleted` is true.
    """

    async def look(session: Session) -> Rights:
        return frozenset({(await boards.get(session, call.actor, board.id)).id})

    channel = _channel(memory.BOARD, query, only=board.id)
    return await follow(call, channel, board.organization_id, query, look)


async def stream_memory_beside(call: Call, board: Board, query: MemoryStreamQuery) -> Response:
    """Follow what the group of a board remembers, whichever that is, and its chat.

    Messages are as on the stream of a board's memory. While the board is in no group, there is
    nothing to tell.
    """

    async def look(session: Session) -> Rights:
        now = await boards.get(session, call.actor, board.id)
        return frozenset({now.board_group_id} - {None})

    channel = replace(_channel(memory.GROUP, query), turns=lambda event: _moves(event, board.id))
    return await follow(call, channel, board.organization_id, query, look)


async def stream_group_memory(call: Call, group: BoardGroup, query: MemoryStreamQuery) -> Response:
    """Follow what a group of boards remembers, and its chat.

    Messages are as on the stream of a board's memory.
    """

    async def look(session: Session) -> Rights:
        return frozenset({(await board_groups.get(session, call.user, group.id)).id})

    channel = _channel(memory.GROUP, query, only=group.id)
    return await follow(call, channel, group.organization_id, query, look)


def _channel(kind: Kind, query: MemoryStreamQuery, only: UUID | None = None) -> Channel:
    return Channel(
        f"memory of {kind.place}",
        frozenset({kind.created, kind.updated, kind.deleted}),
        _notes_of(kind),
        only,
        place=kind.place_of,
        fits=lambda event: kind.fits(event, query.is_chat),
    )


def _moves(event: Event, board_id: UUID) -> bool:
    """Say whether a board may be in another group since something happened."""
    return event.type is EventType.BOARD_UPDATED and event.board_id == board_id


def _notes_of(kind: Kind) -> Writer:
    async def write(session: Session, heard: Sequence[Event]) -> Mapping[int, bytes]:
        ids = {event.seq: UUID(event.data["memory_id"]) for event in heard}
        places = {place for event in heard if (place := kind.place_of(event))}
        found = await memory.several(session, kind, places, set(ids.values()))
        told = {event.seq: _told(kind, event, ids[event.seq], found) for event in heard}
        return {seq: frame("memory", seq, message) for seq, message in told.items() if message}

    return write


def _told(
    kind: Kind, event: Event, id: UUID, found: Mapping[UUID, memory.NoteDetail]
) -> MemoryMessage | MemoryGone | None:
    """Tell of a note. What is gone by now is told by its deletion alone."""
    if event.type is kind.deleted:
        return MemoryGone(memory=ForgottenNote(id=id))
    return MemoryMessage(memory=read(SHAPES[kind.place], found[id])) if id in found else None
