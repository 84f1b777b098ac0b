"""Full-text search in everything that an actor may read, for the API and for pages.

Pages search more kinds, with filters, the number of results of each kind, and limits.
"""

import asyncio
from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Select,
    String,
    Subquery,
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

from core.db.full_text import (
    TextPart,
    format_hit_pattern,
    format_tsquery,
    highlight_matches,
    split_words,
)
from core.db.reads import AnySelect, Query, Source
from core.paging import PAGE_LIMIT, PAGE_OFFSET, Page, PageRows, Paging, build_page
from models import Agent, Member, Status, User
from services import boards
from services.search.sources import (
    ALL_SOURCES,
    TEXT_SOURCES,
    Kind,
    ResultKind,
    SearchSource,
    select_matches,
    select_visible_boards,
)

MAX_MATCHES = 10_000  # of each kind, that are ranked and counted
TIME_LIMIT = 5.0  # seconds for a statement
SNIPPET_LENGTH = 240  # characters
SNIPPET_LEAD = 60  # characters of a snippet before the first match
ELLIPSIS = "…"

CONDITIONS: Mapping[str, ColumnElement[Any]] = {
    "board": bindparam("filter_board_id", type_=Uuid()),
    "status": bindparam("status", type_=String()),
    "assignee": bindparam("assignee_id", type_=Uuid()),
    "author": bindparam("author_id", type_=Uuid()),
}
"""The parameters that filters compare with their columns."""


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


async def search_texts(
    source: Source,
    actor: Agent | Member,
    query_text: str,
    paging: Paging,
    *,
    kinds: Sequence[Kind] = (),
) -> Page[SearchResult]:
    """Search what an agent, or a member in the organization, may read, best first.

    No kinds means all kinds. It executes one statement, and none if the text contains no word.
    """
    terms = split_words(query_text)
    if not terms:
        return build_page([], 0, paging)
    query = build_search_query(frozenset(kinds), by_agent=isinstance(actor, Agent))
    rows, cursor = await query.fetch(
        source, paging, **boards.access_parameters(actor), **term_parameters(terms)
    )
    items = [
        SearchResult(Kind(row.kind), **result_fields(row, terms))
        for row in rows
        if row.id is not None
    ]
    return build_page(items, rows[0].total, paging, cursor)


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
def build_search_query(kinds: frozenset[Kind], *, by_agent: bool) -> PageRows[_Row]:
    """Select a page of rows that the caller may read and that contain all words, with the total.

    There is always a row, so that the total is available for an offset after the last result; its
    id is then null.
    """
    readable = boards.AGENT_BOARD_IDS if by_agent else boards.READABLE_BOARD_IDS
    visible_boards = select_visible_boards(readable)
    sources = [source for source in TEXT_SOURCES if not kinds or source.kind in kinds]
    found = union_all(*(select_matches(source, visible_boards) for source in sources)).cte("found")
    total = select(func.count()).select_from(found).scalar_subquery()
    page = select(found).order_by(*rank_order(found)).limit(PAGE_LIMIT).offset(PAGE_OFFSET)

    def build_statement(*conditions: ColumnElement[bool]) -> AnySelect:
        page_rows = page.where(*conditions).subquery("page")
        snippet, snippet_columns = find_snippets(page_rows)
        return (
            select(total.label("total"), page_rows, *snippet_columns)
            .select_from(select(literal(1)).subquery("one_row").outerjoin(page_rows, true()))
            .join(snippet, true())
            .order_by(*rank_order(page_rows))
        )

    order = rank_order(found)
    return PageRows(build_statement, _Row._make, order, lambda row: (row.rank, row.at, row.id))


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
    snippet, snippet_columns = find_snippets(rows)
    statement = (
        select(
            counts.scalar_subquery().label("counts"),
            rows,
            *snippet_columns,
            func.coalesce(
                Agent.name, func.nullif(User.preferred_name, ""), func.nullif(User.name, "")
            ).label("author_name"),
        )
        .select_from(select(literal(1)).subquery("one_row").outerjoin(rows, true()))
        .join(snippet, true())
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
    """Select at most `match_limit` matches of a table under the filters."""
    match_limit = bindparam("match_limit", type_=Integer())
    query = select_found(source, visible_boards).limit(match_limit)
    for name in active:
        columns = source.filters[name]
        if name == "time":
            time = DateTime(timezone=True)
            since, until = bindparam("since", type_=time), bindparam("until", type_=time)
            query = query.where(
                or_(since.is_(None), columns[0] >= since), or_(until.is_(None), columns[0] < until)
            )
        else:
            query = query.where(or_(*(column == CONDITIONS[name] for column in columns)))
    return query


def term_parameters(terms: Sequence[str]) -> dict[str, str]:
    """Return the parameters of a statement that searches these words."""
    # the rest of the text belongs to the first match, so that PostgreSQL looks for no others
    return {"tsquery": format_tsquery(terms), "pattern": f"(?:{format_hit_pattern(terms)}).*"}


def rank_order(found: Any) -> tuple[Any, ...]:
    """Return the order of results: the best first, then the newest."""
    return found.c.rank.desc(), found.c.at.desc(), found.c.id


def find_snippets(rows: Subquery) -> tuple[FromClause, Sequence[ColumnElement[Any]]]:
    """Return what to join with rows that have a text, and then the columns of their snippets.

    `start` is where in the text a snippet starts, and `piece` its text.
    """
    # 0 if no word starts with one of the terms
    hit = func.regexp_instr(rows.c.text, bindparam("pattern", type_=String), type_=Integer)
    start = select(func.greatest(hit - SNIPPET_LEAD, 1).label("start")).correlate(rows)
    found = start.offset(0).lateral("snippet")  # without an offset it would be computed twice
    piece = func.substr(rows.c.text, found.c.start, SNIPPET_LENGTH + 1)
    return found, (found.c.start, piece.label("piece"))


def build_snippet(piece: str | None, start: int | None, terms: Sequence[str]) -> list[TextPart]:
    """Format a piece of text as one line of whole words, with an ellipsis where it was cut."""
    piece, before, after = piece or "", "", ""
    if len(piece) > SNIPPET_LENGTH:
        piece, after = piece[:SNIPPET_LENGTH].rpartition(" ")[0] or piece[:SNIPPET_LENGTH], ELLIPSIS
    if start is not None and start > 1:
        piece, before = piece[piece[:SNIPPET_LEAD].find(" ") + 1 :], ELLIPSIS
    return highlight_matches(before + " ".join(piece.split()) + after, terms)
