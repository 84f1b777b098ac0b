"""Full-text search in everything that an actor may read: tasks, comments, memory and boards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Row,
    Select,
    Uuid,
    cast,
    func,
    join,
    literal,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.full_text import TextPart, build_rank, build_tsquery, highlight_matches, split_words
from core.paging import Page, Paging
from models import Actor, Agent, Board, BoardGroup, Comment, GroupNote, Member, Note, Task
from services import boards

SNIPPET_LENGTH = 240  # characters
SNIPPET_LEAD = 60  # characters of a snippet before the first match
NO_ID = cast(null(), Uuid)
ELLIPSIS = "…"


class Kind(StrEnum):
    """What can be found."""

    TASK = "task"
    COMMENT = "comment"
    MEMORY = "memory"
    BOARD = "board"


@dataclass(frozen=True)
class SearchResult:
    """A row that contains all search words. Its parts mark where the words occur."""

    kind: Kind
    id: UUID
    board_id: UUID | None
    board_name: str | None
    board_group_id: UUID | None  # only for group memory
    task_id: UUID | None
    title: str  # for a comment its task's title; for memory the name of the board or group
    title_parts: Sequence[TextPart]
    snippet: Sequence[TextPart]
    at: datetime  # of the last change


async def search_for_member(
    session: AsyncSession,
    member: Member,
    query_text: str,
    paging: Paging,
    *,
    kinds: Sequence[Kind] = (),
) -> Page[SearchResult]:
    """Search what a member may read in the organization, best first. No kinds means all kinds."""
    return await _search(session, member.user, member.organization_id, query_text, paging, kinds)


async def search_for_agent(
    session: AsyncSession,
    agent: Agent,
    query_text: str,
    paging: Paging,
    *,
    kinds: Sequence[Kind] = (),
) -> Page[SearchResult]:
    """Search what an agent may read, best first. No kinds means all kinds."""
    return await _search(session, agent, agent.organization_id, query_text, paging, kinds)


async def _search(
    session: AsyncSession,
    actor: Actor,
    organization_id: UUID,
    query_text: str,
    paging: Paging,
    kinds: Sequence[Kind],
) -> Page[SearchResult]:
    """Load a page and the total in one statement; run none if the text contains no word."""
    terms = split_words(query_text)
    if not terms:
        return Page([], 0, paging.limit, paging.offset)
    readable = boards.readable_board_ids_query(actor, organization_id)
    rows = (await session.execute(search_query(readable, terms, paging, kinds))).all()
    items = [_build_result(row, terms) for row in rows if row.id is not None]
    return Page(items, rows[0].total, paging.limit, paging.offset)


def search_query(
    readable: Select[UUID], terms: Sequence[str], paging: Paging, kinds: Sequence[Kind] = ()
) -> Select[*tuple[Any, ...]]:
    """Select a page of rows on these boards that contain all words, each with the total.

    There is always a row, so that the total is available for an offset after the last result; its
    id is then null.
    """
    visible_boards = (
        select(Board.id, Board.board_group_id).where(Board.id.in_(readable)).cte("visible_boards")
    )
    query = build_tsquery(terms)
    sources = [source for source in _SOURCES if not kinds or source.kind in kinds]
    found = union_all(*(_matches_query(source, visible_boards, query) for source in sources)).cte(
        "found"
    )
    page = select(found).order_by(*_rank_order(found)).limit(paging.limit).offset(paging.offset)
    page_rows = page.subquery("page")
    total = select(func.count()).select_from(found).scalar_subquery()
    start = func.greatest(_first_hit_position(page_rows.c.text, terms) - SNIPPET_LEAD, 1)
    piece = func.substr(page_rows.c.text, start, SNIPPET_LENGTH + 1)
    return (
        select(total.label("total"), page_rows, start.label("start"), piece.label("piece"))
        .select_from(select(literal(1)).subquery("one_row").outerjoin(page_rows, true()))
        .order_by(*_rank_order(page_rows))
    )


@dataclass(frozen=True, kw_only=True)
class _SearchSource:
    """A searchable table, and the columns that a result displays."""

    kind: Kind
    id: Any
    words: Any
    title: Any
    text: Any
    at: Any
    tables: Any
    task_id: Any = None
    is_group_memory: bool = False


_SOURCES = (
    _SearchSource(
        kind=Kind.TASK,
        id=Task.id,
        words=Task.__table__.c.words,
        title=Task.title,
        text=Task.description,
        at=Task.updated_at,
        tables=join(Task, Board, Board.id == Task.board_id),
        task_id=Task.id,
    ),
    _SearchSource(
        kind=Kind.COMMENT,
        id=Comment.id,
        words=Comment.__table__.c.words,
        title=Task.title,
        text=Comment.message,
        at=Comment.created_at,
        tables=join(Comment, Task, Task.id == Comment.task_id).join(
            Board, Board.id == Comment.board_id
        ),
        task_id=Comment.task_id,
    ),
    _SearchSource(
        kind=Kind.MEMORY,
        id=Note.id,
        words=Note.__table__.c.words,
        title=Board.name,
        text=Note.content,
        at=Note.updated_at,
        tables=join(Note, Board, Board.id == Note.board_id),
    ),
    _SearchSource(
        kind=Kind.MEMORY,
        id=GroupNote.id,
        words=GroupNote.__table__.c.words,
        title=BoardGroup.name,
        text=GroupNote.content,
        at=GroupNote.updated_at,
        tables=join(GroupNote, BoardGroup, BoardGroup.id == GroupNote.board_group_id),
        is_group_memory=True,
    ),
    _SearchSource(
        kind=Kind.BOARD,
        id=Board.id,
        words=Board.__table__.c.words,
        title=Board.name,
        text=func.concat_ws(" ", Board.description, Board.objective),
        at=Board.updated_at,
        tables=Board,
    ),
)
"""The searched tables. Who may read one board of a group may read the memory of the group."""


def _matches_query(
    source: _SearchSource, visible_boards: CTE, query: ColumnElement[Any]
) -> Select[*tuple[Any, ...]]:
    place: tuple[Any, ...] = (Board.id, Board.name, NO_ID)
    is_visible = Board.id.in_(select(visible_boards.c.id))
    if source.is_group_memory:
        place = (NO_ID, null(), BoardGroup.id)
        is_visible = BoardGroup.id.in_(select(visible_boards.c.board_group_id))
    board_id, board_name, group_id = place
    return (
        select(
            literal(source.kind.value).label("kind"),
            source.id.label("id"),
            board_id.label("board_id"),
            board_name.label("board_name"),
            group_id.label("board_group_id"),
            (NO_ID if source.task_id is None else source.task_id).label("task_id"),
            source.title.label("title"),
            source.text.label("text"),
            source.at.label("at"),
            build_rank(source.words, query).label("rank"),
        )
        .select_from(source.tables)
        .where(source.words.bool_op("@@")(query), is_visible)
    )


def _rank_order(found: Any) -> tuple[Any, ...]:
    return found.c.rank.desc(), found.c.at.desc(), found.c.id


def _first_hit_position(text: Any, terms: Sequence[str]) -> ColumnElement[int]:
    """Select the position of the first word that starts with one of the terms; 0 if none does."""
    return func.regexp_instr(text, f"(?<![[:alnum:]])({'|'.join(terms)})", 1, 1, 0, "i")


def _build_result(row: Row[Any], terms: Sequence[str]) -> SearchResult:
    return SearchResult(
        kind=Kind(row.kind),
        id=row.id,
        board_id=row.board_id,
        board_name=row.board_name,
        board_group_id=row.board_group_id,
        task_id=row.task_id,
        title=row.title,
        title_parts=highlight_matches(row.title, terms),
        snippet=highlight_matches(_build_snippet(row.piece or "", row.start), terms),
        at=row.at,
    )


def _build_snippet(piece: str, start: int | None) -> str:
    """Format a piece of text as one line of whole words, with an ellipsis where it was cut."""
    before, after = "", ""
    if len(piece) > SNIPPET_LENGTH:
        piece, after = piece[:SNIPPET_LENGTH].rpartition(" ")[0] or piece[:SNIPPET_LENGTH], ELLIPSIS
    if start is not None and start > 1:
        piece, before = piece[piece[:SNIPPET_LEAD].find(" ") + 1 :], ELLIPSIS
    return before + " ".join(piece.split()) + after
