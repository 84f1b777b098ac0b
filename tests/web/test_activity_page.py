"""The feed of what happened, as people read it."""

import re
from functools import partial
from uuid import UUID

import pytest

from models import EventType, Status, Task
from services import events
from tests.conftest import Transaction
from tests.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
async def task(transaction: Transaction, world: World) -> Task:
    task = world.task("Write <i>it</i>", status=Status.INBOX)
    async with transaction() as session:
        session.add(task)
    return task


@pytest.fixture
def here(world: World, task: Task) -> str:
    return f"/boards/{world.board.id}/tasks/{task.id}"


async def test_what_happened_is_told_newest_first(alice, bob, here) -> None:
    await alice.post(f"{here}/changes", data={"status": "in_progress"})
    await bob.post(f"{here}/comments", data={"message": "Look <script>alert(1)</script>"})

    feed = (await alice.get("/activity")).text

    assert "Today" in feed
    started = feed.index("<b>You</b> started")
    said = feed.index("<b>Bob</b> commented on")
    assert said < started
    assert "Write &lt;i&gt;it&lt;/i&gt;" in feed
    assert "<script>alert" not in feed


async def test_who_paused_a_board_and_what_befell_an_agent_is_told(
    alice, transaction, world
) -> None:
    here = partial(events.Happened, organization_id=world.tern.id, board=world.board.id)
    failure = {"name": "Worker", "reason": "The gateway says *no*."}
    happened = [
        here(EventType.BOARD_PAUSED, world.alice, data={"name": "Launch"}),
        here(EventType.AGENT_PROVISION_FAILED, None, about=world.worker.id, data=failure),
    ]
    async with transaction() as session:
        await events.record_all(session, happened)
    feed = (await alice.get("/activity")).text
    assert "<b>You</b> paused the agents of" in feed
    assert "<b>Worker</b> cannot come to its gateway" in feed
    assert "The gateway says <em>no</em>." in feed


async def test_who_is_gone_is_still_called_by_name(alice, here, transaction, world) -> None:
    by_worker = partial(
        events.Happened, organization_id=world.tern.id, board=world.board.id, about=world.worker
    )
    moved = {"title": "Write", "left": "inbox", "entered": "in_progress"}
    async with transaction() as session:
        task_id = here.rpartition("/")[2]
        happened = by_worker(EventType.TASK_STATUS_CHANGED, None, task=UUID(task_id), data=moved)
        await events.record_all(session, [happened])
    await alice.post(f"/agents/{world.worker.id}/deletions")
    for page in ("/activity", here):
        told = (await alice.get(page)).text
        assert "<b>Worker</b>" in told, page
        assert "Somebody" not in told, page


async def test_kinds_boards_and_agents_narrow_it(alice, here, world) -> None:
    await alice.post(f"{here}/changes", data={"status": "in_progress"})
    await alice.post(f"{here}/comments", data={"message": "Hello"})

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


async def test_what_is_new_is_counted_and_comes_when_it_is_asked_for(alice, here) -> None:
    await alice.post(f"{here}/comments", data={"message": "First"})
    page = (await alice.get("/activity")).text
    [part] = re.findall(r'id="news" hx-get="([^"]*)"', page)
    part = part.replace("&amp;", "&")
    assert "new</a>" not in (await alice.get(part, headers=HTMX)).text

    await alice.post(f"{here}/comments", data={"message": "Second"})
    await alice.post(f"{here}/comments", data={"message": "Third"})
    news = (await alice.get(part, headers=HTMX)).text
    assert "2 new" in news
    assert "Third" not in news

    feed = (await alice.get("/activity", headers=HTMX)).text
    assert "<html" not in feed
    assert "Third" in feed


async def test_earlier_pages_are_asked_for(alice, here) -> None:
    for number in range(52):
        await alice.post(f"{here}/comments", data={"message": f"Comment {number}."})

    newest = (await alice.get("/activity?kind=comments")).text
    [earlier] = re.findall(r'href="(/activity[^"]*before=[^"]*)"', newest)
    older = (await alice.get(earlier.replace("&amp;", "&"))).text

    assert "Comment 51." in newest
    assert "Comment 1." not in newest
    assert "Comment 1." in older
    assert "Newest" in older


async def test_an_answer_that_can_still_be_taken_back_is_not_told(
    alice, transaction, world, task
) -> None:
    rows = world.approval(task, payload={"title": "Ship it", "reason": "Tested."})
    async with transaction() as session:
        session.add_all(rows)
    await alice.post(f"/approvals/{rows[0].id}/answers", data={"status": "approved"})

    assert "Ship it?" not in (await alice.get("/activity")).text


async def test_nothing_happened_yet(alice) -> None:
    assert "Nothing happened here yet." in (await alice.get("/activity")).text


@pytest.mark.parametrize(
    "query", ["kind=x", "board=x", "agent=x", "before=x", "before=-1", f"before={'9' * 30}"]
)
async def test_an_address_that_makes_no_sense_shows_everything(alice, query) -> None:
    assert (await alice.get(f"/activity?{query}")).status_code == 200


async def test_nobody_reads_of_boards_that_are_not_theirs(
    alice, rita, dana, charlie, here, world
) -> None:
    await alice.post(f"{here}/comments", data={"message": "A secret of Launch"})

    assert "A secret of Launch" in (await rita.get("/activity")).text
    for stranger in (dana, charlie):
        assert "A secret of Launch" not in (await stranger.get("/activity")).text
    assert (await charlie.get(f"/activity?board={world.board.id}")).status_code == 404
    assert (await dana.get(f"/activity?board={world.board.id}")).status_code == 403
    news = await charlie.get(f"/activity/news?board={world.board.id}&after=0")
    assert news.status_code == 404
