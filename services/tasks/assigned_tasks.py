"""The tasks of a person on all boards, which are read page by page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    String,
    Uuid,
    bindparam,
    func,
    literal,
    select,
    union_all,
)

from core.clock import now
from core.db.reads import AnySelect, Query, Source
from core.paging import KeysetPage, KeysetQuery, PagePlace
from models import Board, Member, Status, Task
from services import boards
from services.tasks.board_queries import MAX_COUNTED
from services.tasks.queries import ALL_CARD_TASKS, PRIORITY_RANK, CardTask, build_card_task

DONE_FOR = timedelta(days=7)  # that tasks are listed after they are done


class AssignedTask(NamedTuple):
    """A task of a person, and the name of its board."""

    task: CardTask
    board_name: str


class AssignedOrder(StrEnum):
    """The order of the open tasks of a person, or of those that were done lately."""

    DUE = "due"
    BOARD = "board"
    DONE = "done"


class DueSection(IntEnum):
    """When the open tasks of a person are due."""

    OVERDUE = 0
    TODAY = 1
    THIS_WEEK = 2
    LATER = 3
    NO_DATE = 4


class SectionStarts(NamedTuple):
    """When sections begin in the time zone of a reader: the next day, and the next week."""

    moment: datetime
    tomorrow: datetime
    next_week: datetime

    def find_section(self, due_at: datetime | None) -> DueSection:
        """Return the section of a due date."""
        if due_at is None:
            return DueSection.NO_DATE
        ends = zip(self, DueSection, strict=False)
        return next((section for end, section in ends if due_at < end), DueSection.LATER)


@dataclass(frozen=True)
class AssignedFilters:
    """The filters of the tasks of a person."""

    board_id: UUID | None = None
    priority: str = ""

    @property
    def names(self) -> frozenset[str]:
        """The names of the filters that are set."""
        return frozenset(name for name, value in vars(self).items() if value)


async def list_assigned_tasks(
    source: Source,
    member: Member,
    filters: AssignedFilters,
    order: AssignedOrder,
    place: PagePlace,
    *,
    size: int,
) -> KeysetPage[AssignedTask]:
    """Return a page of the tasks of a member on all boards that the member can read."""
    query = _build_queries(filters.names, order).page
    return await query.fetch_page(source, size, place, **_build_parameters(member, filters))


async def count_assigned_tasks(
    source: Source, member: Member, filters: AssignedFilters, order: AssignedOrder
) -> int:
    """Return the number of all, at most one more than MAX_COUNTED."""
    query = _build_queries(filters.names, order).count
    return await query.first(source, **_build_parameters(member, filters)) or 0


async def count_sections(
    source: Source, member: Member, filters: AssignedFilters, starts: SectionStarts
) -> Mapping[DueSection, int]:
    """Return the numbers of open tasks by section, each at most one more than MAX_COUNTED."""
    query = _build_section_counts(filters.names)
    parameters = _build_parameters(member, filters) | starts._asdict()
    return {DueSection(key): count for key, count in await query.fetch(source, **parameters)}


async def count_by_board(
    source: Source, member: Member, filters: AssignedFilters, board_ids: Sequence[UUID]
) -> Mapping[UUID, int]:
    """Return the numbers of open tasks of some boards, each at most one more than MAX_COUNTED."""
    query = _build_board_counts(filters.names)
    parameters = _build_parameters(member, filters) | {"board_ids": [*board_ids]}
    return dict(await query.fetch(source, **parameters))


def _build_parameters(member: Member, filters: AssignedFilters) -> dict[str, object]:
    return {
        **boards.access_parameters(member),
        "done_since": now() - DONE_FOR,
        "filter_board_id": filters.board_id,
        "filter_priority": filters.priority,
    }


BY_DUE_DATE = (Task.due_at.nulls_last(), PRIORITY_RANK.desc(), Task.created_at, Task.id)
ORDER_KEYS: Mapping[AssignedOrder, Sequence[Any]] = {
    AssignedOrder.DUE: BY_DUE_DATE,
    AssignedOrder.BOARD: (Board.name, Board.id, *BY_DUE_DATE),
    AssignedOrder.DONE: (Task.done_at.desc(), Task.created_at, Task.id),
}


def _list_conditions(names: frozenset[str], *, is_done: bool = False) -> list[ColumnElement[bool]]:
    filters = {
        "board_id": Task.board_id == bindparam("filter_board_id", type_=Uuid()),
        "priority": Task.priority == bindparam("filter_priority", type_=String()),
    }
    done_lately = Task.done_at >= _moment("done_since")
    return [
        Task.assigned_user_id == bindparam("user_id", type_=Uuid()),
        Task.board_id.in_(boards.READABLE_BOARD_IDS),
        (Task.status == Status.DONE) & done_lately if is_done else Task.status != Status.DONE,
        *(condition for name, condition in filters.items() if name in names),
    ]


def _moment(name: str) -> Any:
    return bindparam(name, type_=DateTime(timezone=True))


class _Queries(NamedTuple):
    page: KeysetQuery[AssignedTask]
    count: Query[int]


@lru_cache(16)
def _build_queries(names: frozenset[str], order: AssignedOrder) -> _Queries:
    found = select(Task.id).where(*_list_conditions(names, is_done=order is AssignedOrder.DONE))
    if order is AssignedOrder.BOARD:
        found = found.join(Board, Board.id == Task.board_id)

    def show(page: Any) -> AnySelect:
        shown = ALL_CARD_TASKS.add_columns(Board.name).join(Board, Board.id == Task.board_id)
        return shown.join(page, page.c.id == Task.id)

    return _Queries(
        KeysetQuery(
            found,
            ORDER_KEYS[order],
            show,
            lambda row: AssignedTask(build_card_task(row[:-1]), row[-1]),
        ),
        Query(select(_count_first(found)), itemgetter(0)),
    )


def _count_first(found: AnySelect) -> ColumnElement[int]:
    """Select the number of rows, up to one more than MAX_COUNTED."""
    first = found.limit(literal(MAX_COUNTED + 1, Integer)).subquery()
    return select(func.count()).select_from(first).scalar_subquery()


@lru_cache(8)
def _build_section_counts(names: frozenset[str]) -> Query[tuple[int, int]]:
    found = select(Task.id).where(*_list_conditions(names))
    moment, tomorrow, next_week = (_moment(name) for name in SectionStarts._fields)
    within = {
        DueSection.OVERDUE: Task.due_at < moment,
        DueSection.TODAY: (Task.due_at >= moment) & (Task.due_at < tomorrow),
        DueSection.THIS_WEEK: (Task.due_at >= tomorrow) & (Task.due_at < next_week),
        DueSection.LATER: Task.due_at >= next_week,
        DueSection.NO_DATE: Task.due_at.is_(None),
    }
    counts = [
        select(literal(section.value, Integer), _count_first(found.where(condition)))
        for section, condition in within.items()
    ]
    return Query(union_all(*counts).subquery().select())


@lru_cache(8)
def _build_board_counts(names: frozenset[str]) -> Query[tuple[UUID, int]]:
    own = Board.__table__.alias("own")
    found = select(Task.id).where(*_list_conditions(names), Task.board_id == own.c.id)
    first = found.limit(literal(MAX_COUNTED + 1, Integer)).correlate(own).subquery()
    count = select(func.count()).select_from(first).correlate(own).scalar_subquery()
    is_given = own.c.id == func.any(bindparam("board_ids", type_=ARRAY(Uuid())))
    return Query(select(own.c.id, count).where(is_given))
