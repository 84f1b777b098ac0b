"""Searching for words in all that somebody may read: tasks, comments, memory and boards."""

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

from kit.paging import Page, Paging
from kit.words import Part, marked, query_of, rank, words
from models import Actor, Agent, Board, BoardGroup, Comment, GroupNote, Member, Note, Task
from services import boards

LONGEST = 240  # characters of a snippet
BEFORE = 60  # characters of it that stand before the first hit
NO_ID = cast(null(), Uuid)
MORE = "…"


class Kind(StrEnum):
    """What can be found."""

    TASK = "task"
    COMMENT = "comment"
    MEMORY = "memory"
    BOARD = "board"


@dataclass(frozen=True)
class Found:
    """Something that has all the words. The parts that are hits are those words."""

    kind: Kind
    id: UUID
    board_id: UUID | None
    board_name: str | None
    board_group_id: UUID | None  # of what a group of boards remembers
    task_id: UUID | None
    title: str  # of a comment: its task's; of a note: the name of its board or group
    title_parts: Sequence[Part]
    snippet: Sequence[Part]
    at: datetime  # when it was last changed


async def for_member(
    session: AsyncSession, member: Member, typed: str, paging: Paging, *, kinds: Sequence[Kind] = ()
) -> Page[Found]:
    """Find what a member reads in their organization, best first. No kinds means all of them."""
    return await _search(session, member.user, member.organization_id, typed, paging, kinds)


async def for_agent(
    session: AsyncSession, agent: Agent, typed: str, paging: Paging, *, kinds: Sequence[Kind] = ()
) -> Page[Found]:
    """Find what is on an agent's boards, best first. No kinds means all of them."""
    return await _search(session, agent, agent.organization_id, typed, paging, kinds)


async def _search(
    session: AsyncSession,
    actor: Actor,
    organization_id: UUID,
    typed: str,
    paging: Paging,
    kinds: Sequence[Kind],
) -> Page[Found]:
    """Send the one statement that finds a page and counts all; none where no word was typed."""
    wanted = words(typed)
    if not wanted:
        return Page([], 0, paging.limit, paging.offset)
    readable = boards.readable(actor, organization_id)
    rows = (await session.execute(found_in(readable, wanted, paging, kinds))).all()
    items = [_found(row, wanted) for row in rows if row.id is not None]
    return Page(items, rows[0].total, paging.limit, paging.offset)


def found_in(
    readable: Select[UUID], wanted: Sequence[str], paging: Paging, kinds: Sequence[Kind] = ()
) -> Select[*tuple[Any, ...]]:
    """Select a page of what has all the words on some boards, each row with the total.

    There is always a row, so that the total is told behind the last page too; it has no id then.
    """
    seen = select(Board.id, Board.board_group_id).where(Board.id.in_(readable)).cte("seen")
    query = query_of(wanted)
    sources = [source for source in _SOURCES if not kinds or source.kind in kinds]
    found = union_all(*(_matches(source, seen, query) for source in sources)).cte("found")
    page = select(found).order_by(*_best_first(found)).limit(paging.limit).offset(paging.offset)
    shown = page.subquery("page")
    total = select(func.count()).select_from(found).scalar_subquery()
    start = func.greatest(_first_hit(shown.c.text, wanted) - BEFORE, 1)
    piece = func.substr(shown.c.text, start, LONGEST + 1)
    return (
        select(total.label("total"), shown, start.label("start"), piece.label("piece"))
        .select_from(select(literal(1)).subquery("one_row").outerjoin(shown, true()))
        .order_by(*_best_first(shown))
    )


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A table in which words can be found, and what is shown of its rows."""

    kind: Kind
    id: Any
    words: Any
    title: Any
    text: Any
    at: Any
    tables: Any
    task_id: Any = None
    is_of_a_group: bool = False


_SOURCES = (
    _Source(
        kind=Kind.TASK,
        id=Task.id,
        words=Task.__table__.c.words,
        title=Task.title,
        text=Task.description,
        at=Task.updated_at,
        tables=join(Task, Board, Board.id == Task.board_id),
        task_id=Task.id,
    ),
    _Source(
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
    _Source(
        kind=Kind.MEMORY,
        id=Note.id,
        words=Note.__table__.c.words,
        title=Board.name,
        text=Note.content,
        at=Note.updated_at,
        tables=join(Note, Board, Board.id == Note.board_id),
    ),
    _Source(
        kind=Kind.MEMORY,
        id=GroupNote.id,
        words=GroupNote.__table__.c.words,
        title=BoardGroup.name,
        text=GroupNote.content,
        at=GroupNote.updated_at,
        tables=join(GroupNote, BoardGroup, BoardGroup.id == GroupNote.board_group_id),
        is_of_a_group=True,
    ),
    _Source(
        kind=Kind.BOARD,
        id=Board.id,
        words=Board.__table__.c.words,
        title=Board.name,
        text=func.concat_ws(" ", Board.description, Board.objective),
        at=Board.updated_at,
        tables=Board,
    ),
)
"""Where words are looked for. Whoever sees one board of a group sees what the group remembers."""


def _matches(source: _Source, seen: CTE, query: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    where: tuple[Any, ...] = (Board.id, Board.name, NO_ID)
    is_seen = Board.id.in_(select(seen.c.id))
    if source.is_of_a_group:
        where = (NO_ID, null(), BoardGroup.id)
        is_seen = BoardGroup.id.in_(select(seen.c.board_group_id))
    board_id, board_name, group_id = where
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
            rank(source.words, query).label("rank"),
        )
        .select_from(source.tables)
        .where(source.words.bool_op("@@")(query), is_seen)
    )


def _best_first(found: Any) -> tuple[Any, ...]:
    return found.c.rank.desc(), found.c.at.desc(), found.c.id


def _first_hit(text: Any, wanted: Sequence[str]) -> ColumnElement[int]:
    """Make the place of the first word of a text that begins as one of these; 0 for none."""
    return func.regexp_instr(text, f"(?<![[:alnum:]])({'|'.join(wanted)})", 1, 1, 0, "i")


def _found(row: Row[Any], wanted: Sequence[str]) -> Found:
    return Found(
        kind=Kind(row.kind),
        id=row.id,
        board_id=row.board_id,
        board_name=row.board_name,
        board_group_id=row.board_group_id,
        task_id=row.task_id,
        title=row.title,
        title_parts=marked(row.title, wanted),
        snippet=marked(_snippet(row.piece or "", row.start), wanted),
        at=row.at,
    )


def _snippet(piece: str, start: int | None) -> str:
    """Return a piece of a text in one line, with whole words, and dots where it was cut."""
    before, after = "", ""
    if len(piece) > LONGEST:
        piece, after = piece[:LONGEST].rpartition(" ")[0] or piece[:LONGEST], MORE
    if start is not None and start > 1:
        piece, before = piece[piece[:BEFORE].find(" ") + 1 :], MORE
    return before + " ".join(piece.split()) + after
