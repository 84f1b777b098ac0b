"""Suggestions of the command palette: what the words of a user may mean, and what they opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Uuid,
    bindparam,
    func,
    literal,
    select,
    union_all,
)

from core.db.full_text import split_words
from core.db.reads import Query, Source
from models import Member, Status, Task
from services import boards
from services.search.pages import (
    FoundObject,
    build_found,
    is_searchable,
    named_rows,
    select_found,
)
from services.search.snippets import rank_order, select_snippet, term_parameters
from services.search.sources import (
    AGENTS,
    BOARDS,
    COMMENTS,
    NO_TEXT,
    PEOPLE,
    TASKS,
    ResultKind,
    SearchSource,
    select_visible_boards,
)

MAX_CANDIDATES = 2_000  # matches of each section that are ranked
MAX_RECENT = 8  # objects

HERE_ID: ColumnElement[Any] = bindparam("here_id", type_=Uuid())


@dataclass(frozen=True)
class Section:
    """A part of the suggestions: the source, the number of rows, and where to look."""

    source: SearchSource
    limit: int
    condition: ColumnElement[bool] | None = None


SECTIONS: Mapping[str, Section] = {
    "here": Section(TASKS, 6, Task.board_id == HERE_ID),
    "boards": Section(BOARDS, 5),
    "tasks": Section(TASKS, 6, Task.board_id.is_distinct_from(HERE_ID)),
    "agents": Section(AGENTS, 4),
    "people": Section(PEOPLE, 4),
    "comments": Section(COMMENTS, 4),
}
"""The sections in their order."""


async def suggest_objects(
    source: Source, member: Member, query_text: str, *, board_id: UUID | None
) -> Mapping[str, Sequence[FoundObject]]:
    """Return the best matches of each section, in one statement; first those of this board.

    The board may be any: the rights are part of the statement.
    """
    if not is_searchable(query_text):
        return {}
    terms = split_words(query_text)
    rows = await _build_suggestions_query().fetch(
        source,
        **boards.access_parameters(member),
        **term_parameters(terms),
        is_admin=member.is_admin,
        here_id=board_id,
    )
    found = {
        name: [build_found(row, terms) for row in rows if row.section == name] for name in SECTIONS
    }
    return {name: items for name, items in found.items() if items}


@cache
def _build_suggestions_query() -> Query[Any]:
    visible_boards = select_visible_boards(boards.READABLE_BOARD_IDS)
    parts = []
    for name, section in SECTIONS.items():
        matches = select_found(section.source, visible_boards)
        if section.condition is not None:
            matches = matches.where(section.condition)
        ranked = matches.limit(MAX_CANDIDATES).subquery()
        best = select(literal(name).label("section"), ranked).order_by(*rank_order(ranked))
        parts.append(select(best.limit(section.limit).subquery()))
    found = union_all(*parts).subquery("found")
    author = NO_TEXT.label("author_name")
    statement = select(found, *select_snippet(found.c.text), author).order_by(*rank_order(found))
    return Query(statement, named_rows(statement))


class RecentObject(NamedTuple):
    """An object that the user has opened before, as it is named now."""

    kind: ResultKind
    id: UUID
    board_id: UUID | None
    title: str
    board_name: str | None
    status: Status | None


async def load_recent_objects(
    source: Source, member: Member, ids: Sequence[UUID]
) -> Sequence[RecentObject]:
    """Return those of these tasks, boards and agents that the member may read, in this order."""
    wanted = list(dict.fromkeys(ids))[:MAX_RECENT]
    if not wanted:
        return []
    return await _build_recent_query().fetch(
        source, **boards.access_parameters(member), is_admin=member.is_admin, ids=wanted
    )


@cache
def _build_recent_query() -> Query[RecentObject]:
    visible_boards = select_visible_boards(boards.READABLE_BOARD_IDS)
    ids = bindparam("ids", type_=ARRAY(Uuid()))
    wanted = func.unnest(ids).table_valued("id", with_ordinality="place").render_derived("wanted")
    parts = [
        select(
            wanted.c.place,
            literal(source.kind.value).label("kind"),
            source.id.label("id"),
            source.board_id.label("board_id"),
            source.title.label("title"),
            source.board_name.label("board_name"),
            source.status.label("status"),
        )
        .select_from(source.tables)
        .join(wanted, wanted.c.id == source.id)
        .where(source.is_visible(visible_boards))
        for source in (TASKS, BOARDS, AGENTS)
    ]
    found = union_all(*parts).subquery("recent")
    columns = [column for column in found.c if column.key != "place"]
    return Query(select(*columns).order_by(found.c.place), _build_recent)


def _build_recent(row: Any) -> RecentObject:
    kind, id, board_id, title, board_name, status = row
    return RecentObject(
        ResultKind(kind), id, board_id, title, board_name, Status(status) if status else None
    )
