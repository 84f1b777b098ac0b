"""The groups of the list of a board, with their names and the addresses of all their tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.clock import now
from core.db.reads import Source
from models import Board, Status
from services import tasks
from services.tasks import BoardColumn, CardTask, DayStarts, DueGroup, TaskGroup, TaskGrouping
from web.boards.cards import STATUS_NAMES, name_priority
from web.boards.query_parameters import LIST_ORDER, BoardAddress, round_limit
from web.ui.time_format import reader_zone, start_of_day
from web.ui.translation import N_, _, translate

GROUPING_NAMES: Mapping[str, str] = {
    "": N_("Status"),
    TaskGrouping.ASSIGNEE: N_("Assignee"),
    TaskGrouping.TAG: N_("Tag"),
    TaskGrouping.PRIORITY: N_("Priority"),
    TaskGrouping.DUE: N_("Due date"),
}
DUE_NAMES = {
    DueGroup.OVERDUE: N_("Overdue"),
    DueGroup.TODAY: N_("Today"),
    DueGroup.WEEK: N_("Next 7 days"),
    DueGroup.LATER: N_("Later"),
    DueGroup.PAST: N_("Past, done"),
    DueGroup.UNDATED: N_("No due date"),
}


@dataclass(frozen=True)
class ListGroup:
    """Tasks under a heading; `more` is the query of the part with more tasks, or ""."""

    key: str  # of its element
    name: str
    tasks: Sequence[CardTask]
    total: int
    all: str = ""
    more: str = ""


def build_status_groups(columns: Sequence[BoardColumn], address: BoardAddress) -> list[ListGroup]:
    """Return the statuses that have tasks, in the order of the list."""
    by_status: Mapping[Status, BoardColumn] = {column.status: column for column in columns}
    return [
        ListGroup(
            status,
            translate(STATUS_NAMES[status]),
            column.cards,
            column.total,
            address.query_for_all(status, column.total),
            address.next_query(status) if column.hidden_count else "",
        )
        for status in LIST_ORDER
        if (column := by_status[status]).cards
    ]


async def load_groups(source: Source, board: Board, address: BoardAddress) -> list[ListGroup]:
    """Load the groups of a list that is not grouped by status."""
    grouping = TaskGrouping(address.group)
    zone = reader_zone.get()
    today = now().astimezone(zone).date()
    starts = [start_of_day(today, zone, days_later=later) for later in (0, 1, 7)]
    days = DayStarts(*(start for start in starts if start))  # all of them, except in the last year
    found = await tasks.list_task_groups(
        source, board, grouping, address.filters, address.order, days, limit=address.limit
    )
    return [
        ListGroup(
            str(number),
            _name_group(grouping, group),
            group.tasks,
            group.total,
            address.query_with(limit=round_limit(group.total)),
            address.query_with(limit=round_limit(address.limit + 1)) if group.hidden_count else "",
        )
        for number, group in enumerate(found)
    ]


def _name_group(grouping: TaskGrouping, group: TaskGroup) -> str:
    first = group.tasks[0]
    if grouping is TaskGrouping.ASSIGNEE:
        return first.assignee.name if first.assignee else _("Unassigned")
    if grouping is TaskGrouping.TAG:
        names = [tag.name for tag in first.tags if tag.name.lower() == group.key]
        return names[0] if names else group.key or _("No tag")
    if grouping is TaskGrouping.PRIORITY:
        return name_priority(group.key)
    return translate(DUE_NAMES[DueGroup(group.key)])
