"""The page of the organization: name, other organizations, leaving, and deletion."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import AuditRecord, Invite, Member, Organization, Role, SignIn, new_id
from services import organizations
from services.organizations import InviteCreate
from tests.support.people_rows import make_member
from tests.support.statement_counter import count_all_statements
from tests.support.world import World

ABOUT = "/organization/about"


@pytest.fixture
async def two_owners(transaction: TransactionFactory, world: World) -> None:
    """Dana owns Tern, too."""
    async with transaction() as session:
        dana = update(Member).where(Member.id == world.dana_member.id)
        await session.execute(dana.values(role=Role.OWNER))


async def names_of(transaction: TransactionFactory) -> set[str]:
    async with transaction() as session:
        return set((await session.scalars(select(Organization.name))).all())


async def test_the_settings_lead_to_the_organization(alice) -> None:
    sections = (await alice.get("/settings")).text.split('class="split__nav"')[1].split("</nav>")[0]
    assert f'<a href="{ABOUT}">Organization</a>' in sections


async def test_an_admin_renames_the_organization(dana, transaction: TransactionFactory) -> None:
    saved = await dana.post(ABOUT, data={"name": "Tern & Co"})
    address = saved.headers["Location"]
    assert re.fullmatch(rf"{ABOUT}\?saved=\d\d%3A\d\d", address)  # the beginning of the page
    page = (await dana.get(address)).text
    assert 'value="Tern &amp; Co"' in page
    assert "Saved " in page
    # beside a form that is filled in again, whose content is not saved
    assert "Saved " not in (await dana.get(f"{address}&kept={new_id()}")).text
    assert await names_of(transaction) == {"Tern & Co", "Plover"}


@pytest.mark.parametrize("path", [ABOUT, "/organizations"])
@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\0b"])
async def test_an_organization_needs_a_name(alice, path, name, transaction) -> None:
    page = await alice.post(path, data={"name": name})
    assert page.status_code == 422
    assert 'aria-invalid="true"' in page.text
    assert await names_of(transaction) == {"Tern", "Plover"}


async def test_tabs_have_the_counts_of_their_lists(alice, bob, charlie) -> None:
    async def read_counts(browser, path: str) -> list[str]:
        return re.findall(r'id="count-\w+">(\d+)', (await browser.get(path)).text)

    people, *_ = await read_counts(alice, "/people")
    await alice.post("/tags", data={"name": "Tar", "color": "2f6f6a"})
    for path in ("/people", "/tags", "/fields", "/webhooks", ABOUT):
        assert await read_counts(alice, path) == [people, "1", "0", "0"], path
    for path in ("/people", "/tags", ABOUT):
        assert await read_counts(bob, path) == [people, "1"], path
    assert (await read_counts(charlie, "/tags"))[1] == "0"
    part = (await alice.get("/tags", headers={"HX-Request": "true"})).text
    assert re.search(r'id="count-tags" hx-swap-oob="outerMorph">1<', part)


@pytest.mark.parametrize("path", ["/people", "/tags", ABOUT, "/activity", "/approvals"])
async def test_counts_of_tabs_need_no_statement_for_each_row(alice, world, path: str) -> None:
    async def count_statements_of_page() -> int:
        with count_all_statements() as statements:
            await alice.get(path)
        return len(statements)

    await alice.post(f"/boards/{world.board.id}/tasks", data={"title": "First"})
    await alice.post("/tags", data={"name": "First", "color": "2f6f6a"})
    await alice.get(path)
    few = await count_statements_of_page()
    for number in range(4):
        await alice.post(f"/boards/{world.board.id}/tasks", data={"title": f"Task {number}"})
        await alice.post("/tags", data={"name": f"Tag {number}", "color": "2f6f6a"})
    assert await count_statements_of_page() == few


async def test_only_admins_rename_and_only_owners_delete(bob, dana, transaction) -> None:
    page = (await bob.get(ABOUT)).text
    assert "Only an owner or an admin can change it." in page
    assert "Delete organization" not in page
    assert (await bob.post(ABOUT, data={"name": "Mine"})).status_code == 403
    assert "Delete organization" not in (await dana.get(ABOUT)).text
    assert await names_of(transaction) == {"Tern", "Plover"}


async def test_another_organization_is_created_and_opened(rita, transaction) -> None:
    taken = await rita.post("/organizations", data={"name": " tern "})
    assert taken.status_code == 409
    assert "You already belong to an organization of this name." in taken.text
    created = await rita.post("/organizations", data={"name": "Heron"})
    assert created.headers["Location"] == "/welcome"
    assert "Step 2 of 4" in (await rita.get("/welcome")).text
    page = (await rita.get(ABOUT)).text
    assert 'aria-label="Switch to Tern"' in page
    assert "alice@example.com" not in (await rita.get("/people")).text


async def test_a_member_leaves(bob, transaction: TransactionFactory, world: World) -> None:
    left = await bob.post("/people/departures")
    assert left.headers["Location"] == "/"
    assert (await bob.get("/boards")).headers["Location"] == "/welcome"
    async with transaction() as session:
        assert await session.get(Member, world.bob_member.id) is None
        query = select(AuditRecord).where(AuditRecord.action == "member.removed")
        [record] = (await session.scalars(query)).all()
    assert (record.actor_id, record.object_id) == (world.bob.id, str(world.bob.id))


async def test_who_leaves_works_in_another_organization(
    bob, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        plover, user = await session.merge(world.plover), await session.merge(world.bob)
        session.add(make_member(plover, user))
    await bob.post("/people/departures")
    assert "Plover" in (await bob.get(ABOUT)).text


async def test_the_only_owner_cannot_leave(alice, charlie, world: World) -> None:
    assert "You are the only owner." in (await alice.get(ABOUT)).text
    refused = await alice.post("/people/departures")
    assert refused.status_code == 409
    assert "Make somebody else an owner first." in refused.text
    assert "You are the only member." in (await charlie.get(ABOUT)).text


async def test_an_owner_leaves_with_a_recent_sign_in(
    alice, two_owners, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        earlier = now() - timedelta(minutes=16)
        await session.execute(update(SignIn).values(authenticated_at=earlier))
    refused = await alice.post("/people/departures")
    assert refused.headers["Location"].startswith("/sign-in/again")
    async with transaction() as session:
        await session.execute(update(SignIn).values(authenticated_at=now()))
    assert (await alice.post("/people/departures")).headers["Location"] == "/"


async def test_an_owner_decides_that_only_owners_appoint_admins(
    alice, dana, bob, charlie, transaction: TransactionFactory, world: World
) -> None:
    path, on = "/organization/admin-appointments", {"only_owners": "true"}
    async with transaction() as session:
        made = (
            InviteCreate(invited_email=f"{role}@example.com", role=role)
            for role in (Role.ADMIN, Role.MEMBER)
        )
        for draft in made:
            await organizations.create_invite(session, world.dana_member, draft)
    assert "Owners and admins appoint admins." in (await dana.get(ABOUT)).text
    for browser in (dana, bob):
        assert (await browser.post(path, data=on)).status_code == 403
    await charlie.post(path, data=on)  # changes the own organization
    async with transaction() as session:
        await session.execute(update(SignIn).values(authenticated_at=now() - timedelta(minutes=16)))
    refused = await alice.post(path, data=on)
    assert refused.headers["Location"].startswith("/sign-in/again")
    async with transaction() as session:
        await session.execute(update(SignIn).values(authenticated_at=now()))
        assert not (await session.get_one(Organization, world.tern.id)).only_owners_appoint_admins
    saved = await alice.post(path, data=on)
    assert saved.headers["Location"].endswith("#admins")
    assert re.search(r'name="only_owners" value="true" checked', (await alice.get(ABOUT)).text)
    assert "Only owners appoint admins." in (await dana.get(ABOUT)).text
    async with transaction() as session:
        assert set(await session.scalars(select(Invite.invited_email))) == {"member@example.com"}
        query = select(AuditRecord).where(AuditRecord.action == "organization.rules_updated")
        records = {one.organization_id: one for one in await session.scalars(query)}
    change = {"only_owners_appoint_admins": True}
    assert (records[world.tern.id].actor_name, records[world.tern.id].after) == ("Alice", change)

    member, admin = f"/people/{world.bob_member.id}", f"/people/{world.dana_member.id}"
    for browser, page, offered in (
        (alice, member, True),
        (dana, member, False),
        (dana, admin, True),  # the current role
        (dana, "/people/invites/new", False),
    ):
        text = (await browser.get(page)).text
        assert ('<option value="admin"' in text) is offered
        assert ("Only owners appoint admins." in text) is not offered
    refused = await dana.post(f"{member}/roles", data={"role": "admin"})
    assert refused.status_code == 403
    assert "In this organization only owners appoint admins." in refused.text
    assert (await alice.post(f"{member}/roles", data={"role": "admin"})).status_code == 303
    await alice.post(path, data={})
    assert "Owners and admins appoint admins." in (await dana.get(ABOUT)).text


async def test_the_page_says_what_is_deleted(alice, transaction, world: World) -> None:
    async with transaction() as session:
        session.add(await session.merge(world.make_task()))
    page = (await alice.get(ABOUT)).text
    for text in ("2 boards, 1 task", "4 agents", "4 memberships"):
        assert text in page
    wrong = await alice.post("/people/deletions", data={"organization_name": "tern"})
    assert wrong.status_code == 422
    assert 'value="tern"' in wrong.text
    assert await names_of(transaction) == {"Tern", "Plover"}
