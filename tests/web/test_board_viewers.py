"""The viewers of a board, shown only to members who can read it."""

import html
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Presence, User
from services import presence
from tests.support.people_rows import make_member, make_user
from tests.support.world import World

Comes = Callable[..., Awaitable[None]]


@pytest.fixture
def comes(transaction: TransactionFactory, world: World) -> Comes:
    """Lets people open a page of Launch, one after the other."""

    async def come(*people: User) -> None:
        for user in people:
            async with transaction() as session:
                await presence.record_visits(session, [presence.Visit(world.board.id, user.id)])

    return come


@pytest.fixture
async def pages(transaction: TransactionFactory, world: World) -> list[str]:
    """Return the pages that show the viewers of Launch: the board, a task, and the part."""
    task = world.make_task()
    async with transaction() as session:
        session.add(task)
    board_path = f"/boards/{world.board.id}"
    return [board_path, f"{board_path}/tasks/{task.id}", f"{board_path}/presence"]


async def get_viewers(browser: httpx2.AsyncClient, address: str) -> str:
    """Return the names of the other viewers in the accessible label."""
    text = (await browser.get(address)).text
    [shown] = re.findall(r'<span class="avs no-phone" id="others"([^>]*)>', text)
    found = re.search(
        r'role="img" aria-label="Viewing now: ([^"]*)" title="Viewing now: \1"', shown
    )
    assert bool(found) != shown.endswith(" hidden")
    return html.unescape(found[1]) if found else ""


async def test_other_viewers_are_shown_on_the_pages_of_a_board(
    alice, bob, comes, pages, world
) -> None:
    for page in pages:
        assert await get_viewers(alice, page) == ""
    await comes(world.alice)
    for page in pages:
        assert await get_viewers(alice, page) == ""  # the viewer is not listed
    await comes(world.bob, world.rita)
    for page in pages:
        assert await get_viewers(alice, page) == "Bob, Rita"
        assert await get_viewers(bob, page) == "Alice, Rita"


async def test_a_viewer_disappears_after_closing_the_page(
    alice, comes, pages, transaction, world
) -> None:
    await comes(world.bob, world.rita)
    silent = now() - presence.ABSENT_AFTER - timedelta(seconds=1)
    async with transaction() as session:
        gone = update(Presence).where(Presence.user_id == world.bob.id)
        await session.execute(gone.values(since=silent, seen_at=silent))
    for page in pages:
        assert await get_viewers(alice, page) == "Rita"


async def test_loading_a_page_once_does_not_count_as_presence(alice, bob, pages) -> None:
    """Only an open event stream counts as presence."""
    for page in pages:
        assert (await bob.get(page)).status_code == 200
        assert await get_viewers(alice, page) == ""


async def test_many_viewers_are_named_but_only_some_are_drawn(
    alice, comes, pages, transaction, world
) -> None:
    crowd = [make_user(f"P{n} <b>", world.tern) for n in range(6)]
    async with transaction() as session:
        session.add_all([make_member(world.tern, user) for user in crowd])
    await comes(*crowd)
    for page in pages:
        assert await get_viewers(alice, page) == ", ".join(f"P{n} <b>" for n in range(6))
        text = (await alice.get(page)).text
        drawn = text.split('id="others"')[1].split(">", 1)[1]
        assert (
            re.findall(r'<span class="av" aria-hidden="true"[^>]*>([^<]*)</span>', drawn)[4] == "+2"
        )


async def test_viewers_are_hidden_from_members_without_access(
    anonymous, bob, dana, charlie, comes, pages, world
) -> None:
    await comes(world.alice)
    for page in pages:
        assert (await anonymous.get(page)).status_code in {303, 401}
        for browser, status in ((dana, 403), (charlie, 404)):
            answer = await browser.get(page)
            assert answer.status_code == status
            assert "Here now" not in answer.text
    assert (await bob.get(f"/boards/{world.garden.id}/presence")).status_code == 403


async def test_the_pages_of_a_board_send_its_id_to_the_event_stream(alice, pages, world) -> None:
    for page in pages[:2]:
        [listens] = re.findall(r'<body data-live="([^"]*)"', (await alice.get(page)).text)
        assert html.unescape(listens).endswith(f"&board={world.board.id}")
    assert "&amp;board=" not in (await alice.get("/boards")).text
