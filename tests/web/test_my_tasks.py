"""The page "My tasks": what it shows, to whom, and in which groups."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete

from core.db.engine import TransactionFactory
from models import Status, Task, User
from tests.support.board_rows import make_task
from tests.support.world import World

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 25, 23, 30, tzinfo=BERLIN)  # a Wednesday
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
async def tasks(
    transaction: TransactionFactory, world: World, monkeypatch: pytest.MonkeyPatch
) -> list[Task]:
    for module in (
        "services.tasks.assigned_tasks",
        "web.tasks.my_task_views",
        "web.ui.time_format",
    ):
        monkeypatch.setattr(f"{module}.now", lambda: NOW)
    due = {
        "Late": NOW - timedelta(minutes=1),
        "Tonight": NOW + timedelta(minutes=20),
        "Tomorrow": NOW + timedelta(hours=1),
        "Sunday": NOW + timedelta(days=4),
        "Next week": NOW + timedelta(days=5),
        "Some day": None,
    }
    made = [
        world.make_task(title, due_at=at, assigned_user_id=world.bob.id)
        for title, at in due.items()
    ]
    done = {"status": Status.DONE, "assigned_user_id": world.bob.id}
    made += [
        world.make_task("Done lately", done_at=NOW - timedelta(days=6), **done),
        world.make_task("Done earlier", done_at=NOW - timedelta(days=8), **done),
        world.make_task("Of Alice", assigned_user_id=world.alice.id),
        make_task(world.garden, "Hidden", assigned_user_id=world.bob.id),
    ]
    async with transaction() as session:
        user = await session.get(User, world.bob.id)
        assert user is not None
        user.timezone = "Europe/Berlin"
        session.add_all(made)
    return made


def list_shown(page: str) -> list[str]:
    """Return the headings of groups and the titles of tasks, in order."""
    heading = r'<span dir="auto">([^<]+)</span> <span class="dim">'
    title = r'<a class="trunc" dir="auto"[^>]*>([^<]+)<'
    found = re.findall(f"{heading}|{title}", page)
    return [heading or title for heading, title in found]


async def test_tasks_are_grouped_by_when_they_are_due(bob, tasks) -> None:
    page = (await bob.get("/my-tasks")).text
    assert list_shown(page) == [
        *("Overdue", "Late", "Today", "Tonight"),
        *("This week", "Tomorrow", "Sunday", "Later", "Next week"),
        *("No date", "Some day"),
    ]
    assert 'by=done">Done 1' in page
    done = (await bob.get("/my-tasks?by=done")).text
    assert list_shown(done) == ["Done in the last 7 days", "Done lately"]


async def test_tasks_are_grouped_by_board(alice, world, tasks) -> None:
    page = (await alice.get("/my-tasks?by=board")).text
    assert list_shown(page) == [world.board.name, "Of Alice"]


async def test_a_person_without_tasks_is_told_what_appears(rita) -> None:
    page = (await rita.get("/my-tasks")).text
    assert "No open tasks." in page
    assert "from all boards that you can read" in page


async def test_tasks_of_unreadable_boards_and_of_others_are_not_shown(bob, charlie, tasks) -> None:
    page = (await bob.get("/my-tasks")).text
    assert "Hidden" not in page
    assert "Of Alice" not in page
    assert list_shown((await charlie.get("/my-tasks")).text) == []


async def test_tasks_are_filtered(bob, world, transaction, tasks) -> None:
    async with transaction() as session:
        urgent = await session.get(Task, tasks[5].id)
        assert urgent is not None
        urgent.priority = "high"
    page = (await bob.get(f"/my-tasks?priority=high&board={world.board.id}")).text
    assert list_shown(page) == ["No date", "Some day"]
    assert "name=board&amp;none=1&amp;return=%2Fmy-tasks%3Fpriority%3Dhigh" in page
    page = (await bob.get(f"/my-tasks?board={world.garden.id}")).text
    assert "No open task of yours matches the filters." in page
    assert world.garden.name not in page


@pytest.mark.parametrize("query", ["?by=x&board=y&priority=z", "?by=&board=&priority="])
async def test_invalid_filters_are_ignored(bob, tasks, query) -> None:
    assert len(list_shown((await bob.get(f"/my-tasks{query}")).text)) == 11


async def test_the_list_reloads_alone(bob, anonymous, tasks) -> None:
    part = await bob.get("/my-tasks?by=board", headers=HTMX)
    assert "<html" not in part.text
    assert 'hx-get="/my-tasks?by=board" hx-trigger="boards from:body' in part.text
    assert (await anonymous.get("/my-tasks", headers=HTMX)).status_code == 401


@pytest.fixture
async def many(transaction: TransactionFactory, world: World, tasks: list[Task]) -> None:
    """Give Bob three pages of tasks that are due later."""
    late = [
        world.make_task(
            f"Later {number}", due_at=NOW + timedelta(days=9), assigned_user_id=world.bob.id
        )
        for number in range(110)
    ]
    async with transaction() as session:
        session.add_all(late)


def find_more(html: str, attribute: str) -> str:
    found = re.findall(rf'id="more-tasks"[^>]* {attribute}="([^"]*)"', html)
    return found[0].replace("&amp;", "&") if found else ""


@pytest.mark.parametrize("by", ["due", "board"])
async def test_more_rows_follow_the_first_ones(bob, many, by) -> None:
    html = (await bob.get(f"/my-tasks?by={by}")).text
    shown = list_shown(html)
    while address := find_more(html, "hx-get"):
        html = (await bob.get(address)).text
        shown += list_shown(html)
    sections = 5 if by == "due" else 1  # a section that goes on has one heading
    assert (len(shown), len({*shown})) == (116 + sections, 116 + sections)


async def test_tasks_are_read_page_by_page_without_scripts(bob, anonymous, many) -> None:
    pages, address = [], "/my-tasks"
    while address:
        html = (await bob.get(address)).text
        pages.append([title for title in list_shown(html) if title != "Later"])
        address = find_more(html, "href")
    assert [len(page) for page in pages] == [53, 50, 17]  # with four headings
    [back] = re.findall(r'href="([^"]*)">Previous<', html)
    before = (await bob.get(back.replace("&amp;", "&"))).text
    assert [title for title in list_shown(before) if title != "Later"] == pages[1]
    rows = await anonymous.get("/my-tasks/rows", headers=HTMX)
    assert rows.status_code == 401


async def test_no_rows_follow_when_the_tasks_after_them_are_gone(bob, transaction, many) -> None:
    html = (await bob.get("/my-tasks")).text
    shown = re.findall(r'<tr id="task-([^"]*)"', html)
    async with transaction() as session:
        await session.execute(delete(Task).where(Task.id.not_in(shown)))
    rows = (await bob.get(find_more(html, "hx-get"))).text
    assert (list_shown(rows), find_more(rows, "hx-get")) == ([], "")


async def test_a_reload_has_as_many_tasks_as_the_page_shows(bob, many) -> None:
    for shown, number in [("all=100", 100), ("", 50), ("all=x", 50), ("all=99999", 116)]:
        part = await bob.get("/my-tasks", headers=HTMX | {"List-Rows": shown})
        assert part.text.count("<tr id=") == number
