"""Read notes with their authors."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.combined_query import QueryPart
from core.errors import NotFound
from core.paging import Page, Paging, fetch_page_of_rows
from models import Agent, GroupNote, Note, User
from services.memory.rules import (
    BOARD_MEMORY,
    MemoryKind,
    MemoryScope,
    get_author_name,
    parse_command,
)


@dataclass(frozen=True)
class NoteDetail:
    """A note with its author. Both are None if the author was deleted."""

    note: Note | GroupNote
    agent: Agent | None
    user: User | None

    @property
    def author_name(self) -> str | None:
        """The display name of the author."""
        author = self.agent or self.user
        return get_author_name(author) if author else None

    @property
    def is_command(self) -> bool:
        """Whether it is a command to all agents of the board."""
        return self.note.is_chat and parse_command(self.note.content) is not None


async def list_notes(
    session: AsyncSession, scope: MemoryScope, paging: Paging, *, is_chat: bool | None = None
) -> Page[NoteDetail]:
    """Return the notes of a board or group, newest first. Blank notes are omitted."""
    query = _scope_query(scope.kind, scope.id, is_chat=is_chat)
    return (await fetch_page_of_rows(session, query, paging)).map(lambda row: NoteDetail(*row))


def latest_chat_query(*, limit: int) -> QueryPart[NoteDetail]:
    """Build the query for the newest messages of the chat of the board `board_id`, newest first."""
    query = _scope_query(BOARD_MEMORY, bindparam("board_id"), is_chat=True)
    return QueryPart(query.limit(limit), lambda row: NoteDetail(*row))


async def get_note(session: AsyncSession, scope: MemoryScope, memory_id: UUID) -> NoteDetail:
    """Return a note of a board or group. Raises NotFound."""
    return await _get_note(session, scope, _notes_query(scope.kind), memory_id)


async def lock_note(session: AsyncSession, scope: MemoryScope, memory_id: UUID) -> NoteDetail:
    """Return a note, locked until the end of the transaction. Raises NotFound."""
    query = _notes_query(scope.kind).with_for_update(of=scope.kind.note)
    query = query.execution_options(populate_existing=True)
    return await _get_note(session, scope, query, memory_id)


async def load_notes(
    session: AsyncSession,
    kind: MemoryKind,
    scope_ids: Collection[UUID],
    memory_ids: Collection[UUID],
) -> dict[UUID, NoteDetail]:
    """Return notes by id. Ids of other boards or groups are ignored."""
    if not (scope_ids and memory_ids):
        return {}
    query = _notes_query(kind).where(kind.column.in_(scope_ids), kind.note.id.in_(memory_ids))
    return {row[0].id: NoteDetail(*row) for row in await session.execute(query)}


async def _get_note(
    session: AsyncSession, scope: MemoryScope, query: Select[*tuple[Any, ...]], memory_id: UUID
) -> NoteDetail:
    query = query.where(scope.kind.column == scope.id, scope.kind.note.id == memory_id)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFound("memory_not_found", "There is no such note here.")
    return NoteDetail(*row)


def _scope_query(
    kind: MemoryKind, scope_id: Any, *, is_chat: bool | None
) -> Select[*tuple[Any, ...]]:
    note = kind.note
    query = _notes_query(kind).where(kind.column == scope_id)
    query = query.where(note.content.regexp_match(r"\S"))
    if is_chat is not None:
        query = query.where(note.is_chat == is_chat)
    return query.order_by(note.created_at.desc(), note.id.desc())


def _notes_query(kind: MemoryKind) -> Select[*tuple[Any, ...]]:
    """Select notes, each with the agent or the user that is its author."""
    note = kind.note
    return (
        select(note, Agent, User)
        .outerjoin(Agent, Agent.id == note.agent_id)
        .outerjoin(User, User.id == note.user_id)
    )
