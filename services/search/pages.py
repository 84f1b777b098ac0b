"""The search of pages: all kinds with filters, the number of results of each kind, and limits."""

import asyncio
from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    Integer,
    Select,
    String,
    Uuid,
    bindparam,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from core.db.full_text import split_words
from core.db.reads import Query, Source
from core.paging import PAGE_LIMIT, PAGE_OFFSET, Paging
from models import Agent, Member, Status, User
from services import boards
from services.search.queries import SearchResult, result_fields
from services.search.snippets import rank_order, select_snippet, term_parameters
from services.search.sources import (
    ALL_SOURCES,
    ResultKind,
    SearchSource,
    select_matches,
    select_visible_boards,
)

MAX_MATCHES = 10_000  # of each kind, that are ranked and counted
TIME_LIMIT = 5.0  # seconds for a statement


@dataclass(frozen=True)
class SearchFilters:
    """Which results to show. A kind of object that has no such property is left out."""

    kind: ResultKind | None = None
    board_id: UUID | None = None
    status: Status | None = None
    assignee_id: UUID | None = None
    author_id: UUID | None = None  # a user or an agent
    since: datetime | None = None
    until: datetime | None = None

    @property
    def active(self) -> frozenset[str]:
        """Return the names of the filters that are set, except the kind."""
        values = {
            "board": self.board_id,
            "status": self.status,
            "assignee": self.assignee_id,
            "author": self.author_id,
            "time": self.since or self.until,
        }
        return frozenset(name for name, value in values.items() if value is not None)


@dataclass(frozen=True)
class FoundObject(SearchResult):
    """A result on a page, with what pages show besides."""

    kind: ResultKind
    status: Status | None = None  # of a task
    is_chat: bool = False  # for memory: a message, not a note
    author_name: str | None = None


@dataclass(frozen=True)
class SearchResults:
    """A page of results, and the number of results of each kind under the other filters.

    Numbers above MAX_MATCHES mean that there are more, and that the others were not ranked.
    """

    items: Sequence[FoundObject] = ()
    counts: Mapping[ResultKind, int] = field(default_factory=dict)
    timed_out: bool = False  # whether the search was ended by the time limit

    @property
    def is_cut(self) -> bool:
        """Return whether there are more matches than were ranked."""
        return any(count > MAX_MATCHES for count in self.counts.values())


def is_searchable(query_text: str) -> bool:
    """Return whether a text has a word of two characters, or of one that is not ASCII.

    One letter matches too much; one Chinese character is a word.
    """
    return any(len(word) > 1 or not word.isascii() for word in split_words(query_text))


async def search_for_page(
    source: Source,
    member: Member,
    query_text: str,
    paging: Paging,
    filters: SearchFilters | None = None,
) -> SearchResults:
    """Search what a member may read in the organization, best first, in one statement.

    The statement is ended after TIME_LIMIT. A text that is not searchable finds nothing.
    """
    terms, filters = split_words(query_text), filters or SearchFilters()
    if not is_searchable(query_text):
        return SearchResults()
    try:
        async with asyncio.timeout(TIME_LIMIT):
            rows = await build_page_query(filters.active).fetch(
                source,
                **boards.access_parameters(member),
                **term_parameters(terms),
                is_admin=member.is_admin,
                match_limit=MAX_MATCHES + 1,
                kind=filters.kind,
                filter_board_id=filters.board_id,
                status=filters.status,
                assignee_id=filters.assignee_id,
                author_id=filters.author_id,
                since=filters.since,
                until=filters.until,
                page_limit=paging.limit,
                page_offset=paging.offset,
            )
    except TimeoutError:
        return SearchResults(timed_out=True)
    counts = {ResultKind(kind): count for kind, count in (rows[0].counts or {}).items()}
    return SearchResults([build_found(row, terms) for row in rows if row.id is not None], counts)


def build_found(row: Any, terms: Sequence[str]) -> FoundObject:
    """Build a result of a row of `select_found`."""
    return FoundObject(
        ResultKind(row.kind),
        **result_fields(row, terms),
        status=Status(row.status) if row.status else None,
        is_chat=bool(row.is_chat),
        author_name=row.author_name,
    )


MATCH_LIMIT: ColumnElement[Any] = bindparam("match_limit", type_=Integer())
CONDITIONS: Mapping[str, ColumnElement[Any]] = {
    "board": bindparam("filter_board_id", type_=Uuid()),
    "status": bindparam("status", type_=String()),
    "assignee": bindparam("assignee_id", type_=Uuid()),
    "author": bindparam("author_id", type_=Uuid()),
}
"""The parameters that filters compare with their columns."""


def select_found(source: SearchSource, visible_boards: CTE) -> Select[*tuple[Any, ...]]:
    """Select the matches of a table with the columns that pages show."""
    return select_matches(source, visible_boards).add_columns(
        source.status.label("status"),
        source.is_chat.label("is_chat"),
        source.user_id.label("user_id"),
        source.agent_id.label("agent_id"),
    )


@cache
def build_page_query(active: frozenset[str]) -> Query[Any]:
    """Select a page of results with the numbers of all kinds, for the filters that are set.

    There is always a row, so that the numbers are available for an offset after the last result.
    """
    visible_boards = select_visible_boards(boards.READABLE_BOARD_IDS)
    kinds = [source for source in ALL_SOURCES if active <= source.filters.keys()]
    limited = [_select_filtered(source, visible_boards, active) for source in kinds]
    found = union_all(*(select(one.subquery()) for one in limited)).cte("found")
    by_kind = select(found.c.kind, func.count().label("n")).group_by(found.c.kind).subquery()
    counts = select(func.jsonb_object_agg(by_kind.c.kind, by_kind.c.n, type_=JSONB))
    kind = bindparam("kind", type_=String())
    page = select(found).where(or_(kind.is_(None), found.c.kind == kind))
    rows = page.order_by(*rank_order(found)).limit(PAGE_LIMIT).offset(PAGE_OFFSET).subquery("page")
    statement = (
        select(
            counts.scalar_subquery().label("counts"),
            rows,
            *select_snippet(rows.c.text),
            func.coalesce(
                Agent.name, func.nullif(User.preferred_name, ""), func.nullif(User.name, "")
            ).label("author_name"),
        )
        .select_from(select(literal(1)).subquery("one_row").outerjoin(rows, true()))
        .outerjoin(Agent, Agent.id == rows.c.agent_id)
        .outerjoin(User, User.id == rows.c.user_id)
        .order_by(*rank_order(rows))
    )
    return Query(statement, named_rows(statement))


def named_rows(statement: Any) -> Any:
    """Return a function that makes rows with the names of the columns of a statement."""
    names = [str(column.key) for column in statement.selected_columns]
    return namedtuple("FoundRow", names)._make


def _select_filtered(
    source: SearchSource, visible_boards: CTE, active: frozenset[str]
) -> Select[*tuple[Any, ...]]:
    """Select at most MATCH_LIMIT matches of a table under the filters."""
    query = select_found(source, visible_boards).limit(MATCH_LIMIT)
    for name in active:
        columns = source.filters[name]
        if name == "time":
            query = query.where(*_time_conditions(columns[0]))
        else:
            query = query.where(or_(*(column == CONDITIONS[name] for column in columns)))
    return query


def _time_conditions(column: Any) -> tuple[ColumnElement[bool], ...]:
    since, until = (bindparam(name, type_=DateTime(timezone=True)) for name in ("since", "until"))
    return or_(since.is_(None), column >= since), or_(until.is_(None), column < until)
