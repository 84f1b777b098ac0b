"""Watchers of a task on its page, mentions of people, and their suggestions."""

import pytest

from core.db.engine import TransactionFactory
from models import Task
from tests.support.world import World
from web.ui.markdown import render_markdown

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
async def task_path(transaction: TransactionFactory, world: World) -> str:
    task: Task = world.make_task("Call the printer")
    async with transaction() as session:
        session.add(task)
    return f"/boards/{world.board.id}/tasks/{task.id}"


async def test_a_reader_watches_a_task_and_stops(rita, alice, task_path) -> None:
    page = (await rita.get(task_path)).text
    assert f'action="{task_path}/watchers"' in page
    assert (await rita.post(f"{task_path}/watchers")).status_code == 303
    page = (await alice.get(task_path)).text
    assert 'dir="auto">Rita</span>' in page
    drawer = await rita.post(f"{task_path}/watchers/endings", headers=HTMX)
    assert f'action="{task_path}/watchers"' in drawer.text
    assert "Nobody" in drawer.text


async def test_strangers_watch_nothing(charlie, dana, anonymous, task_path) -> None:
    for path in (f"{task_path}/watchers", f"{task_path}/watchers/endings"):
        assert (await charlie.post(path)).status_code == 404
        assert (await dana.post(path)).status_code == 403
        assert (await anonymous.post(path, headers=HTMX)).status_code == 401


async def test_who_comments_watches(bob, task_path) -> None:
    await bob.post(f"{task_path}/comments", data={"message": "Hello @Rita"})
    page = (await bob.get(task_path)).text
    assert f'action="{task_path}/watchers/endings"' in page
    assert 'dir="auto">Bob, Rita</span>' in page


async def test_people_are_suggested_with_all_their_letters(
    alice, world, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        user = await session.get(type(world.bob), world.bob.id)
        assert user is not None
        user.name = "Jörg Müller"
    found = await alice.get(f"/suggestions/mentions?board={world.board.id}&q=j", headers=HTMX)
    assert 'data-insert="@Jörg-Müller"' in found.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ask @Jörg-Müller.", '<span class="mention">@Jörg-Müller</span>.'),
        ("请看@lead你好", '<span class="mention">@lead</span>你好'),
        ("@李娜", '<span class="mention">@李娜</span>'),
        ("me@example.com", "me@example.com"),
    ],
)
def test_mentions_of_people_are_marked(text, shown) -> None:
    assert shown in render_markdown(text).html
