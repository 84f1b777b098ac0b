"""Reading what is remembered, each note with who wrote it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import NotFound
from kit.paging import Page, Paging, paged_rows
from kit.together import Wanted
from models import Agent, Board, GroupNote, Note, User
from services.memory.places import Kind, Place, on_board
from services.memory.rules import command, name_of


@dataclass(frozen=True)
class NoteDetail:
    """A note, and who wrote it, if they are still there."""

    note: Note | GroupNote
    agent: Agent | None
    user: User | None

    @property
    def author_name(self) -> str | None:
        """How the author is called."""
        author = self.agent or self.user
        return name_of(author) if author else None

    @property
    def is_command(self) -> bool:
        """Whether it is a command, which goes to all agents of its board."""
        return self.note.is_chat and command(self.note.content) is not None


async def listed(
    session: AsyncSession, place: Place, paging: Paging, *, is_chat: bool | None = None
) -> Page[NoteDetail]:
    """Return what is remembered in a place, newest first. Notes that say nothing are left out."""
    query = _telling(place, is_chat)
    return (await paged_rows(session, query, paging)).map(lambda row: NoteDetail(*row))


def newest_chat(board: Board, *, most: int) -> Wanted[NoteDetail]:
    """Want the newest messages of a board's chat, newest first."""
    return Wanted(_telling(on_board(board), True).limit(most), lambda row: NoteDetail(*row))


async def one(session: AsyncSession, place: Place, memory_id: UUID) -> NoteDetail:
    """Return a note of a place. Raises NotFound."""
    return await _one(session, place, _notes(place.kind), memory_id)


async def hold(session: AsyncSession, place: Place, memory_id: UUID) -> NoteDetail:
    """Return a note of a place that nobody else can change until the commit. Raises NotFound."""
    query = _notes(place.kind).with_for_update(of=place.kind.note)
    query = query.execution_options(populate_existing=True)
    return await _one(session, place, query, memory_id)


async def several(
    session: AsyncSession, kind: Kind, place_ids: Collection[UUID], memory_ids: Collection[UUID]
) -> dict[UUID, NoteDetail]:
    """Return those of these notes that are kept in some places."""
    if not (place_ids and memory_ids):
        return {}
    query = _notes(kind).where(kind.column.in_(place_ids), kind.note.id.in_(memory_ids))
    return {row[0].id: NoteDetail(*row) for row in await session.execute(query)}


async def _one(
    session: AsyncSession, place: Place, query: Select[*tuple[Any, ...]], memory_id: UUID
) -> NoteDetail:
    query = query.where(place.kind.column == place.id, place.kind.note.id == memory_id)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFound("memory_not_found", "There is no such note here.")
    return NoteDetail(*row)


def _telling(place: Place, is_chat: bool | None) -> Select[*tuple[Any, ...]]:
    note = place.kind.note
    query = _notes(place.kind).where(place.kind.column == place.id)
    query = query.where(note.content.regexp_match(r"\S"))
    if is_chat is not None:
        query = query.where(note.is_chat == is_chat)
    return query.order_by(note.created_at.desc(), note.id.desc())


def _notes(kind: Kind) -> Select[*tuple[Any, ...]]:
    """Select notes, each with the agent or the person who wrote it."""
    note = kind.note
    return (
        select(note, Agent, User)
        .outerjoin(Agent, Agent.id == note.agent_id)
        .outerjoin(User, User.id == note.user_id)
    )
