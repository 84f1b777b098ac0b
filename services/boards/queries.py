"""List and summarize boards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import SQLColumnExpression, String, bindparam, func, literal_column, select

from core.db.reads import AnySelect, CombinedQuery, Query, Source
from core.errors import NotFound
from core.paging import PAGE_LIMIT, PAGE_OFFSET, Page, PagedQuery, Paging, build_page
from core.text import N_, is_storable
from models import (
    OPEN_STATUSES,
    Agent,
    Board,
    BoardCounts,
    BoardGroup,
    Member,
    Status,
)
from services import counters
from services.boards.access import (
    AGENT_BOARD_IDS,
    MEMBER_BOARDS,
    READABLE_BOARD_IDS,
    access_parameters,
    select_board_ids,
)

BY_NAME = (func.lower(Board.name), Board.created_at.desc(), Board.id)


async def list_boards(
    source: Source,
    member: Member,
    paging: Paging,
    *,
    gateway_id: UUID | None = None,
    board_group_id: UUID | None = None,
) -> Page[Board]:
    """Return the boards of the member's organization that the member may read, by name."""
    query = _build_list_query(
        of_all=member.reads_all_boards,
        by_gateway=gateway_id is not None,
        by_group=board_group_id is not None,
    )
    return await query.fetch_page(
        source,
        paging,
        gateway_id=gateway_id,
        group_id=board_group_id,
        **access_parameters(member),
    )


@cache
def _build_list_query(*, of_all: bool, by_gateway: bool, by_group: bool) -> PagedQuery[Board]:
    query: AnySelect = select_board_ids(of_all=of_all).with_only_columns(Board)
    if by_gateway:
        query = query.where(Board.gateway_id == bindparam("gateway_id"))
    if by_group:
        query = query.where(Board.board_group_id == bindparam("group_id"))
    return PagedQuery(query.order_by(*BY_NAME), itemgetter(0))


async def get_board_by_slug(source: Source, member: Member, slug: str) -> Board:
    """Return the board of the member's organization that has this slug. Raises NotFound."""
    parameters = access_parameters(member) | {"slug": slug}
    board = await BOARD_BY_SLUG.first(source, **parameters) if is_storable(slug) else None
    if board is None:
        raise NotFound("board_not_found", N_("There is no such board."))
    return board


BOARD_BY_SLUG: Query[Board] = Query(
    select(Board).where(Board.id.in_(READABLE_BOARD_IDS), Board.slug == bindparam("slug")),
    itemgetter(0),
)


async def list_agent_boards(source: Source, agent: Agent, paging: Paging) -> Page[Board]:
    """Return the boards that an agent may read, newest first."""
    return await AGENT_BOARDS.fetch_page(source, paging, **access_parameters(agent))


AGENT_BOARDS: PagedQuery[Board] = PagedQuery(
    select(Board).where(Board.id.in_(AGENT_BOARD_IDS)).order_by(Board.created_at.desc(), Board.id),
    itemgetter(0),
)


@dataclass(frozen=True)
class BoardSummary:
    """A board with the numbers of its tasks and agents."""

    board: Board
    can_write: bool
    group_name: str | None
    agent_count: int
    task_counts: Mapping[Status, int]  # all statuses, including those without tasks

    @property
    def task_count(self) -> int:
        """The number of all tasks."""
        return sum(self.task_counts.values())


async def find_changeable_board(source: Source, member: Member) -> Board | None:
    """Return the first board by name that the member may change, or None."""
    return await CHANGEABLE_BOARD.first(source, **access_parameters(member))


async def list_boards_of_group(source: Source, member: Member, group_id: UUID) -> Sequence[Board]:
    """Return the boards of a group that the member may read, by name."""
    return await BOARDS_OF_GROUP.fetch(source, group_id=group_id, **access_parameters(member))


class GroupCounts(NamedTuple):
    """The numbers of the boards of a group that a member may read, and of their open tasks."""

    boards: int
    open_tasks: int


async def count_boards_of_groups(source: Source, member: Member) -> Mapping[UUID, GroupCounts]:
    """Return the numbers of each group that has boards which the member may read, by group."""
    rows = await COUNTS_OF_GROUPS.fetch(source, **access_parameters(member))
    return {group_id: GroupCounts(*numbers) for group_id, *numbers in rows}


async def find_board_summary(source: Source, member: Member, board_id: UUID) -> BoardSummary | None:
    """Return the summary of a board that the member may read, or None."""
    return await BOARD_SUMMARY.first(source, board_id=board_id, **access_parameters(member))


_visible = MEMBER_BOARDS.subquery()
AGENT_COUNT = (
    select(func.count())
    .select_from(Agent)
    .where(Agent.board_id == Board.id)
    .correlate(Board)
    .scalar_subquery()
)
SUMMARIES = (
    select(
        Board,
        _visible.c.writes,
        BoardGroup.name,
        AGENT_COUNT,
        *(func.coalesce(counter, 0) for counter in counters.TASK_COUNTS.values()),
    )
    .join(_visible, _visible.c.id == Board.id)
    .outerjoin(BoardGroup, BoardGroup.id == Board.board_group_id)
    .outerjoin(BoardCounts, BoardCounts.board_id == Board.id)
    .where(_visible.c.reads)
)


def _build_summary(row: Sequence[Any]) -> BoardSummary:
    return BoardSummary(*row[:4], dict(zip(counters.TASK_COUNTS, row[4:], strict=True)))


BOARD_SUMMARY: Query[BoardSummary] = Query(
    SUMMARIES.where(Board.id == bindparam("board_id", type_=Board.id.type)), _build_summary
)


