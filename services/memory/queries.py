"""Read notes with their authors."""

from collections.abc import Collection
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, Select, Uuid, bindparam, func, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.db.reads import AnySelect, Query, Source, choose_columns
from core.errors import NotFound
from core.paging import Page, PagedQuery, Paging
from models import (
    AGENT_NAME_COLUMNS,
    USER_NAME_COLUMNS,
    Agent,
    BoardCounts,
    BoardGroupCounts,
    GroupNote,
    Note,
    User,
)
from services.counters import sum_counts
from services.memory.rules import (
    BOARD_MEMORY,
    MemoryKind,
    MemoryScope,
    is_broadcast,
    parse_command,
)

SCOPE_ID = bindparam("scope_id", type_=Uuid())  # of a board or group


class NoteDetail(NamedTuple):
    """A note with its author. Both are None if the author was deleted."""

    note: Note | GroupNote
    agent: Agent | None
    user: User | None

    @property
    def author_name(self) -> str | None:
        """The display name of the author."""
        author = self.agent or self.user
        return author.display_name if author else None

    @property
    def is_broadcast(self) -> bool:
        """Whether a note of a group was sent to all agents of its boards."""
        return is_broadcast(self.note.content, self.note.tags)

    @property
    def is_command(self) -> bool:
        """Whether it is a command to all agents of the board."""
        return self.note.is_chat and parse_command(self.note.content) is not None


async def list_notes(
    source: Source, scope: MemoryScope, paging: Paging, *, is_chat: bool | None = None
) -> Page[NoteDetail]:
    """Return the notes of a board or group, newest first. Blank notes are omitted."""
    query = _build_list_query(scope.kind, is_chat=is_chat)
    return await query.fetch_page(source, paging, scope_id=scope.id)


@cache
def _build_list_query(kind: MemoryKind, *, is_chat: bool | None) -> PagedQuery[NoteDetail]:
    of_board = kind is BOARD_MEMORY
    counts = BoardCounts if of_board else BoardGroupCounts
    place = BoardCounts.board_id if of_board else BoardGroupCounts.board_group_id
    numbers = {counts.notes: False, counts.chat_messages: True}
    chosen = [one for one, of_chat in numbers.items() if is_chat in (None, of_chat)]
    return PagedQuery(
        _scope_query(kind, SCOPE_ID, is_chat=is_chat),
        NoteDetail._make,
        sum_counts(chosen, select(SCOPE_ID), place=place),
    )


async def count_newer_notes(
    source: Source, scope: MemoryScope, memory_id: UUID, *, is_chat: bool
) -> int:
    """Return the number of notes before this one in `list_notes`; 0 if it is not in that list."""
    query = _build_newer_query(scope.kind)
    ids = {"scope_id": scope.id, "memory_id": memory_id}
    return await query.first(source, **ids, is_chat=is_chat) or 0


@cache
def _build_newer_query(kind: MemoryKind) -> Query[int]:
    note, this = kind.note, aliased(kind.note)
    is_newer = tuple_(note.created_at, note.id) > tuple_(this.created_at, this.id)
    is_same_list = (getattr(this, kind.scope_field) == kind.column) & (this.is_chat == note.is_chat)
    return Query(
        select(func.count())
        .select_from(note)
        .join(this, is_same_list & is_newer)
        .where(kind.column == SCOPE_ID, note.is_chat == bindparam("is_chat", type_=Boolean()))
        .where(_is_not_blank(note), this.id == bindparam("memory_id", type_=Uuid())),
        itemgetter(0),
    )


def latest_chat_query(*, limit: int) -> Query[NoteDetail]:
    """Build the query for the newest messages of the chat of the board `board_id`, newest first."""
    query = _scope_query(BOARD_MEMORY, bindparam("board_id"), is_chat=True)
    return Query(query.limit(limit), NoteDetail._make)


async def get_note(source: Source, scope: MemoryScope, memory_id: UUID) -> NoteDetail:
    """Return a note of a board or group. Raises NotFound."""
    query = _build_note_query(scope.kind, locked=False)
    return await _get_note(source, scope, query, memory_id)


async def lock_note(session: AsyncSession, scope: MemoryScope, memory_id: UUID) -> NoteDetail:
    """Return a note, locked until the end of the transaction. Raises NotFound."""
    return await _get_note(session, scope, _build_note_query(scope.kind, locked=True), memory_id)


@cache
def _build_note_query(kind: MemoryKind, *, locked: bool) -> Query[NoteDetail]:
    query = _notes_query(kind).where(kind.column == SCOPE_ID)
    query = query.where(kind.note.id == bindparam("memory_id"))
    if locked:
        query = query.with_for_update(of=kind.note).execution_options(populate_existing=True)
    return Query(query, NoteDetail._make)


async def load_notes(
    source: Source,
    kind: MemoryKind,
    scope_ids: Collection[UUID],
    memory_ids: Collection[UUID],
) -> dict[UUID, NoteDetail]:
    """Return notes by id. Ids of other boards or groups are ignored."""
    if not (scope_ids and memory_ids):
        return {}
    query = _build_notes_by_id_query(kind)
    ids = {"scope_ids": list(scope_ids), "memory_ids": list(memory_ids)}
    return {detail.note.id: detail for detail in await query.fetch(source, **ids)}


@cache
def _build_notes_by_id_query(kind: MemoryKind) -> Query[NoteDetail]:
    scope_ids = bindparam("scope_ids", type_=ARRAY(Uuid()))
    memory_ids = bindparam("memory_ids", type_=ARRAY(Uuid()))
    in_scope = kind.column == func.any(scope_ids)
    return Query(
        _notes_query(kind).where(in_scope, kind.note.id == func.any(memory_ids)), NoteDetail._make
    )


async def _get_note(
    source: Source, scope: MemoryScope, query: Query[NoteDetail], memory_id: UUID
) -> NoteDetail:
    detail = await query.first(source, scope_id=scope.id, memory_id=memory_id)
    if detail is None:
        raise NotFound("memory_not_found", "There is no such note here.")
    return detail


def _is_not_blank(note: type[Note] | type[GroupNote]) -> ColumnElement[bool]:
    return note.content.regexp_match(r"\S")


def _scope_query(
    kind: MemoryKind, scope_id: Any, *, is_chat: bool | None
) -> Select[*tuple[Any, ...]]:
    note = kind.note
    query = _notes_query(kind).where(kind.column == scope_id)
    query = query.where(_is_not_blank(note))
    if is_chat is not None:
        query = query.where(note.is_chat == is_chat)
    return query.order_by(note.created_at.desc(), note.id.desc())


def _notes_query(kind: MemoryKind) -> AnySelect:
    """Select notes, each with the agent or the user that is its author."""
    note = kind.note
    query = (
        select(note, Agent, User)
        .outerjoin(Agent, Agent.id == note.agent_id)
        .outerjoin(User, User.id == note.user_id)
    )
    return choose_columns(query, {Agent: AGENT_NAME_COLUMNS, User: USER_NAME_COLUMNS})
