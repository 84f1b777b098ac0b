"""The page "My tasks": the tasks of the reader in groups, by when they are due or by board."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.clock import now
from core.http.request import open_reader
from models import Priority, Status
from services import tasks
from services.pickers import PickerKind
from services.tasks import AssignedTask, CardTask
from web.auth.viewer import current_member
from web.pickers import load_chosen
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.locale_format import find_first_weekday
from web.ui.render import is_part_request, render_page, render_part
from web.ui.time_format import reader_zone
from web.ui.translation import N_, translate

DAYS_OF_WEEK = 7
DUE_HEADINGS = (N_("Overdue"), N_("Today"), N_("This week"), N_("Later"), N_("No date"))
OVERDUE, TODAY, THIS_WEEK, LATER, NO_DATE = range(len(DUE_HEADINGS))


@dataclass(frozen=True)
class MyTasksAddress:
    """Query parameters of the page. Invalid parameters are ignored."""

    by: str = "due"
    board: str = ""
    priority: str = ""

    @classmethod
    def from_query(cls, query: QueryParams) -> "MyTasksAddress":
        """Parse the query of a request."""
        by, priority = query.get("by", ""), query.get("priority", "")
        return cls(
            by=by if by in ("due", "board") else "due",
            board=str(forms.parse_id(query.get("board")) or ""),
            priority=priority if priority in set(Priority) else "",
        )

    def matches(self, task: CardTask) -> bool:
        """Say whether a task matches the filters."""
        is_on_board = not self.board or task.board_id == UUID(self.board)
        return is_on_board and self.priority in ("", task.priority)

    @property
    def is_filtered(self) -> bool:
        """Return whether a filter is set."""
        return bool(self.board or self.priority)

    def url_with(self, **changes: Any) -> str:
        """Return the address with some parameters changed."""
        changed = vars(replace(self, **changes)).items()
        given = {name: value for name, value in changed if value and value != "due"}
        return f"/my-tasks?{urlencode(given)}" if given else "/my-tasks"


@dataclass(frozen=True)
class MyTaskSection:
    """Open tasks under a heading; that of a board is a name that users gave."""

    heading: str
    tasks: Sequence[AssignedTask]


def build_sections(found: Iterable[AssignedTask], *, by_board: bool) -> list[MyTaskSection]:
    """Return the open tasks in groups, in the order in which they are due."""
    is_open = [one for one in found if one.task.status is not Status.DONE]
    if by_board:
        in_order = sorted(is_open, key=_board_key)
        return [MyTaskSection(key[0], list(group)) for key, group in groupby(in_order, _board_key)]
    find_section = _build_due_key()
    return [
        MyTaskSection(translate(DUE_HEADINGS[number]), list(group))
        for number, group in groupby(sorted(is_open, key=find_section), find_section)
    ]


def _board_key(one: AssignedTask) -> tuple[str, UUID]:
    return one.board_name, one.task.board_id


def _build_due_key() -> Callable[[AssignedTask], int]:
    """Build the function that returns the section of a task, in the time zone of the reader."""
    moment, zone = now(), reader_zone.get()
    today = moment.astimezone(zone).date()
    days_since_start = (today.weekday() - find_first_weekday()) % DAYS_OF_WEEK
    next_week = today + timedelta(DAYS_OF_WEEK - days_since_start)

    def find_section(one: AssignedTask) -> int:
        due_at = one.task.due_at
        if due_at is None:
            return NO_DATE
        if due_at < moment:
            return OVERDUE
        day = due_at.astimezone(zone).date()
        return TODAY if day == today else THIS_WEEK if day < next_week else LATER

    return find_section


async def show_my_tasks(request: Request) -> Response:
    """Show the tasks that are assigned to the reader; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    address = MyTasksAddress.from_query(request.query_params)
    async with open_reader(request) as source:
        member = current_member(request)
        found = await tasks.list_assigned_tasks(source, member)
        chosen_board = await load_chosen(
            source, member, PickerKind.BOARDS, "board", forms.Form(), [address.board]
        )
    matching = [one for one in found if address.matches(one.task)]
    context: dict[str, Any] = {
        "address": address,
        "sections": build_sections(matching, by_board=address.by == "board"),
        "done_tasks": [one for one in matching if one.task.status == "done"],
        "chosen_board": chosen_board,
        "is_cut": len(found) == tasks.MAX_ASSIGNED_TASKS,
        "has_tasks": bool(found),
    }
    if layout is None:
        return render_part(request, "my_tasks/_list.html", **context)
    return render_page(request, "my_tasks/index.html", layout=layout, **context)


MY_TASK_ROUTES: list[Route] = [Route("/my-tasks", show_my_tasks)]
