"""After a removal the next page says what was removed, once."""

import re

import pytest
from sqlalchemy import text, update

from models import Agent, DesiredState, Organization
from services import boards, tasks
from tests.support.board_rows import make_task
from tests.support.people_rows import cookie_secret, make_member
from web.auth.viewer import SESSION_COOKIE
from web.ui.flash_cookies import NOTICE_COOKIE


def find_toasts(page: str) -> list[str]:
    return re.findall(r'data-toast><svg.*?</svg><span dir="auto">(.+?)</span>', page)


async def test_a_removed_member_is_named_once(alice, dana, world) -> None:
    removed = await alice.post(f"/people/{world.bob_member.id}/endings")
    assert removed.headers["Location"] == "/people"

    part = await alice.get("/people", headers={"HX-Request": "true"})
    assert find_toasts(part.text) == []
    page = await alice.get("/people")
    assert find_toasts(page.text) == ["Removed Bob from the organization"]
    assert page.headers["Cache-Control"] == "no-store"
    assert find_toasts((await alice.get("/people")).text) == []
    assert find_toasts((await dana.get("/people")).text) == []


async def test_a_removed_member_of_another_organization_is_told_once(
    alice, bob, charlie, world, transaction
) -> None:
    """The organization had another name when they were removed."""
    async with transaction() as session:
        await session.merge(make_member(world.plover, world.bob))
    await alice.post(f"/people/{world.bob_member.id}/endings")
    async with transaction() as session:
        renamed = update(Organization).where(Organization.id == world.tern.id)
        await session.execute(renamed.values(name="Gulls"))
    assert find_toasts((await bob.get("/rail", headers={"HX-Request": "true"})).text) == []
    rejected = await bob.get(f"/events?for={world.bob.id}.{world.tern.id}")
    assert rejected.status_code == 409
    assert (await bob.get("/favicon.ico", headers={"Sec-Fetch-Dest": "image"})).status_code == 404
    assert (await bob.head("/boards")).status_code == 200
    page = await bob.get("/boards", headers={"Sec-Fetch-Dest": "document"})
    assert find_toasts(page.text) == ["Alice removed you from Tern. Now you see Plover."]
    assert find_toasts((await bob.get("/boards")).text) == []
    assert find_toasts((await charlie.get("/boards")).text) == []


async def test_who_is_a_member_again_is_not_told_of_the_removal(
    alice, bob, world, transaction
) -> None:
    async with transaction() as session:
        await session.merge(make_member(world.plover, world.bob))
    await alice.post(f"/people/{world.bob_member.id}/endings")
    async with transaction() as session:
        await session.merge(make_member(world.tern, world.bob))
    assert find_toasts((await bob.get("/boards")).text) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),  # redirects to another page
        ("/boards/{board}", 404),
        ("/boards/{board}/tasks/{task}", 404),
        ("/agents/{agent}", 404),
        ("/unknown", 404),
    ],
)
async def test_an_error_page_or_a_redirect_does_not_lose_what_was_removed(
    alice, bob, world, transaction, path, status
) -> None:
    """Who is removed often reloads a page of the organization, or opens the home address."""
    task = make_task(world.board, "Old")
    async with transaction() as session:
        await session.merge(make_member(world.plover, world.bob))
        await session.merge(task)
    await alice.post(f"/people/{world.bob_member.id}/endings")
    address = path.format(board=world.board.id, task=task.id, agent=world.worker.id)
    page = await bob.get(address, follow_redirects=True)
    assert page.status_code == status
    assert find_toasts(page.text) == ["Alice removed you from Tern. Now you see Plover."]
    assert find_toasts((await bob.get(address, follow_redirects=True)).text) == []


async def test_a_page_that_fails_after_its_head_shows_the_notice(alice, world, transaction) -> None:
    task = world.make_task()
    async with transaction() as session:
        session.add(task)
        board = await boards.lock_board(session, world.worker, world.board.id)
        await tasks.create_comment(session, world.worker, board, task.id, "Said.")
        # the page fails when it stores that its comments were shown
        await session.execute(text("alter table read_markers add check (false) not valid"))
    await alice.post(f"/people/{world.bob_member.id}/endings")
    page = await alice.get(f"/boards/{world.board.id}")
    assert "Something went wrong on the server." in page.text
    assert find_toasts(page.text) == ["Removed Bob from the organization"]


async def test_who_leaves_an_organization_is_told_nothing_else(bob, world, transaction) -> None:
    async with transaction() as session:
        await session.merge(make_member(world.plover, world.bob))
    await bob.post("/people/departures")
    assert find_toasts((await bob.get("/boards")).text) == ["You have left Tern"]


async def test_a_notice_of_another_session_is_not_shown(alice, anonymous, world) -> None:
    removed = await alice.post(f"/people/{world.bob_member.id}/endings")
    for given in (removed.cookies[NOTICE_COOKIE], "You were fooled", b"\xff" * 4_000):
        value = given if isinstance(given, bytes) else given.encode()
        cookies = f"{SESSION_COOKIE}={cookie_secret(world.dana)}; {NOTICE_COOKIE}=".encode()
        page = await anonymous.get("/people", headers={"Cookie": cookies + value})
        assert (page.status_code, find_toasts(page.text)) == (200, [])


async def test_a_name_that_looks_like_html_is_escaped(alice, world, transaction) -> None:
    async with transaction() as session:
        board = await session.merge(world.garden)
        board.name = "<b>Garden</b>"
    form = {"confirmed_name": "<b>Garden</b>"}
    assert (await alice.post(f"/boards/{world.garden.id}/deletions", data=form)).status_code == 303
    assert find_toasts((await alice.get("/boards")).text) == ["Deleted “&lt;b&gt;Garden&lt;/b&gt;”"]


ON_GATEWAY = {"desired_state": DesiredState.RUNNING, "observed_generation": 1}


@pytest.mark.parametrize(
    ("fields", "form", "text"),
    [
        ({"is_linked": True}, {}, "Unlinked “Worker”"),
        (ON_GATEWAY, {}, "“Worker” is being deleted"),
        (ON_GATEWAY, {"force": "on"}, "Unlinked “Worker”"),
        ({"is_linked": False}, {"force": "on"}, "Deleted “Worker”"),
    ],
)
async def test_an_agent_that_continues_to_run_is_not_called_deleted(
    alice, gateway, world, transaction, fields, form, text
) -> None:
    async with transaction() as session:
        await session.execute(update(Agent).where(Agent.id == world.worker.id).values(**fields))
    await alice.post(f"/agents/{world.worker.id}/deletions", data=form)
    assert find_toasts((await alice.get("/agents")).text) == [text]