CHANGEABLE_BOARD: Query[Board] = Query(
    select(Board)
    .join(_visible, _visible.c.id == Board.id)
    .where(_visible.c.writes)
    .order_by(*BY_NAME)
    .limit(1),
    itemgetter(0),
)
BOARDS_OF_GROUP: Query[Board] = Query(
    select(Board)
    .where(Board.board_group_id == bindparam("group_id"), Board.id.in_(READABLE_BOARD_IDS))
    .order_by(*BY_NAME),
    itemgetter(0),
)
OPEN_TASKS = func.coalesce(
    sum((counters.TASK_COUNTS[status] for status in OPEN_STATUSES), literal_column("0")), 0
)
COUNTS_OF_GROUPS: Query[tuple[UUID, int, int]] = Query(
    select(Board.board_group_id, func.count(), func.sum(OPEN_TASKS))
    .outerjoin(BoardCounts, BoardCounts.board_id == Board.id)
    .where(Board.board_group_id.is_not(None), Board.id.in_(READABLE_BOARD_IDS))
    .group_by(Board.board_group_id)
)


class BoardSort(StrEnum):
    """By what a list of boards is sorted. `TASKS` are those that are not done."""

    NAME = "name"
    GROUP = "group"
    TASKS = "tasks"
    AGENTS = "agents"
    UPDATED = "updated"


BY_NAME_REVERSED = (func.lower(Board.name).desc(), Board.created_at, Board.id.desc())
SORT_KEYS: Mapping[BoardSort, SQLColumnExpression[Any]] = {
    BoardSort.GROUP: func.lower(BoardGroup.name),
    BoardSort.TASKS: OPEN_TASKS,
    BoardSort.AGENTS: AGENT_COUNT,
    BoardSort.UPDATED: Board.updated_at,
}


@dataclass(frozen=True)
class BoardList:
    """A page of the boards whose texts match a search, and the number of all boards."""

    page: Page[BoardSummary]
    board_count: int


async def list_board_page(
    source: Source,
    member: Member,
    paging: Paging,
    *,
    search: str = "",
    sort: BoardSort = BoardSort.NAME,
    is_descending: bool = False,
) -> BoardList:
    """Return a page of the boards that the member may read, in one statement.

    With `search` those that have it in their name, group, objective or description. The details are
    read of the boards of the page alone, and by name the page is read from an index.
    """
    query = _build_page_query(
        sort,
        of_all=member.reads_all_boards,
        is_descending=is_descending,
        is_searched=bool(search),
    )
    given = access_parameters(member) | paging.parameters | {"search": search}
    summaries, [total], [board_count] = await query.fetch(source, **given)
    return BoardList(build_page(summaries, total, paging), board_count)


@cache
def _build_page_query(
    sort: BoardSort, *, of_all: bool, is_descending: bool, is_searched: bool
) -> CombinedQuery:
    order: Sequence[Any] = BY_NAME_REVERSED if is_descending else BY_NAME
    if sort is not BoardSort.NAME:
        key = SORT_KEYS[sort]
        order = ((key.desc() if is_descending else key).nulls_last(), *BY_NAME)
    readable = select_board_ids(of_all=of_all)
    found = readable
    if is_searched or sort is BoardSort.GROUP:
        found = found.outerjoin(BoardGroup, BoardGroup.id == Board.board_group_id)
    if sort is BoardSort.TASKS:
        found = found.outerjoin(BoardCounts, BoardCounts.board_id == Board.id)
    if is_searched:
        texts = func.concat_ws(
            "\n", Board.name, BoardGroup.name, Board.objective, Board.description
        )
        searched = func.lower(bindparam("search", type_=String()))
        found = found.where(func.strpos(func.lower(texts), searched) > 0)
    page = found.order_by(*order).limit(PAGE_LIMIT).offset(PAGE_OFFSET).subquery("page")
    shown = SUMMARIES.join(page, page.c.id == Board.id).order_by(*order)
    counts = (select(func.count()).select_from(ids.subquery()) for ids in (found, readable))
    return CombinedQuery(
        Query(shown, _build_summary), *(Query(count, itemgetter(0)) for count in counts)
    )


class RelatedBoard(NamedTuple):
    """Another board of the group of a board, with the numbers of its open tasks."""

    id: UUID
    name: str
    group_name: str
    open_counts: Mapping[Status, int]


async def list_related_boards(
    source: Source, member: Member, board: Board
) -> Sequence[RelatedBoard]:
    """Return the other boards of the group that the member may read, by name.

    A board without a group needs no statement.
    """
    if board.board_group_id is None:
        return ()
    ids = {"group_id": board.board_group_id, "board_id": board.id}
    return await RELATED_BOARDS.fetch(source, **ids, **access_parameters(member))


RELATED_BOARDS: Query[RelatedBoard] = Query(
    select(
        Board.id,
        Board.name,
        BoardGroup.name,
        *(func.coalesce(counters.TASK_COUNTS[status], 0) for status in OPEN_STATUSES),
    )
    .join(BoardGroup, BoardGroup.id == Board.board_group_id)
    .outerjoin(BoardCounts, BoardCounts.board_id == Board.id)
    .where(
        Board.board_group_id == bindparam("group_id"),
        Board.id != bindparam("board_id"),
        Board.id.in_(READABLE_BOARD_IDS),
    )
    .order_by(*BY_NAME),
    lambda row: RelatedBoard(*row[:3], dict(zip(OPEN_STATUSES, row[3:], strict=True))),
)
