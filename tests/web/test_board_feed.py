"""The activity feed of one board."""

import html
import re
from functools import partial

import pytest

from core.db.engine import TransactionFactory
from models import EventType, Status, Task, new_id
from services import events
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
IN_DRAWER = {**HTMX, "HX-Target": "aside#drawer"}


@pytest.fixture
def path(world: World) -> str:
    return f"/boards/{world.board.id}/feed"


@pytest.fixture
async def task_path(transaction: TransactionFactory, world: World) -> str:
    """Return the address of a task of Launch, beside one of Garden that has changed."""
    tasks: list[Task] = [world.make_task("Write it", status=Status.INBOX)]
    happened = events.NewEvent(
        EventType.TASK_CREATED,
        world.alice,
        organization_id=world.tern.id,
        board=world.garden.id,
        data={"title": "Dig it"},
    )
    async with transaction() as session:
        session.add_all(tasks)
        await events.record_events(session, [happened])
    return f"/boards/{world.board.id}/tasks/{tasks[0].id}"


async def test_the_feed_shows_one_board(alice, path, task_path) -> None:
    await alice.post(f"{task_path}/changes", data={"status": "in_progress"})

    page = (await alice.get(path)).text

    assert "<b>You</b> started" in page
    assert "Dig it" not in page
    assert "Dig it" in (await alice.get("/activity")).text
    assert "· Launch" not in page
    assert f'href="{path}?kind=tasks"' in page


async def test_lines_lead_to_comments_and_agents(alice, path, task_path, transaction, world):
    await alice.post(f"{task_path}/comments", data={"message": "Look"})
    async with transaction() as session:
        event = partial(events.NewEvent, organization_id=world.tern.id, board=world.board.id)
        status = event(
            EventType.AGENT_STATUS_CHANGED, None, subject=world.worker.id, data={"to": "online"}
        )
        await events.record_events(session, [status])

    page = (await alice.get(path)).text

    [comment] = re.findall(rf'href="{task_path}\?comment=[0-9a-f-]+#(c-[0-9a-f-]+)"', page)
    assert f'id="{comment}"' in (await alice.get(task_path)).text
    assert f'href="/agents/{world.worker.id}"><b>Worker</b></a>' in page


async def test_kinds_and_agents_are_filters(alice, path, task_path, world) -> None:
    await alice.post(f"{task_path}/changes", data={"status": "in_progress"})
    await alice.post(f"{task_path}/comments", data={"message": "Look"})

    async def shown(query: str) -> set[str]:
        text = (await alice.get(f"{path}?{query}")).text
        return set(re.findall(r"</b> (started|commented on)", text))

    assert await shown("") == {"started", "commented on"}
    assert await shown("kind=comments") == {"commented on"}
    assert await shown(f"agent={world.worker.id}") == set()
    assert await shown(f"board={world.garden.id}") == {"started", "commented on"}
    assert await shown("kind=x&agent=x&before=-1") == {"started", "commented on"}
    [picker, *_] = re.findall(r'href="(/pick/agents[^"]*)"', (await alice.get(path)).text)
    options = (await alice.get(html.unescape(picker), headers=HTMX)).text
    assert f'href="{path}?agent={world.worker.id}' in options
    assert "Gardener" not in options


async def test_new_events_are_counted(alice, path, task_path, world) -> None:
    await alice.post(f"{task_path}/comments", data={"message": "First"})
    page = (await alice.get(f"{path}?kind=comments")).text
    [part] = re.findall(r'id="news" hx-get="([^"]*)"', page)
    assert part.startswith(f"{path}/news?kind=comments")
    await alice.post(f"{task_path}/changes", data={"status": "in_progress"})
    await alice.post(f"{task_path}/comments", data={"message": "Second"})
    news = (await alice.get(part.replace("&amp;", "&"), headers=HTMX)).text
    assert "1 new" in news
    assert f'hx-get="{path}?kind=comments"' in news


async def test_the_board_shows_the_feed_beside_it(alice, path, task_path, world) -> None:
    assert f'href="{path}" data-in-drawer' in (await alice.get(f"/boards/{world.board.id}")).text
    await alice.post(f"{task_path}/comments", data={"message": "First"})

    drawer = (await alice.get(path, headers=IN_DRAWER)).text
    rows = (await alice.get(path, headers={**HTMX, "HX-Target": "div#feed"})).text

    assert "<html" not in drawer
    assert 'id="drawer"' in drawer
    assert f'href="{task_path}?comment=' in drawer
    assert 'id="drawer"' not in rows
    assert 'id="feed"' in rows


async def test_an_empty_feed_of_a_board_says_so(alice, path) -> None:
    assert "No activity yet." in (await alice.get(path)).text
    assert "No matching activity." in (await alice.get(f"{path}?kind=agents")).text


async def test_only_readers_of_the_board_see_its_feed(rita, dana, charlie, path) -> None:
    assert (await rita.get(path)).status_code == 200
    for client, status in [(charlie, 404), (dana, 403)]:
        for address in (path, f"{path}/news?after=1"):
            assert (await client.get(address)).status_code == status
    assert (await rita.get(f"/boards/{new_id()}/feed")).status_code == 404
