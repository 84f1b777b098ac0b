"""The calendar of a board."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Status, Task, User, new_id
from services.tasks.board_queries import TASKS_OF_DAY
from tests.support.world import World
from web.boards.calendar import list_days

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
DAYS = {
    "Past": datetime(2021, 10, 20, 12, tzinfo=UTC),
    "Late <b>evening</b>": datetime(2091, 11, 12, 23, 30, tzinfo=UTC),
    "December": datetime(2091, 12, 1, 12, tzinfo=UTC),
    "Undated": None,
}


@pytest.fixture
async def rows(transaction: TransactionFactory, world: World) -> dict[str, Task]:
    """Return tasks by title, with the due dates of DAYS."""
    made = {title: world.make_task(title, due_at=due_at) for title, due_at in DAYS.items()}
    async with transaction() as session:
        session.add_all(made.values())
    return made


@pytest.fixture
def path(world: World) -> str:
    return f"/boards/{world.board.id}?view=calendar"


async def read(client, address: str, **headers: str) -> str:
    page = await client.get(address, headers=headers)
    assert page.status_code == 200
    return re.sub(r"\s+", " ", page.text)


def find_day(page: str, name: str) -> str:
    """Return the cell of a day."""
    return page.partition(f'<td id="day-{name}"')[2].partition("</td>")[0]


async def test_tasks_are_shown_on_their_days(alice, path, rows) -> None:
    page = await read(alice, f"{path}&month=2091-11")

    assert "November 2091 <" in page
    assert '<caption class="vh">Tasks by due date, November 2091</caption>' in page
    evening = find_day(page, "2091-11-12")
    assert "Late &lt;b&gt;evening&lt;/b&gt;" in evening
    assert "view=calendar&amp;month=2091-11" in evening
    assert "data-outside" in find_day(page, "2091-12-01")
    assert f'id="task-{rows["December"].id}"' in find_day(page, "2091-12-01")
    assert ">1 task</span>" in page  # of the month
    assert f'id="undated-{rows["Undated"].id}"' in page
    assert f'id="overdue-{rows["Past"].id}"' in page
    assert f'id="task-{rows["Past"].id}"' not in page


async def test_days_are_those_of_the_time_zone_of_the_user(
    alice, path, rows, transaction, world
) -> None:
    async with transaction() as session:
        (await session.get_one(User, world.alice.id)).timezone = "Asia/Tokyo"

    page = await read(alice, f"{path}&month=2091-11")

    assert "evening" in find_day(page, "2091-11-13")
    assert "evening" not in find_day(page, "2091-11-12")


async def test_months_are_in_the_address(alice, path, rows) -> None:
    page = await read(alice, f"{path}&month=2091-12&q=december")

    assert find_day(page, "2091-12-24")
    assert re.search(r'href="[^"]*month=2091-11" [^>]*data-key="h"', page)
    assert re.search(r'href="[^"]*month=2092-01" [^>]*data-key="l"', page)
    assert re.search(r'href="[^"]*view=calendar&amp;q=december" [^>]*data-key="t"', page)
    board_link = page.partition('aria-label="View"')[2].partition("</div>")[0]
    assert "month=" not in board_link


async def test_the_current_month_marks_today(alice, path, world) -> None:
    page = await read(alice, path)

    assert page.count("data-today") == 1
    assert "(today)" in find_day(page, now().date().isoformat())
    assert "No overdue tasks." in page
    assert "All open tasks have a due date." in page


@pytest.mark.parametrize(
    "query", ["month=x", "month=2091-13", "month=0001-01", "month=9999-12", "month=2091-1", "day=x"]
)
async def test_invalid_months_show_the_current_one(alice, path, query) -> None:
    assert "data-today" in await read(alice, f"{path}&{query}")


async def test_a_day_with_many_tasks_can_be_opened(alice, path, world, transaction) -> None:
    due_at = datetime(2091, 11, 12, 12, tzinfo=UTC)
    made = [world.make_task(f"Task {number}", due_at=due_at) for number in range(7)]
    async with transaction() as session:
        session.add_all(made)

    page = await read(alice, f"{path}&month=2091-11")
    closed = find_day(page, "2091-11-12")
    assert closed.count("<li") == TASKS_OF_DAY
    assert "3 more" in closed
    [address] = re.findall(r'hx-get="([^"]*day=2091-11-12)"', closed)
    opened = find_day(await read(alice, address.replace("&amp;", "&"), **HTMX), "2091-11-12")
    assert opened.count("<li") == len(made)
    assert "more" not in opened


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("q=december", {"December"}),
        ("priority=high", {"December"}),
        ("agent=nobody", {"Late", "December"}),
        ("tag=x", set()),
        ("needs=1", set()),
        ("blocked=1", set()),
    ],
)
async def test_the_filters_of_the_board_apply(alice, path, rows, transaction, query, shown) -> None:
    async with transaction() as session:
        (await session.get_one(Task, rows["December"].id)).priority = "high"
    page = await read(alice, f"{path}&month=2091-11&{query}")
    grid = page.partition("<tbody>")[2].partition("</tbody>")[0]
    assert {title for title in ("Late", "December") if f">{title}" in grid} == shown


async def test_htmx_gets_only_the_tasks(alice, path, rows) -> None:
    part = await read(alice, f"{path}&month=2091-11", **HTMX)
    assert part.lstrip().startswith('<div class="work__body grow" id="board-view"')
    assert "evening" in part


async def test_a_move_in_the_calendar_shows_the_calendar(alice, path, world, rows) -> None:
    task_path = f"/boards/{world.board.id}/tasks/{rows['December'].id}"
    moved = await alice.post(
        f"{task_path}/moves?view=calendar&month=2091-11", data={"to": "done"}, headers=HTMX
    )
    assert moved.status_code == 200
    assert "cal__t--done" in moved.text
    assert "limit=" not in moved.text


async def test_a_due_date_is_changed_in_the_calendar(alice, path, world, rows) -> None:
    changes = f"/boards/{world.board.id}/changes?view=calendar&month=2091-11"
    data = {"ids": str(rows["Undated"].id), "due_at": "2091-11-05"}
    changed = await alice.post(changes, data=data, headers=HTMX)
    assert "Undated" in find_day(re.sub(r"\s+", " ", changed.text), "2091-11-05")


async def test_readers_see_the_calendar_without_menus(rita, dana, charlie, path, rows) -> None:
    page = await read(rita, f"{path}&month=2091-11")
    assert "evening" in page
    assert "data-card-menu" not in page
    assert (await charlie.get(path)).status_code == 404
    assert (await dana.get(path)).status_code == 403
    assert (await rita.get(f"/boards/{new_id()}?view=calendar")).status_code == 404


@pytest.mark.parametrize(
    ("language", "first"),
    [("en-US,en;q=0.9", "Sun"), ("en-GB", "Mon"), ("", "Mon"), ("de-AT", "Mo"), ("xx-!!", "Mon")],
)
async def test_weeks_begin_as_in_the_region_of_the_browser(alice, path, language, first) -> None:
    page = await read(alice, path, **{"Accept-Language": language})
    [name] = re.findall(r'<thead><tr><th scope="col">([^<]*)</th>', page)
    assert name.startswith(first)


@pytest.mark.parametrize(("first_weekday", "count"), [(0, 42), (6, 42), (5, 35)])
def test_a_month_has_whole_weeks(first_weekday, count) -> None:
    days = list_days(date(2026, 8, 1), first_weekday)  # a Saturday
    assert len(days) == count
    assert days[0].weekday() == first_weekday
    assert date(2026, 8, 1) in days[:7]
    assert days[-1] >= date(2026, 8, 31)


async def test_overdue_tasks_lead_to_the_list(alice, path, world, transaction) -> None:
    yesterday = now() - timedelta(days=1)
    made = [world.make_task(f"Task {number}", due_at=yesterday) for number in range(21)]
    done = world.make_task("Done", due_at=yesterday, status=Status.DONE)
    async with transaction() as session:
        session.add_all([*made, done])
    page = await read(alice, path)
    overdue = page.partition('<h2 id="overdue-title">')[2].partition("</section>")[0]
    assert "1 more in the list" in overdue
    assert f'href="/boards/{world.board.id}?view=list"' in overdue
    assert f'id="overdue-{done.id}"' not in page
