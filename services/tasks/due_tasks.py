"""Tasks by the day on which they are due, with those that are overdue or have no due date."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    bindparam,
    case,
    func,
    literal,
    select,
    union_all,
)

from core.db.reads import Query, Source
from models import Board, Status, Task
from services.tasks.board_columns import (
    BoardFilters,
    build_filter_conditions,
    build_filter_parameters,
    split_words,
)
from services.tasks.queries import CARD_TASKS, PRIORITY_RANK, CardTask, build_card_task

OVERDUE, UNDATED = 0, -1  # the other numbers are days, from 1
TASKS_OF_DAY = 4  # that are shown of a day
TASKS_OF_OPEN_DAY = 200
TASKS_OF_LIST = 20  # overdue, or without a date
MAX_QUERIES = 64  # built queries, by the filters and the number of words


@dataclass(frozen=True)
class DueTasks:
    """The first tasks of a day or a list, and the number of all."""

    tasks: Sequence[CardTask] = ()
    total: int = 0


async def list_due_tasks(
    source: Source,
    board: Board,
    filters: BoardFilters,
    day_starts: Sequence[datetime],
    today: datetime,
    *,
    open_day: int = 0,
) -> Mapping[int, DueTasks]:
    """Return the tasks of a board that match the filters, by day.

    `day_starts` are the moments at which the days start, and at which the last one ends. Tasks that
    are not done and were due before `today` are OVERDUE too; those without a due date are UNDATED.
    Of each day only the first tasks are returned, except of the open one.
    """
    query = _build_query(filters.active_names - {"q"}, len(split_words(filters)))
    parameters = build_filter_parameters(board, filters)
    period = {"day_starts": list(day_starts), "first": day_starts[0], "end": day_starts[-1]}
    rows = await query.fetch(source, today=today, open_day=open_day, **period, **parameters)
    found: dict[int, DueTasks] = {}
    for task, section, total in rows:
        shown = found.get(section, DueTasks()).tasks
        found[section] = DueTasks([*shown, task], total)
    return found


@lru_cache(MAX_QUERIES)
def _build_query(
    active_filters: frozenset[str], word_count: int
) -> Query[tuple[CardTask, int, int]]:
    conditions = build_filter_conditions(active_filters, word_count)
    moment = DateTime(timezone=True)
    day = func.width_bucket(Task.due_at, bindparam("day_starts", type_=ARRAY(moment)))
    is_open = Task.status != Status.DONE
    in_period = (Task.due_at >= bindparam("first", type_=moment)) & (
        Task.due_at < bindparam("end", type_=moment)
    )
    is_overdue = is_open & (Task.due_at < bindparam("today", type_=moment))
    sections = [
        _select_section(day, conditions, in_period),
        _select_section(literal(OVERDUE), conditions, is_overdue),
        _select_section(literal(UNDATED), conditions, is_open & Task.due_at.is_(None)),
    ]
    found = union_all(*sections).subquery("found")
    limit = case(
        (found.c.section <= OVERDUE, TASKS_OF_LIST),
        (found.c.section == bindparam("open_day", type_=Integer), TASKS_OF_OPEN_DAY),
        else_=TASKS_OF_DAY,
    )
    statement = CARD_TASKS.join(found, found.c.id == Task.id).where(found.c.place <= limit)
    return Query(
        statement.add_columns(found.c.section, found.c.total).order_by(
            found.c.section, found.c.place
        ),
        lambda row: (build_card_task(row[:-2]), row[-2], row[-1]),
    )


def _select_section(
    section: ColumnElement[Any], conditions: Sequence[ColumnElement[bool]], condition: Any
) -> Any:
    """Select the ids of the tasks of a section, their places, and their number.

    Tasks that are done come last, and those of the highest priority first.
    """
    keys = [
        Task.status == Status.DONE,
        PRIORITY_RANK.desc(),
        Task.due_at,
        Task.created_at.desc(),
        Task.id,
    ]
    columns = (
        func.row_number().over(partition_by=section, order_by=keys).label("place"),
        func.count().over(partition_by=section).label("total"),
    )
    return select(Task.id, section.label("section"), *columns).where(*conditions, condition)
