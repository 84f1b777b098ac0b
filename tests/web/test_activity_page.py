"""The activity feed."""

import re
from functools import partial
from uuid import UUID

import pytest

from core.db.engine import TransactionFactory
from models import Agent, EventType, Status, Task
from services import activity, events, organizations
from tests.support.approval_pages import approving
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    task = world.make_task("Write <i>it</i>", status=Status.INBOX)
    async with transaction() as session:
        session.add(task)
    return task


@pytest.fixture
def task_path(world: World, task: Task) -> str:
    return f"/boards/{world.board.id}/tasks/{task.id}"


async def test_events_are_shown_newest_first(alice, bob, task_path) -> None:
    await alice.post(f"{task_path}/changes", data={"status": "in_progress"})
    await bob.post(f"{task_path}/comments", data={"message": "Look <script>alert(1)</script>"})

    feed = (await alice.get("/activity")).text

    assert "Today" in feed
    started = feed.index("<b>You</b> started")
    comment_index = feed.index("<b>Bob</b> commented on")
    assert comment_index < started
    assert "Write &lt;i&gt;it&lt;/i&gt;" in feed
    assert "<script>alert" not in feed


async def test_board_pauses_and_agent_failures_are_shown(alice, transaction, world) -> None:
    launch_event = partial(events.NewEvent, organization_id=world.tern.id, board=world.board.id)
    failure = {"name": "Worker", "reason": "The gateway says *no*."}
    happened = [
        launch_event(EventType.BOARD_PAUSED, world.alice, data={"name": "Launch"}),
        launch_event(EventType.AGENT_PROVISION_FAILED, None, subject=world.worker.id, data=failure),
    ]
    async with transaction() as session:
        await events.record_events(session, happened)
    feed = (await alice.get("/activity")).text
    assert "<b>You</b> paused the agents of" in feed
    assert "<b>Worker</b></a> could not be created on its gateway" in feed
    assert "The gateway says <em>no</em>." in feed


async def test_the_role_of_an_agent_is_behind_its_name(
    alice, transaction: TransactionFactory, world: World, task: Task
) -> None:
    happen = partial(events.NewEvent, organization_id=world.tern.id, board=world.board.id)
    async with transaction() as session:
        worker = await session.get_one(Agent, world.worker.id)
        worker.identity_profile = {"role": "Writer <i>"}
        data = {"title": "Write it"}
        created = [
            happen(EventType.TASK_CREATED, actor, task=task, data=data)
            for actor in (worker, world.lead, world.alice)
        ]
        await events.record_events(session, created)
    feed = re.sub(r"<[^>]*>", "", (await alice.get("/activity")).text)
    assert "Worker (Writer &lt;i&gt;) created" in feed
    assert "Lead created" in feed
    assert "You created" in feed


async def test_stops_and_held_agents_are_shown(
    alice, charlie, transaction: TransactionFactory, world: World
) -> None:
    held = {"name": "Worker", "cause": "loop", "reason": "It and Lead answer each other."}
    counts = {"name": "Worker", "pending": 20, "recent": 61}
    happen = partial(events.NewEvent, organization_id=world.tern.id, board=world.board.id)
    async with transaction() as session:
        await organizations.stop_all_agents(
            session, organizations.AgentStopCreate(reason="A drill"), name=world.tern.name
        )
        await events.record_events(
            session,
            [
                happen(EventType.AGENT_HELD, None, subject=world.worker.id, data=held),
                happen(EventType.APPROVAL_REQUESTS_HELD, None, subject=world.worker, data=counts),
                happen(EventType.AGENT_RELEASED, world.alice, subject=world.worker, data=counts),
            ],
        )
        await organizations.resume_agents(session, world.alice_member)
    for query in ("", "?kind=agents"):
        feed = re.sub(r"\s+", " ", (await alice.get(f"/activity{query}")).text)
        assert "<b>the command line</b> stopped all agents of" in feed
        assert "A drill" in feed
        assert "<b>You</b> resumed all agents of" in feed
        assert "<b>Worker</b></a> was stopped automatically" in feed
        assert "It and Lead answer each other." in feed
        assert "requests approvals too often: 61 in the last hour, 20 pending" in feed
        assert "<b>You</b> let " in feed
    assert "A drill" not in (await charlie.get("/activity")).text


async def test_removed_actors_keep_their_names(alice, task_path, transaction, world) -> None:
    by_worker = partial(
        events.NewEvent, organization_id=world.tern.id, board=world.board.id, subject=world.worker
    )
    moved = {"title": "Write", "left": "inbox", "entered": "in_progress"}
    async with transaction() as session:
        task_id = task_path.rpartition("/")[2]
        happened = by_worker(EventType.TASK_STATUS_CHANGED, None, task=UUID(task_id), data=moved)
        await events.record_events(session, [happened])
    await alice.post(f"/agents/{world.worker.id}/deletions")
    for page in ("/activity", task_path):
        content = (await alice.get(page)).text
        assert "<b>Worker</b>" in content, page
        assert "Deleted agent" not in content, page


