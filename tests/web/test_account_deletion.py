"""The page on which a user deletes their account."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import AuditRecord, Organization, SignIn, User
from tests.support.people_rows import make_member
from tests.support.world import World

PATH = "/settings/account"


async def test_a_member_deletes_their_account(
    bob, alice, transaction: TransactionFactory, world: World
) -> None:
    assert f'href="{PATH}"' in (await bob.get("/settings")).text
    page = (await bob.get(PATH)).text
    assert "Tern" in page
    assert "Deleted with everything in them" not in page
    gone = await bob.post(PATH, data={"confirmation": " BOB@example.com "})
    assert (gone.status_code, gone.headers["Location"]) == (303, "/account-deleted")
    assert "storage" in gone.headers["Clear-Site-Data"]
    assert "Your account was deleted." in (await bob.get("/account-deleted")).text
    assert (await bob.get("/boards")).headers["Location"].startswith("/sign-in")
    assert "bob@example.com" not in (await alice.get("/people")).text
    async with transaction() as session:
        assert await session.get(User, world.bob.id) is None
        query = select(AuditRecord.action).where(AuditRecord.action == "account.deleted")
        assert await session.scalar(query)


async def test_what_a_deleted_user_has_done_is_shown_as_theirs(
    bob, alice, transaction: TransactionFactory, world: World
) -> None:
    task = world.make_task("Paint the door")
    async with transaction() as session:
        session.add(task)
    path = f"/boards/{world.board.id}/tasks/{task.id}"
    await bob.post(f"{path}/changes", data={"title": "Paint the gate", "description": "Twice."})
    await bob.post(f"{path}/comments", data={"message": "Blue is best."})
    await bob.post(f"/boards/{world.board.id}/chat", data={"content": "Hello all"})
    await bob.post(PATH, data={"confirmation": "bob@example.com"})
    for page in (path, f"{path}/descriptions", f"/boards/{world.board.id}/chat", "/activity"):
        content = (await alice.get(page)).text
        assert "Deleted user" in content, page
        assert "Somebody" not in content, page
    assert (await alice.get(path)).text.count("Deleted user") >= 2


@pytest.mark.parametrize("typed", ["", "Bob", "alice@example.com", "a\0b"])
async def test_another_text_deletes_nothing(
    bob, transaction: TransactionFactory, world: World, typed: str
) -> None:
    page = await bob.post(PATH, data={"confirmation": typed})
    assert page.status_code == 422
    assert 'aria-invalid="true"' in page.text
    async with transaction() as session:
        assert await session.get(User, world.bob.id) is not None


async def test_the_only_owner_learns_what_to_do_first(
    alice, charlie, transaction: TransactionFactory, world: World
) -> None:
    page = (await alice.get(PATH)).text
    assert "You are the only owner" in page
    assert 'name="confirmation"' not in page
    refused = await alice.post(PATH, data={"confirmation": "alice@example.com"})
    assert refused.status_code == 409
    assert "You are the only owner" in refused.text
    async with transaction() as session:
        assert await session.get(User, world.alice.id) is not None


async def test_organizations_without_other_members_are_deleted(
    charlie, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        tern, user = await session.merge(world.tern), await session.merge(world.charlie)
        session.add(make_member(tern, user))
    page = (await charlie.get(PATH)).text
    assert page.index("Deleted with everything in them") < page.index(
        "Organizations that you leave"
    )
    assert "Has boards" in page
    assert (
        await charlie.post(PATH, data={"confirmation": "charlie@example.com"})
    ).status_code == 303
    async with transaction() as session:
        assert (await session.scalars(select(Organization.name))).all() == ["Tern"]


async def test_it_needs_a_recent_sign_in(
    bob, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        earlier = now() - timedelta(minutes=16)
        await session.execute(update(SignIn).values(authenticated_at=earlier))
    headers = {"Referer": f"http://mission.test{PATH}"}
    refused = await bob.post(PATH, data={"confirmation": "bob@example.com"}, headers=headers)
    assert refused.headers["Location"] == f"/sign-in/again?next={PATH}"
    async with transaction() as session:
        assert await session.get(User, world.bob.id) is not None
