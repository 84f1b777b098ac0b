"""Full-text search in everything that an actor may read: tasks, comments, memory and boards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, literal, select, true, union_all

from core.db.full_text import TextPart, highlight_matches, split_words
from core.db.reads import Query, Source
from core.paging import PAGE_LIMIT, PAGE_OFFSET, Page, Paging
from models import Agent, Member
from services import boards
from services.search.snippets import build_snippet, rank_order, select_snippet, term_parameters
from services.search.sources import (
    TEXT_SOURCES,
    Kind,
    ResultKind,
    select_matches,
    select_visible_boards,
)


@dataclass(frozen=True)
class SearchResult:
    """A row that contains all search words. Its parts mark where the words occur."""

    kind: Kind | ResultKind
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
    source: Source,
    member: Member,
    query_text: str,
    paging: Paging,
    *,
    kinds: Sequence[Kind] = (),
) -> Page[SearchResult]:
    """Search what a member may read in the organization, best first. No kinds means all kinds."""
    return await _search(source, member, query_text, paging, kinds)


async def search_for_agent(
    source: Source,
    agent: Agent,
    query_text: str,
    paging: Paging,
    *,
    kinds: Sequence[Kind] = (),
) -> Page[SearchResult]:
    """Search what an agent may read, best first. No kinds means all kinds."""
    return await _search(source, agent, query_text, paging, kinds)


async def _search(
    source: Source,
    actor: Agent | Member,
    query_text: str,
    paging: Paging,
    kinds: Sequence[Kind],
) -> Page[SearchResult]:
    """Load a page and the total in one statement; run none if the text contains no word."""
    terms = split_words(query_text)
    if not terms:
        return Page([], 0, paging.limit, paging.offset)
    query = build_search_query(frozenset(kinds), by_agent=isinstance(actor, Agent))
    rows = await query.fetch(
        source,
        **boards.access_parameters(actor),
        **term_parameters(terms),
        page_limit=paging.limit,
        page_offset=paging.offset,
    )
    items = [
        SearchResult(Kind(row.kind), **result_fields(row, terms))
        for row in rows
        if row.id is not None
    ]
    return Page(items, rows[0].total, paging.limit, paging.offset)


class _Row(NamedTuple):
    """A found row; without an id only the total counts."""

    total: int
    kind: str
    id: UUID | None
    board_id: UUID | None
    board_name: str | None
    board_group_id: UUID | None
    task_id: UUID | None
    title: str
    text: str | None
    at: datetime
    rank: float
    start: int | None
    piece: str | None


@cache
def build_search_query(kinds: frozenset[Kind], *, by_agent: bool) -> Query[_Row]:
    """Select a page of rows that the caller may read and that contain all words, with the total.

    There is always a row, so that the total is available for an offset after the last result; its
    id is then null.
    """
    readable = boards.AGENT_BOARD_IDS if by_agent else boards.READABLE_BOARD_IDS
    visible_boards = select_visible_boards(readable)
    sources = [source for source in TEXT_SOURCES if not kinds or source.kind in kinds]
    found = union_all(*(select_matches(source, visible_boards) for source in sources)).cte("found")
    page = select(found).order_by(*rank_order(found)).limit(PAGE_LIMIT).offset(PAGE_OFFSET)
    page_rows = page.subquery("page")
    total = select(func.count()).select_from(found).scalar_subquery()
    statement = (
        select(total.label("total"), page_rows, *select_snippet(page_rows.c.text))
        .select_from(select(literal(1)).subquery("one_row").outerjoin(page_rows, true()))
        .order_by(*rank_order(page_rows))
    )
    return Query(statement, _Row._make)


def result_fields(row: Any, terms: Sequence[str]) -> dict[str, Any]:
    """Return the fields that results of the API and of pages have in common, except the kind."""
    return {
        "id": row.id,
        "board_id": row.board_id,
        "board_name": row.board_name,
        "board_group_id": row.board_group_id,
        "task_id": row.task_id,
        "title": row.title,
        "title_parts": highlight_matches(row.title, terms),
        "snippet": build_snippet(row.piece, row.start, terms),
        "at": row.at,
    }