async def test_the_feed_is_filtered_by_kind_board_and_agent(alice, task_path, world) -> None:
    await alice.post(f"{task_path}/changes", data={"status": "in_progress"})
    await alice.post(f"{task_path}/comments", data={"message": "Hello"})

    async def shown(query: str) -> set[str]:
        text = (await alice.get(f"/activity{query}")).text
        return set(re.findall(r"</b> (started|commented on)", text))

    assert await shown("") == {"started", "commented on"}
    assert await shown("?kind=tasks") == {"started"}
    assert await shown("?kind=comments") == {"commented on"}
    assert await shown("?kind=questions") == set()
    assert await shown(f"?board={world.board.id}") == {"started", "commented on"}
    assert await shown(f"?board={world.garden.id}") == set()
    assert await shown(f"?agent={world.worker.id}") == set()


def read_kind_counts(page: str) -> dict[str, int]:
    """Return the counts of the tabs by their kinds; "" is everything."""
    tabs = page[page.index('class="tabs"') :]
    found = re.findall(r'<a href="([^"]*)"[^>]*>[^<]*<span class="count">(\d+)', tabs)
    return {(re.findall(r"kind=(\w+)", path) or [""])[0]: int(count) for path, count in found}


async def test_kinds_have_the_counts_of_their_events(alice, rita, task_path, world) -> None:
    await alice.post(f"{task_path}/changes", data={"status": "in_progress"})
    for text in ("One", "Two"):
        await alice.post(f"{task_path}/comments", data={"message": text})
    here = f"board={world.board.id}"
    for address in (f"/activity?{here}", f"/activity?{here}&kind=comments&before=9999999"):
        counts = read_kind_counts((await alice.get(address)).text)
        assert (counts[""], counts["tasks"], counts["comments"], counts["boards"]) == (3, 1, 2, 0)
    assert read_kind_counts((await alice.get(f"/boards/{world.board.id}/feed")).text) == counts
    assert read_kind_counts((await rita.get("/activity")).text)["comments"] == 2
    of_lead = read_kind_counts((await alice.get(f"/activity?agent={world.lead.id}")).text)
    assert not any(of_lead.values())


async def test_new_events_are_counted_and_loaded_on_request(
    alice, task_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await alice.post(f"{task_path}/comments", data={"message": "First"})
    page = (await alice.get("/activity")).text
    [part] = re.findall(r'id="news" hx-get="([^"]*)"', page)
    part = part.replace("&amp;", "&")
    assert "new</a>" not in (await alice.get(part, headers=HTMX)).text

    await alice.post(f"{task_path}/comments", data={"message": "Second"})
    await alice.post(f"{task_path}/comments", data={"message": "Third"})
    news = (await alice.get(part, headers=HTMX)).text
    assert "2 new" in news
    assert "Third" not in news
    monkeypatch.setattr(activity, "MAX_NEW", 1)
    assert "More than 1 new" in (await alice.get(part, headers=HTMX)).text
    without_number = await alice.get("/activity/news", headers=HTMX)
    assert without_number.status_code == 200

    feed = (await alice.get("/activity", headers=HTMX)).text
    assert "<html" not in feed
    assert "Third" in feed


async def test_earlier_pages_can_be_opened(alice, task_path) -> None:
    for number in range(52):
        await alice.post(f"{task_path}/comments", data={"message": f"Comment {number}."})

    newest = (await alice.get("/activity?kind=comments")).text
    [earlier] = re.findall(r'href="(/activity[^"]*before=[^"]*)"', newest)
    older = (await alice.get(earlier.replace("&amp;", "&"))).text

    assert "Comment 51." in newest
    assert "Comment 1." not in newest
    assert "Comment 1." in older
    assert "Newest" in older


async def test_a_decision_that_can_be_undone_is_not_shown(alice, transaction, world, task) -> None:
    rows = world.make_approval(task, payload={"title": "Ship it", "reason": "Tested."})
    async with transaction() as session:
        session.add_all(rows)
    await alice.post(f"/approvals/{rows[0].id}/answers", data=approving(rows[0]))

    assert "Ship it?" not in (await alice.get("/activity")).text


async def test_an_empty_feed_says_so(alice) -> None:
    assert "No activity yet." in (await alice.get("/activity")).text


@pytest.mark.parametrize(
    "query", ["kind=x", "board=x", "agent=x", "before=x", "before=-1", f"before={'9' * 30}"]
)
async def test_invalid_parameters_show_everything(alice, query) -> None:
    assert (await alice.get(f"/activity?{query}")).status_code == 200


async def test_events_of_unreadable_boards_are_not_shown(
    alice, rita, dana, charlie, task_path, world
) -> None:
    await alice.post(f"{task_path}/comments", data={"message": "A secret of Launch"})

    assert "A secret of Launch" in (await rita.get("/activity")).text
    for outsider in (dana, charlie):
        assert "A secret of Launch" not in (await outsider.get("/activity")).text
    assert (await charlie.get(f"/activity?board={world.board.id}")).status_code == 404
    assert (await dana.get(f"/activity?board={world.board.id}")).status_code == 403
    news = await charlie.get(f"/activity/news?board={world.board.id}&after=0")
    assert news.status_code == 404
