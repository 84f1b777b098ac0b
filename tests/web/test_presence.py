"""Who else looks at a board: told to who looks at it too, and to nobody else."""

import html
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import update

from kit.clock import now
from models import Presence, User
from services import presence
from tests.conftest import Transaction
from tests.world import World, a_member, a_user

Comes = Callable[..., Awaitable[None]]


@pytest.fixture
def comes(transaction: Transaction, world: World) -> Comes:
    """Lets people open a page of Launch, one after the other."""

    async def come(*people: User) -> None:
        for user in people:
            async with transaction() as session:
                await presence.note(session, user, world.board.id)

    return come


@pytest.fixture
async def pages(transaction: Transaction, world: World) -> list[str]:
    """Where it is told: on Launch, on a task of it, and in the part that both ask for."""
    task = world.task()
    async with transaction() as session:
        session.add(task)
    here = f"/boards/{world.board.id}"
    return [here, f"{here}/tasks/{task.id}", f"{here}/presence"]


async def told(browser: httpx2.AsyncClient, address: str) -> str:
    """Return the names of the others, as a page tells them to who cannot see it."""
    text = (await browser.get(address)).text
    [shown] = re.findall(r'<span class="avs no-phone" id="others"([^>]*)>', text)
    found = re.search(r'role="img" aria-label="Here now: ([^"]*)" title="Here now: \1"', shown)
    assert bool(found) != shown.endswith(" hidden")
    return html.unescape(found[1]) if found else ""


async def test_who_else_looks_at_a_board_is_told_on_its_pages(
    alice, bob, comes, pages, world
) -> None:
    for page in pages:
        assert await told(alice, page) == ""
    await comes(world.alice)
    for page in pages:
        assert await told(alice, page) == ""  # oneself is not somebody else
    await comes(world.bob, world.rita)
    for page in pages:
        assert await told(alice, page) == "Bob, Rita"
        assert await told(bob, page) == "Alice, Rita"


async def test_who_has_closed_the_page_is_gone(alice, comes, pages, transaction, world) -> None:
    await comes(world.bob, world.rita)
    silent = now() - presence.GONE_AFTER - timedelta(seconds=1)
    async with transaction() as session:
        gone = update(Presence).where(Presence.user_id == world.bob.id)
        await session.execute(gone.values(since=silent, seen_at=silent))
    for page in pages:
        assert await told(alice, page) == "Rita"


async def test_to_look_at_a_page_once_makes_nobody_be_there(alice, bob, pages) -> None:
    """Only its live connection does: so who is told to be there has the page open."""
    for page in pages:
        assert (await bob.get(page)).status_code == 200
        assert await told(alice, page) == ""


async def test_of_many_some_are_drawn_and_all_are_named(
    alice, comes, pages, transaction, world
) -> None:
    crowd = [a_user(f"P{n} <b>", world.tern) for n in range(6)]
    async with transaction() as session:
        session.add_all([a_member(world.tern, user) for user in crowd])
    await comes(*crowd)
    for page in pages:
        assert await told(alice, page) == ", ".join(f"P{n} <b>" for n in range(6))
        text = (await alice.get(page)).text
        drawn = text.split('id="others"')[1].split(">", 1)[1]
        assert re.findall(r'<span class="av" aria-hidden="true">([^<]*)</span>', drawn)[4] == "+2"


async def test_who_looks_at_a_board_is_nothing_to_those_who_do_not_read_it(
    nobody, bob, dana, charlie, comes, pages, world
) -> None:
    await comes(world.alice)
    for page in pages:
        assert (await nobody.get(page)).status_code in {303, 401}
        for browser, status in ((dana, 403), (charlie, 404)):
            answer = await browser.get(page)
            assert answer.status_code == status
            assert "Here now" not in answer.text
    assert (await bob.get(f"/boards/{world.garden.id}/presence")).status_code == 403


async def test_the_pages_of_a_board_tell_which_one_is_looked_at(alice, pages, world) -> None:
    for page in pages[:2]:
        [listens] = re.findall(r'<body hx-sse:connect="([^"]*)"', (await alice.get(page)).text)
        assert html.unescape(listens).endswith(f"&board={world.board.id}")
    assert "&amp;board=" not in (await alice.get("/boards")).text
