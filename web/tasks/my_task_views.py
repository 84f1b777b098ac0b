"""The page "My tasks": the tasks of the reader in sections, by when they are due or by board."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.clock import now
from core.db.reads import Source
from core.http.request import open_reader
from core.paging import KeysetPage, PagePlace
from models import Member, Priority
from services import tasks
from services.pickers import PickerKind
from services.tasks import (
    CARDS_IN_COLUMN,
    MAX_COUNTED,
    AssignedFilters,
    AssignedOrder,
    AssignedTask,
    DueSection,
    SectionStarts,
)
from web.auth.viewer import current_member
from web.boards.list_groups import MAX_ROWS, SHOWN_ROWS, parse_shown_rows
from web.pickers import load_chosen
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.list_addresses import build_query, parse_place
from web.ui.locale_format import find_first_weekday
from web.ui.render import is_part_request, render_page, render_part
from web.ui.time_format import reader_zone, start_of_day
from web.ui.translation import N_, translate

DAYS_OF_WEEK = 7
DUE_HEADINGS = {
    DueSection.OVERDUE: N_("Overdue"),
    DueSection.TODAY: N_("Today"),
    DueSection.THIS_WEEK: N_("This week"),
    DueSection.LATER: N_("Later"),
    DueSection.NO_DATE: N_("No date"),
}
ALL = "all"  # the rows of the page, in SHOWN_ROWS


@dataclass(frozen=True)
class MyTasksAddress:
    """Query parameters of the page. Invalid parameters are ignored."""

    by: str = "due"  # an AssignedOrder
    board: str = ""
    priority: str = ""

    @classmethod
    def from_query(cls, query: QueryParams) -> "MyTasksAddress":
        """Parse the query of a request."""
        by, priority = query.get("by", ""), query.get("priority", "")
        return cls(
            by=by if by in tuple(AssignedOrder) else "due",
            board=str(forms.parse_id(query.get("board")) or ""),
            priority=priority if priority in set(Priority) else "",
        )

    @property
    def filters(self) -> AssignedFilters:
        """Return the filters of the tasks."""
        return AssignedFilters(UUID(self.board) if self.board else None, self.priority)

    @property
    def order(self) -> AssignedOrder:
        """Return the order of the tasks."""
        return AssignedOrder(self.by)

    @property
    def is_filtered(self) -> bool:
        """Return whether a filter is set."""
        return bool(self.board or self.priority)

    def url_with(
        self, *, part: str = "", place: Mapping[str, str] | None = None, **changes: Any
    ) -> str:
        """Return the address of the page or a part of it, with some parameters changed."""
        changed = vars(replace(self, **changes)) | dict(place or {})
        given = {name: value for name, value in changed.items() if value != "due"}
        return f"/my-tasks{part}{build_query(given)}"


@dataclass(frozen=True)
class MyTaskSection:
    """Tasks under a heading, and the number of all of them; that of a board is a user's name.

    Without a heading the tasks follow others of the section.
    """

    key: str
    heading: str
    tasks: Sequence[AssignedTask]
    total: int


@dataclass(frozen=True)
class MyTasks:
    """A page of tasks. `next`, `previous` and `more` are addresses, or ""."""

    sections: Sequence[MyTaskSection]
    next: str = ""
    previous: str = ""
    more: str = ""  # of the rows that follow on the same page


async def load_my_tasks(
    source: Source,
    member: Member,
    address: MyTasksAddress,
    place: PagePlace,
    *,
    size: int = CARDS_IN_COLUMN,
    shown: int = 0,
    last_section: str = "",
) -> MyTasks:
    """Load a page of tasks in sections; `shown` tasks are before them, the last in a section.

    If these are not followed by others any more, the page has none.
    """
    page = await tasks.list_assigned_tasks(
        source, member, address.filters, address.order, place, size=size
    )
    if shown and not page.before:  # the first page again
        page = KeysetPage([])
    sections = await _load_sections(source, member, address, page.items)
    if sections and sections[0].key == last_section:
        sections[0] = replace(sections[0], heading="")
    count, after = shown + len(page.items), {"after": page.after}
    can_grow = page.after and count < MAX_ROWS and (shown or not (place.after or place.before))
    following = {**after, "shown": str(count), "section": sections[-1].key if sections else ""}
    return MyTasks(
        sections,
        next=address.url_with(place=after) if page.after else "",
        previous=address.url_with(place={"before": page.before}) if page.before else "",
        more=address.url_with(part="/rows", place=following) if can_grow else "",
    )


async def _load_sections(
    source: Source, member: Member, address: MyTasksAddress, found: Sequence[AssignedTask]
) -> list[MyTaskSection]:
    filters = address.filters
    if address.order is AssignedOrder.DONE:
        total = await tasks.count_assigned_tasks(source, member, filters, address.order)
        heading = translate(N_("Done in the last 7 days"))
        return [MyTaskSection("done", heading, found, total)] if found else []
    if address.order is AssignedOrder.BOARD:
        by_board = [
            (id, list(group)) for id, group in groupby(found, lambda one: one.task.board_id)
        ]
        totals = await tasks.count_by_board(source, member, filters, [id for id, _ in by_board])
        return [
            MyTaskSection(str(id), group[0].board_name, group, totals.get(id, len(group)))
            for id, group in by_board
        ]
    starts = _find_starts()
    counts = await tasks.count_sections(source, member, filters, starts)
    return [
        MyTaskSection(str(key.value), translate(DUE_HEADINGS[key]), list(group), counts[key])
        for key, group in groupby(found, lambda one: starts.find_section(one.task.due_at))
    ]


def _find_starts() -> SectionStarts:
    """Return when sections begin in the time zone of the reader."""
    moment, zone = now(), reader_zone.get()
    today = moment.astimezone(zone).date()
    days_since_start = (today.weekday() - find_first_weekday()) % DAYS_OF_WEEK
    days = (1, DAYS_OF_WEEK - days_since_start)
    latest = moment + timedelta(days=DAYS_OF_WEEK)  # in the last year
    starts = [start_of_day(today, zone, days_later=later) or latest for later in days]
    return SectionStarts(moment, *starts)


async def show_my_tasks(request: Request) -> Response:
    """Show the tasks that are assigned to the reader; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    address, place = (
        MyTasksAddress.from_query(request.query_params),
        parse_place(request.query_params),
    )
    shown = parse_shown_rows(request.headers.get(SHOWN_ROWS, "")).get(ALL, 0)
    size = CARDS_IN_COLUMN if place.after or place.before else max(shown, CARDS_IN_COLUMN)
    async with open_reader(request) as source:
        member = current_member(request)
        found = await load_my_tasks(source, member, address, place, size=size)
        done_count = await tasks.count_assigned_tasks(
            source, member, address.filters, AssignedOrder.DONE
        )
        chosen_board = await load_chosen(
            source, member, PickerKind.BOARDS, "board", forms.Form(), [address.board]
        )
    context: dict[str, Any] = {
        "address": address,
        "here": address.url_with(place={"after": place.after, "before": place.before}),
        "my_tasks": found,
        "done_count": done_count,
        "max_counted": MAX_COUNTED,
        "chosen_board": chosen_board,
    }
    if layout is None:
        return render_part(request, "my_tasks/_list.html", **context)
    return render_page(request, "my_tasks/index.html", layout=layout, **context)


async def show_rows(request: Request) -> Response:
    """Show the rows after those that a page shows already."""
    query = request.query_params
    address, shown = MyTasksAddress.from_query(query), forms.parse_offset(query, "shown")
    async with open_reader(request) as source:
        found = await load_my_tasks(
            source,
            current_member(request),
            address,
            parse_place(query),
            shown=shown,
            last_section=query.get("section", ""),
        )
    return render_part(
        request, "my_tasks/_rows.html", address=address, my_tasks=found, max_counted=MAX_COUNTED
    )


MY_TASK_ROUTES: list[Route] = [
    Route("/my-tasks", show_my_tasks),
    Route("/my-tasks/rows", show_rows),
]
