"""The groups of the list of a board, with their names, and the addresses of their other tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl
from uuid import UUID

from core.clock import now
from core.db.reads import Source
from core.errors import NotFound
from core.paging import KeysetPage, PagePlace
from core.text import is_storable
from models import Board, Status
from services import tasks
from services.tasks import (
    CARDS_IN_COLUMN,
    MAX_COUNTED,
    CardTask,
    DayStarts,
    DueGroup,
    TaskGroup,
    TaskGrouping,
)
from web.boards.cards import STATUS_NAMES, name_priority
from web.boards.query_parameters import NO_VALUE, VALUE, BoardAddress, parse_group
from web.ui.time_format import reader_zone, start_of_day
from web.ui.translation import N_, _, translate

SHOWN_ROWS = "List-Rows"
"""Header with the numbers of rows of groups that show more than the first ones, as a form."""
MAX_HEADER_LENGTH = 10_000  # characters that are parsed; pages send less than half as many
MAX_ROWS = 1_000  # of a group on one page, which also the header can ask for
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
    """Tasks under a heading. `previous`, `next` and `more` are queries, or "".

    `next` is that of the page with the following tasks, `more` that of the part with their rows.
    """

    key: str  # as an address names it
    name: str
    tasks: Sequence[CardTask]
    total: int
    has_more: bool  # whether there are more than `total`
    next: str = ""
    more: str = ""
    previous: str = ""


@dataclass(frozen=True)
class TaskList:
    """The groups that a list shows. With `is_cut` there are more of them."""

    groups: Sequence[ListGroup]
    is_cut: bool = False


async def load_list(
    source: Source, board: Board, address: BoardAddress, shown_rows: str = ""
) -> TaskList:
    """Load the groups of a list, or a page of the only one that its address names.

    `shown_rows` says of which groups a page shows more than the first tasks: see SHOWN_ROWS.
    """
    if address.only:
        return TaskList([await load_page(source, board, address)])
    found = await tasks.list_task_groups(
        source,
        board,
        _find_grouping(address),
        address.filters,
        address.order,
        _find_days(),
        limits=_list_limits(address, shown_rows),
    )
    shown = found[: tasks.MAX_GROUPS]
    return TaskList([_build_group(address, one) for one in shown], len(found) > len(shown))


async def load_page(
    source: Source, board: Board, address: BoardAddress, shown: int = 0
) -> ListGroup:
    """Load the page of a group that an address names. Raises NotFound if it names none.

    `shown` is the number of rows before it on the same page. If they are not followed by others
    any more, it has none.
    """
    grouping, days = _find_grouping(address), _find_days()
    if not address.only:
        raise NotFound("group_not_found", N_("There is no such group of tasks."))
    key, place = parse_group(address.group, address.only), PagePlace(address.after, address.before)
    page = await tasks.list_group_page(
        source, board, grouping, key, address.filters, address.order, days, place
    )
    if shown and not page.before:  # the first page again
        page = KeysetPage([])
    counted = await tasks.count_group(source, board, grouping, key, address.filters, days)
    group = TaskGroup(key, page.items, min(counted, MAX_COUNTED), counted > MAX_COUNTED)
    return _build_group(address, group, page, shown)


async def list_matching_ids(
    source: Source, board: Board, address: BoardAddress, *, limit: int
) -> list[UUID]:
    """Return the first tasks that an address matches, in the order in which it shows them."""
    return await tasks.list_matching_ids(
        source,
        board,
        _find_grouping(address),
        address.filters,
        address.order,
        _find_days(),
        limit=limit,
    )


def _find_grouping(address: BoardAddress) -> TaskGrouping | None:
    return TaskGrouping(address.group) if address.group else None


def _find_days() -> DayStarts:
    zone = reader_zone.get()
    today = now().astimezone(zone).date()
    starts = [start_of_day(today, zone, days_later=later) for later in (0, 1, 7)]
    return DayStarts(*(start for start in starts if start))  # all of them, except in the last year


def _list_limits(address: BoardAddress, shown_rows: str) -> dict[str, int]:
    """Return the numbers of tasks of groups that show more than the first ones.

    They are those of the header SHOWN_ROWS, and without a grouping at least those of the address,
    which shows a certain card. The key of tasks without a value is "".
    """
    limits = {
        "" if key == NO_VALUE else key.removeprefix(VALUE): count
        for key, count in parse_shown_rows(shown_rows).items()
    }
    named = {} if address.group else address.column_limits
    larger = {status: max(limit, limits.get(status, 0)) for status, limit in named.items()}
    return limits | {status: limit for status, limit in larger.items() if limit > CARDS_IN_COLUMN}


def parse_shown_rows(text: str) -> dict[str, int]:
    """Parse the header SHOWN_ROWS."""
    pairs = parse_qsl(text[:MAX_HEADER_LENGTH], errors="replace")
    return {
        key: min(int(count), MAX_ROWS)
        for key, count in pairs[: tasks.MAX_GROUPS]
        if is_storable(key) and count.isascii() and count.isdecimal() and len(count) < 6
    }


def _build_group(
    address: BoardAddress,
    group: TaskGroup,
    page: KeysetPage[CardTask] | None = None,
    shown: int = 0,
) -> ListGroup:
    """Build a group; its tasks are the first ones, or those of a page after `shown` others."""
    key = NO_VALUE if group.key is None else f"{VALUE}{group.key}"
    after, before = (page.after, page.before) if page else (group.cursor, "")
    following = address.query_with(only=key, after=after) if after else ""
    count, can_grow = shown + len(group.tasks), page is None or shown > 0
    return ListGroup(
        key,
        _name_group(address, group),
        group.tasks,
        group.total,
        group.has_more,
        next=following,
        more=f"{following}&shown={count}" if can_grow and following and count < MAX_ROWS else "",
        previous=address.query_with(only=key, before=before) if before else "",
    )


def _name_group(address: BoardAddress, group: TaskGroup) -> str:
    grouping = _find_grouping(address)
    if grouping is None:
        return translate(STATUS_NAMES[Status(group.key)])
    if grouping is TaskGrouping.PRIORITY:
        return name_priority(group.key)
    if grouping is TaskGrouping.DUE:
        return translate(DUE_NAMES[DueGroup(group.key)])
    if group.key is None:
        return _("Unassigned") if grouping is TaskGrouping.ASSIGNEE else _("No tag")
    first = group.tasks[0] if group.tasks else None
    if grouping is TaskGrouping.ASSIGNEE:
        return first.assignee.name if first and first.assignee else ""
    names = [one.name for one in (first.tags if first else ()) if one.name.lower() == group.key]
    return names[0] if names else group.key
