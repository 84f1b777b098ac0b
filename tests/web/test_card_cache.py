"""A card is rendered once for all tasks that have the same elements, and filled for each viewer."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import update

from core.clock import now
from core.db.engine import TransactionFactory
from models import LinkKind, Status, Task, TaskLink
from services import boards, tasks
from tests.support.world import World
from web.boards.cards import render_shape
from web.ui.translation import PSEUDO

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    task = world.make_task(
        "Paint <b>it</b>",
        status=Status.IN_PROGRESS,
        assignee=world.worker,
        in_progress_at=now() - timedelta(minutes=5),
    )
    async with transaction() as session:
        session.add(task)
    return task


LINK_URL = "https://github.com/acme/app/pull/12"


def make_link(task: Task, kind: str = "change", reference: str = "#12", **fields) -> TaskLink:
    columns = {"repository": "acme/app", "title": "Show <b>it", "url": LINK_URL, "checks": {}}
    times = {"created_at": now(), "updated_at": now()}
    key, ids = f"{kind} {reference}", {"board_id": task.board_id, "task_id": task.id}
    return TaskLink(
        kind=LinkKind(kind), key=key, reference=reference, **ids, **columns, **times, **fields
    )


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    render_shape.cache_clear()


def find_card(html: str, task: Task) -> str:
    found = re.search(rf'<li class="card[^"]*" id="task-{task.id}".*?</li>', html, re.DOTALL)
    assert found
    return found[0]


async def test_viewers_with_the_same_rights_share_one_rendering(alice, bob, world, task) -> None:
    path = f"/boards/{world.board.id}"
    pages = [(await viewer.get(path)).text for viewer in (alice, bob, alice)]
    assert len({find_card(page, task) for page in pages}) == 1
    assert render_shape.cache_info().misses == 1


async def test_a_reader_never_gets_the_card_of_a_writer(alice, rita, world, task) -> None:
    path = f"/boards/{world.board.id}"
    assert "data-movable" in find_card((await alice.get(path)).text, task)
    assert "data-movable" not in find_card((await rita.get(path)).text, task)
    assert "data-movable" in find_card((await alice.get(path)).text, task)


async def test_a_card_has_the_query_and_the_unread_mark_of_its_viewer(
    alice, bob, transaction, world, task
) -> None:
    async with transaction() as session:
        board = await boards.lock_board(session, world.alice, world.board.id)
        await tasks.create_comment(session, world.alice, board, task.id, "Look.")
    path = f"/boards/{world.board.id}"
    shown = [
        find_card((await viewer.get(f"{path}?q=%3Cb%3E&column=inbox")).text, task)
        for viewer in (alice, bob)
    ]
    assert all("?q=%3Cb%3E&amp;column=inbox" in card for card in shown)
    assert ["data-unread" in card for card in shown] == [False, True]
    assert "column=inbox" not in find_card((await alice.get(path)).text, task)


async def test_the_age_on_a_card_is_not_cached(alice, world, task, monkeypatch) -> None:
    path = f"/boards/{world.board.id}"
    assert ">5 min</time>" in (await alice.get(path)).text
    later = now() + timedelta(minutes=2)
    monkeypatch.setattr("web.ui.time_format.now", lambda: later)
    assert ">7 min</time>" in (await alice.get(path)).text
    assert render_shape.cache_info().misses == 1


async def test_viewers_in_other_time_zones_see_their_own_times(
    alice, bob, transaction, world, task
) -> None:
    async with transaction() as session:
        (await session.get_one(Task, task.id)).due_at = now()
        (await session.merge(world.bob)).timezone = "Asia/Tokyo"
    path = f"/boards/{world.board.id}"
    assert " JST" not in find_card((await alice.get(path)).text, task)
    assert " JST" in find_card((await bob.get(path)).text, task)


async def test_a_changed_task_is_filled_in_again(alice, transaction, world, task) -> None:
    path = f"/boards/{world.board.id}/cards/{task.id}"
    assert "Paint &lt;b&gt;it" in (await alice.get(path, headers=HTMX)).text
    async with transaction() as session:
        (await session.get_one(Task, task.id)).title = "Hang it"
    assert "Hang it" in (await alice.get(path, headers=HTMX)).text
    assert render_shape.cache_info().misses == 1


@pytest.mark.parametrize("view", ["board", "list"])
async def test_a_title_with_format_characters_is_shown_as_it_is(
    alice, transaction, world, task, view
) -> None:
    async with transaction() as session:
        (await session.get_one(Task, task.id)).title = "100% <b>%s</b> %(id)s {0} & more"
    page = (await alice.get(f"/boards/{world.board.id}?view={view}")).text
    shown = page.partition(f' id="task-{task.id}"')[2]
    assert shown.count("100% &lt;b&gt;%s&lt;/b&gt; %(id)s {0} &amp; more") == 3


async def test_a_card_with_another_state_of_a_pull_request_is_rendered_again(
    alice, transaction, world, task
) -> None:
    path = f"/boards/{world.board.id}/cards/{task.id}"
    async with transaction() as session:
        session.add(make_link(task, state="open", checks_state="failing"))
    card = (await alice.get(path, headers=HTMX)).text
    link = f'<a href="{LINK_URL}" rel="nofollow noopener noreferrer" target="_blank"'
    assert link in card
    assert "Show &lt;b&gt;it</span>" in card
    assert "Open</span>" in card
    assert "Checks fail" in card
    async with transaction() as session:
        await session.execute(update(TaskLink).values(state="merged", checks_state=None))
    card = (await alice.get(path, headers=HTMX)).text
    assert "Merged</span>" in card
    assert "Checks fail" not in card


async def test_only_pull_requests_and_failing_checks_are_on_a_card(
    alice, transaction, world, task
) -> None:
    async with transaction() as session:
        session.add_all(
            make_link(task, kind=kind, reference=name, state=state)
            for kind, name, state in [
                ("issue", "#1", "open"),
                ("check", "main", "passing"),
                ("check", "next", "failing"),
                ("change", "#2", "draft"),
            ]
        )
    path = f"/boards/{world.board.id}"
    card = (await alice.get(f"{path}/cards/{task.id}", headers=HTMX)).text
    shown = [f">{name}</span>" in card for name in ("Show &lt;b&gt;it", "#1", "main", "#2")]
    assert shown == [True, False, False, True]
    page = (await alice.get(f"{path}/tasks/{task.id}")).text
    assert page.count("nofollow noopener noreferrer") == 4


async def test_viewers_with_other_languages_see_their_own_cards_and_columns(
    alice, bob, world, task
) -> None:
    """A card or column that a page shows in another language is not kept."""
    path = f"/boards/{world.board.id}"
    bob.cookies.set("mission_control_language", PSEUDO)
    pages = [(await viewer.get(path)).text for viewer in (alice, bob, alice)]
    assert ['"Actions for “Paint' in find_card(page, task) for page in pages] == [True, False, True]
    english, pseudo, _ = [set(re.findall(r'data-hash="([^"]*)"', page)) for page in pages]
    assert len(english) == len(pseudo) == 4  # of three columns and a card
    assert not english & pseudo
    parts = [await viewer.get(f"{path}/columns", headers=HTMX) for viewer in (alice, bob)]
    assert parts[0].headers["ETag"] != parts[1].headers["ETag"]
    assert render_shape.cache_info().misses == 2
