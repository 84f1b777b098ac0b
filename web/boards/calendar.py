"""A month of a board: weeks with the tasks that are due, and tasks that are overdue or undated."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from core.clock import now
from core.db.reads import Source
from models import Board
from services import tasks
from services.tasks import DueTasks
from web.boards.query_parameters import BoardAddress
from web.ui.locale_format import find_first_weekday, format_date
from web.ui.time_format import parse_day, parse_month, reader_zone, start_of_day

DAYS_OF_WEEK = 7
ONE_DAY = timedelta(days=1)
LONGEST_MONTH = timedelta(days=31)


@dataclass(frozen=True)
class CalendarDay:
    """A day of the calendar; it may belong to the month before or after."""

    day: date
    name: str  # with the weekday
    is_today: bool
    is_in_month: bool
    tasks: DueTasks


@dataclass(frozen=True)
class CalendarMonth:
    """A month of a board."""

    name: str
    previous: str  # months in addresses, like "2026-11"
    following: str
    current: str
    is_current: bool
    weekdays: Sequence[str]
    weeks: Sequence[Sequence[CalendarDay]]
    overdue: DueTasks
    undated: DueTasks

    @property
    def total(self) -> int:
        """Return the number of tasks that are due in the month."""
        days = (day for week in self.weeks for day in week if day.is_in_month)
        return sum(day.tasks.total for day in days)


async def load_calendar(source: Source, board: Board, address: BoardAddress) -> CalendarMonth:
    """Load the month of an address, by default the current one, in the reader's time zone."""
    today = now().astimezone(reader_zone.get()).date()
    first = parse_month(address.month) or today.replace(day=1)
    days = list_days(first, find_first_weekday())
    numbers = {day: number for number, day in enumerate(days, 1)}
    opened = parse_day(address.day) or date.min
    found = await tasks.list_due_tasks(
        source,
        board,
        address.filters,
        [_start_of(day) for day in [*days, days[-1] + ONE_DAY]],
        _start_of(today),
        open_day=numbers.get(opened, 0),
    )
    shown = [
        CalendarDay(
            day,
            format_date(day, "MMMMEEEEd"),
            day == today,
            (day.year, day.month) == (first.year, first.month),
            found.get(number, DueTasks()),
        )
        for day, number in numbers.items()
    ]
    weeks = [shown[at : at + DAYS_OF_WEEK] for at in range(0, len(shown), DAYS_OF_WEEK)]
    return CalendarMonth(
        name=format_date(first, "yMMMM"),
        previous=f"{first - ONE_DAY:%Y-%m}",
        following=f"{first + LONGEST_MONTH:%Y-%m}",
        current=f"{today:%Y-%m}",
        is_current=(first.year, first.month) == (today.year, today.month),
        weekdays=[format_date(one.day, "E") for one in weeks[0]],
        weeks=weeks,
        overdue=found.get(tasks.OVERDUE, DueTasks()),
        undated=found.get(tasks.UNDATED, DueTasks()),
    )


def list_days(first: date, first_weekday: int) -> list[date]:
    """Return the days of the weeks of a month; weeks begin on a weekday, 0 for Monday."""
    start = first - timedelta((first.weekday() - first_weekday) % DAYS_OF_WEEK)
    following = (first + LONGEST_MONTH).replace(day=1)
    week_count = -(-(following - start).days // DAYS_OF_WEEK)
    return [start + timedelta(number) for number in range(week_count * DAYS_OF_WEEK)]


def _start_of(day: date) -> datetime:
    start = start_of_day(day, reader_zone.get())
    assert start is not None  # only the first and the last year have days without a start
    return start
