"""The dashboard: its panels, filters, failures, and who sees what."""

import re
from datetime import timedelta

import pytest

from core.clock import now
from core.db.engine import PoolBusy, TransactionFactory
from models import Agent, Board, BoardGroup, EventType, Status, Task, new_id
from services import activity, agents, events, metrics
from tests.support.board_pages import keep
from tests.support.board_rows import make_task
from tests.support.gateway_rows import make_gateway, make_gateway_request
from tests.support.people_rows import make_member
from tests.support.world import World
from web.dashboard import views

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
PARTS = ["summary", "figures", "approvals", "gateways", "activity", "activity/news"]


async def add_group(transaction: TransactionFactory, world: World) -> BoardGroup:
    """Create a group with Garden in it."""
    times = {"created_at": now(), "updated_at": now()}
    group = BoardGroup(id=new_id(), organization_id=world.tern.id, name="Plants", slug="p", **times)
    async with transaction() as session:
        session.add(group)
        await session.flush()
        (await session.get_one(Board, world.garden.id)).board_group_id = group.id
    return group


def done_task(board: Board, title: str, *, hours: float = 2, ago: float = 1):
    """Make a task that was done some hours ago, and took some hours."""
    done_at = now() - timedelta(hours=ago)
    times = {"done_at": done_at, "started_at": done_at - timedelta(hours=hours)}
    return make_task(board, title, status=Status.DONE, **times)


def read_tiles(page: str) -> list[str]:
    """Return the texts of the figures."""
    found = re.findall(r'<a class="tile".*?</a>', page, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", one).split()) for one in found]


def read_summary(page: str) -> str:
    [found] = re.findall(r'<p class="lede">(.*?)</p>', page, re.DOTALL)
    return re.sub(r"<[^>]*>", "", found)


async def test_figures_compare_with_the_period_before(alice, transaction, world) -> None:
    old = done_task(world.board, "C", hours=6, ago=8 * 24)
    done = [done_task(world.board, name) for name in ("A", "B", "D")]
    await keep(transaction, old, *done)
    started = world.make_task()
    await keep(transaction, started)
    path = f"/boards/{world.board.id}/tasks/{started.id}"
    await alice.post(f"{path}/changes", data={"status": "in_progress"})
    page = (await alice.get("/dashboard")).text
    assert read_tiles(page) == [
        "In progress 1 task +1 since the start of the period",
        "Tasks done 3 +200% compared with the period before",
        "Average time to done 2 h 4 h faster than in the period before",
        "Failed messages to agents None delivered yet No data for the period before",
    ]
    assert page.count('<svg class="spark"') == 2
    assert "Tasks done: 3 in this period, 1 in the period before." in page


async def test_a_time_to_done_below_a_minute_is_not_zero(alice, transaction, world) -> None:
    await keep(transaction, done_task(world.board, "Quick", hours=0.001))
    page = (await alice.get("/dashboard")).text
    assert read_tiles(page)[2].startswith("Average time to done less than 1 min ")


async def test_charts_have_the_same_numbers_as_a_table(alice, transaction, world) -> None:
    await keep(transaction, *[done_task(world.board, str(n), hours=3) for n in range(4)])
    page = (await alice.get("/dashboard?range=24h")).text
    [table] = re.findall(r'id="throughput-table".*?</details>', page, re.DOTALL)
    assert sum(map(int, re.findall(r'<td class="num">(\d+)</td>', table))) == 4
    assert 'id="work-table"' in page
    assert "<rect" in page
    assert "<polygon" in page
    times = (await alice.get("/dashboard?range=24h&chart=time")).text
    assert "Median of the last 7 days: 3 hours" in times
    assert 'id="time-table"' in times
    assert "<polygon" not in times


async def test_the_average_per_day_and_days_with_completions(alice, transaction, world) -> None:
    hours_ago = [0.01, 24.01, 24.01, 72.01, 72.01, 72.01, 72.01]
    await keep(transaction, *[done_task(world.board, str(ago), ago=ago) for ago in hours_ago])
    page = (await alice.get("/dashboard")).text
    assert "Average per day: 1. Tasks were done on 3 of 7 days." in page
    table = page.partition('id="dashboard-throughput"')[2].partition("</table>")[0]
    assert table.count('<th scope="row">') == 7
    hours = (await alice.get("/dashboard?range=24h")).text
    assert "Average per day: 1. Tasks were done in 1 of 24 hours." in hours
    year = (await alice.get("/dashboard?range=1y")).text
    assert re.search(r"Tasks were done in [12] of 12 months\.", year)


async def test_more_reviews_than_work_in_progress_are_named(alice, transaction, world) -> None:
    def make(status: Status, count: int) -> list[Task]:
        return [make_task(world.board, f"{status} {n}", status=status) for n in range(count)]

    async def find_note() -> str | None:
        found = re.search(
            r"Many tasks wait for a review: ([^.]*)\.", (await alice.get("/dashboard")).text
        )
        return found[1] if found else None

    await keep(transaction, *make(Status.REVIEW, 4))
    assert await find_note() is None
    await keep(transaction, *make(Status.REVIEW, 1))
    assert await find_note() == "5 in review, 0 in progress"
    await keep(transaction, *make(Status.IN_PROGRESS, 4))
    assert await find_note() == "5 in review, 4 in progress"
    await keep(transaction, *make(Status.IN_PROGRESS, 1))
    assert await find_note() is None


@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/figures"])
async def test_only_people_who_can_decide_are_sent_to_the_inbox(
    alice, rita, transaction, world, path
) -> None:
    tasks = [make_task(world.board, str(n), status=Status.REVIEW) for n in range(5)]
    await keep(transaction, *tasks)
    board = f"?board={world.board.id}"
    link = f'<a class="link" href="/approvals{board}">Show what needs you</a>'
    assert link not in (await alice.get(path + board)).text
    await keep(transaction, *world.make_approval(tasks[0]))
    pages = [(await one.get(path + board)).text for one in (alice, rita)]
    assert [link in page for page in pages] == [True, False]
    assert all("Many tasks wait for a review" in page for page in pages)


@pytest.mark.parametrize("range", metrics.RANGES)
async def test_the_range_is_in_the_address(alice, range) -> None:
    page = (await alice.get(f"/dashboard?range={range}")).text
    assert page.count('aria-current="true">' + range + "</a>") == 2
    assert "style=" not in page


@pytest.mark.parametrize(
    "query",
    ["range=2y", "range=", "board=x", "group=x", "chart=x", "until=x", f"after={'9' * 30}", "?"],
)
async def test_invalid_parameters_show_the_last_seven_days(alice, query) -> None:
    answer = await alice.get(f"/dashboard?{query}")
    assert answer.status_code == 200
    assert 'aria-current="true">7d</a>' in answer.text
    assert "could not be loaded" not in answer.text


async def test_the_summary_says_what_needs_attention(alice, bob, transaction, world) -> None:
    assert (
        read_summary((await alice.get("/dashboard")).text)
        == "No request, agent or gateway needs your attention."
    )
    async with transaction() as session:
        worker = await session.get_one(Agent, world.worker.id)
        worker.last_seen_at, worker.name = now() - timedelta(minutes=14, seconds=5), "<Pike>"
    silent = "&lt;Pike&gt; has been silent for 14 min."
    rest = "No other request, agent or gateway needs your attention."
    assert read_summary((await alice.get("/dashboard")).text) == f"{silent} {rest}"
    await keep(transaction, *world.make_approval(), *world.make_approval())
    failed = [{"name": "address", "state": "failed", "since": now().isoformat(), "sentence": "No."}]
    await keep(transaction, make_gateway(world.tern, checks=failed, checked_at=now()))
    pike = "&lt;Pike&gt; has been silent for 14 min"
    assert (
        read_summary((await alice.get("/dashboard")).text)
        == f"2 items need you, 1 gateway is not connected, and {pike}."
    )
    assert (
        read_summary((await bob.get("/dashboard/summary", headers=HTMX)).text)
        == f"2 items need you, and {pike}. No other request, agent or gateway needs your attention."
    )
    garden = (await alice.get(f"/dashboard?board={world.garden.id}")).text
    assert "decisions wait" not in read_summary(garden)
    assert "Pike" not in read_summary(garden)


async def test_the_approvals_that_wait_longest_are_listed(alice, transaction, world) -> None:
    titles = [f"Ship {number}" for number in range(7)]
    for number, title in enumerate(titles):
        task = world.make_task(title)
        at = now() - timedelta(hours=len(titles) - number)
        await keep(transaction, task, *world.make_approval(task, created_at=at))
    page = (await alice.get("/dashboard")).text
    shown = page[page.index('id="dashboard-approvals"') : page.index('id="dashboard-gateways"')]
    assert [title for title in titles if title in shown] == titles[:5]
    assert "5 of 7" in shown
    assert 'data-n="7"' in shown
    assert 'href="/approvals"' in shown


async def test_gateway_requests_are_pending_too(alice, transaction, world) -> None:
    gateway = make_gateway(world.tern)
    await keep(transaction, gateway)
    await keep(transaction, make_gateway_request(gateway, world.worker, exact="make clean"))
    await keep(transaction, make_gateway_request(gateway, None, exact="whoami"))
    page = (await alice.get("/dashboard/approvals", headers=HTMX)).text
    assert "make clean" in page
    assert "whoami" in page
    of_board = await alice.get(f"/dashboard/approvals?board={world.board.id}", headers=HTMX)
    assert "make clean" in of_board.text
    assert "whoami" not in of_board.text


async def test_only_admins_see_the_gateways(alice, dana, bob, transaction, world) -> None:
    checks = [{"name": "address", "state": "failed", "since": now().isoformat(), "sentence": "No."}]
    await keep(transaction, make_gateway(world.tern, "Harbour", checks=checks, checked_at=now()))
    for admin in (alice, dana):
        page = (await admin.get("/dashboard")).text
        assert "Harbour" in page
        assert "0 of 1 connected" in page
    assert "dashboard-gateways" not in (await bob.get("/dashboard")).text
    assert (await bob.get("/dashboard/gateways", headers=HTMX)).status_code == 403


async def test_recent_activity_is_listed_and_new_events_are_counted(alice, world) -> None:
    path = f"/boards/{world.board.id}/tasks"
    await alice.post(path, data={"title": "First"})
    page = (await alice.get("/dashboard")).text
    assert "First" in page[page.index('id="dashboard-activity"') :]
    [news] = re.findall(r'hx-get="(/dashboard/activity/news[^"]*)"', page)
    await alice.post(path, data={"title": "Second"})
    counted = (await alice.get(news.replace("&amp;", "&"), headers=HTMX)).text
    assert "1 new" in counted
    assert news in counted
    assert "Second" in (await alice.get("/dashboard/activity", headers=HTMX)).text


async def test_the_page_is_filtered_by_board_and_group(alice, transaction, world) -> None:
    group = await add_group(transaction, world)
    tasks = [done_task(world.board, "Sail"), done_task(world.garden, "Weed")]
    tasks.append(done_task(world.garden, "Sow"))
    await keep(transaction, *tasks, *world.make_approval(tasks[0]))
    for board in (world.board, world.garden):
        await alice.post(f"/boards/{board.id}/tasks", data={"title": f"New on {board.name}"})
    for query, count, names in [
        ("", 3, {"Launch", "Garden"}),
        (f"board={world.board.id}", 1, {"Launch"}),
        (f"board={world.board.id}&group={group.id}", 1, {"Launch"}),
        (f"group={group.id}", 2, {"Garden"}),
    ]:
        page = (await alice.get(f"/dashboard?{query}")).text
        assert read_tiles(page)[1].startswith(f"Tasks done {count} "), query
        assert {name for name in ("Launch", "Garden") if f"New on {name}" in page} == names
        assert ("Nothing needs you." in page) == ("Launch" not in names)
    assert "Plants" in page


async def test_a_panel_that_fails_leaves_the_others(alice, monkeypatch, world) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr(metrics, "load_dashboard", fail)
    page = await alice.get("/dashboard")
    assert page.status_code == 200
    assert "This could not be loaded. It is tried again every 30 seconds." in page.text
    assert "secret words" not in page.text
    assert page.text.count("This chart could not be loaded.") == 2
    assert "Nothing needs you." in page.text
    part = (await alice.get("/dashboard/figures", headers=HTMX)).text
    assert "could not be loaded" in part
    with monkeypatch.context() as broken:
        broken.setattr(activity, "list_member_activity", fail)
        news = (await alice.get("/dashboard/activity/news?after=7", headers=HTMX)).text
        assert 'hx-get="/dashboard/activity/news?after=7"' in news
    for name in ("count_agent_problems", "load_agent_cards"):
        monkeypatch.setattr(agents, name, fail)
    for name in ("summary", "activity"):
        part = (await alice.get(f"/dashboard/{name}", headers=HTMX)).text
        assert f'id="dashboard-{name}"' in part
        assert f'hx-get="/dashboard/{name}" hx-trigger="every 30s"' in part


async def test_members_see_what_they_may_read(
    alice, rita, dana, charlie, transaction, world
) -> None:
    secret = world.make_task("A secret of Launch", status=Status.IN_PROGRESS)
    happened = events.NewEvent(
        EventType.TASK_CREATED,
        world.alice,
        organization_id=world.tern.id,
        board=world.board.id,
        task=secret.id,
        data={"title": secret.title},
    )
    await keep(transaction, secret, *world.make_approval(secret))
    async with transaction() as session:
        await events.record_events(session, [happened])
    reading = (await rita.get("/dashboard")).text
    assert reading.count("A secret of Launch") >= 2
    assert "item needs you" not in reading
    for outsider in (dana, charlie):
        page = (await outsider.get("/dashboard")).text
        assert "A secret of Launch" not in page
        assert "Launch" not in page[page.index("</aside>") :]
        assert read_tiles(page)[0].startswith("In progress 0 tasks")


async def test_boards_and_groups_without_access_are_refused(
    bob, dana, charlie, transaction, world
) -> None:
    group = await add_group(transaction, world)
    for path in ("/dashboard", *[f"/dashboard/{part}" for part in PARTS if part != "gateways"]):
        for browser, query, status in [
            (charlie, f"board={world.board.id}", 404),
            (charlie, f"group={group.id}", 404),
            (dana, f"board={world.board.id}", 403),
            (bob, f"board={world.garden.id}", 403),
            (bob, f"group={group.id}", 403),
            (bob, f"board={new_id()}", 404),
        ]:
            answer = await browser.get(f"{path}?{query}")
            assert answer.status_code == status, (path, query)


async def test_a_board_of_another_organization_of_the_user_is_not_found(
    alice, transaction, world
) -> None:
    everything = {"all_boards_read": True, "all_boards_write": True}
    await keep(transaction, make_member(world.plover, world.alice, **everything))
    for part in ("", "/activity", "/figures"):
        answer = await alice.get(f"/dashboard{part}?board={world.charlies_board.id}")
        assert answer.status_code == 404, part


@pytest.mark.parametrize("error", [ConnectionError, PoolBusy])
async def test_without_a_connection_the_panels_do_not_wait_for_each_other(
    alice, monkeypatch, error
) -> None:
    asked = []

    async def fail(*_: object, **__: object) -> None:
        asked.append(1)
        raise error

    for service, name in [(metrics, "load_dashboard"), (activity, "list_member_activity")]:
        monkeypatch.setattr(service, name, fail)
    assert (await alice.get("/dashboard")).status_code == 503
    assert len(asked) == 1


async def test_the_start_page_is_the_dashboard_of_those_who_cannot_decide(
    alice, rita, transaction, world
) -> None:
    await keep(transaction, *world.make_approval())
    assert (await alice.get("/")).headers["Location"] == "/approvals"
    assert (await rita.get("/")).headers["Location"] == "/dashboard"


async def test_every_page_leads_to_the_dashboard(bob) -> None:
    page = (await bob.get("/boards")).text
    first = page[page.index('<nav class="nav"') :]
    assert first.index('href="/dashboard"') < first.index('href="/approvals"')
    assert "<kbd>G</kbd><kbd>D</kbd>" in page
    assert 'id="palette--dashboard-chart-column"' in page


def test_every_panel_of_the_page_can_be_reloaded() -> None:
    assert set(views.ADMIN_PANELS) < set(views.PANELS)
