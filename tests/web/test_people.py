"""The page with the members of an organization, and invitations."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from core.security.secrets import hash_password
from models import AuditRecord, Invite, Organization, SignIn, User, new_id
from tests.support.one_time_links import open_link
from tests.support.people_rows import make_invite, make_member, make_user
from tests.support.world import World

PASSWORD = "ten letters or more"
RITA = {"invited_email": "new@example.com", "role": "member", "access": "read"}
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
ONCE = re.compile(r"/invite#mc_invite_[\w-]+")


async def test_an_admin_invites_a_user_by_link(alice, anonymous) -> None:
    made = await alice.post("/people/invites", data=RITA)
    assert (made.status_code, made.headers["Location"]) == (303, "/people")
    page = await alice.get("/people")
    assert page.headers["Cache-Control"] == "no-store"
    link = ONCE.search(page.text)
    assert link
    assert "<b>This link for <bdi>new@example.com</bdi> is shown once.</b>" in page.text

    page = await open_link(anonymous, "/invite", link[0])

    assert 'value="new@example.com"' in page.text
    shown = await alice.get("/people")
    assert "new@example.com" in shown.text
    assert not ONCE.search(shown.text)


async def test_the_dialog_shows_the_link_and_reloads_the_list(alice, anonymous) -> None:
    people = (await alice.get("/people")).text
    assert 'hx-get="/people/invites/new" hx-target="#invite-content"' in people
    form = (await alice.get("/people/invites/new", headers=HTMX)).text
    assert "<html" not in form
    assert 'data-opens="invite"' in form
    made = await alice.post("/people/invites", data=RITA, headers=HTMX)
    assert (made.status_code, made.headers["Cache-Control"]) == (200, "no-store")
    assert f'hx-trigger="{made.headers["HX-Trigger"]} from:body' in people
    assert "Create another" in made.text
    assert "<b>This link for <bdi>new@example.com</bdi> is shown once.</b>" in made.text
    link = ONCE.search(made.text)
    assert link
    assert 'value="new@example.com"' in (await open_link(anonymous, "/invite", link[0])).text
    assert not ONCE.search((await alice.get("/people")).text)


async def test_an_invite_for_too_many_boards_is_refused(alice) -> None:
    many = {"access": "none", "can_read": [str(new_id()) for _ in range(1_001)]}
    part = await alice.post("/people/invites", data=RITA | many, headers=HTMX)
    assert (part.status_code, "At most 1,000 values." in part.text) == (422, True)


async def test_errors_of_an_invite_are_shown_in_the_dialog(alice, bob, anonymous) -> None:
    for wrong, status in (
        ({"invited_email": "x"}, 422),
        ({"invited_email": "bob@example.com"}, 409),
    ):
        part = await alice.post("/people/invites", data=RITA | wrong, headers=HTMX)
        assert part.status_code == status
        assert "<html" not in part.text
        assert 'id="invite-content"' in part.text
        assert f'value="{wrong["invited_email"]}" aria-invalid="true"' in part.text
    assert (await bob.get("/people/invites/new", headers=HTMX)).status_code == 403
    assert (await bob.post("/people/invites", data=RITA, headers=HTMX)).status_code == 403
    assert 'id="invite"' not in (await bob.get("/people")).text
    refused = await anonymous.post("/people/invites", data=RITA, headers=HTMX)
    assert not ONCE.search(refused.text)


async def test_an_invite_can_be_limited_to_named_boards(alice, anonymous, world: World) -> None:
    wanted = RITA | {"access": "none", "can_write": str(world.board.id)}
    await alice.post("/people/invites", data=wanted)
    link = ONCE.search((await alice.get("/people")).text)
    assert link
    who = {"token": link[0].partition("#")[2], "name": "New", "password": "ten letters or more"}
    await anonymous.post("/invite", data=who)
    boards_page = (await anonymous.get("/boards")).text
    assert "Launch" in boards_page
    assert str(world.garden.id) not in boards_page


async def test_an_invite_is_revoked(alice, transaction: TransactionFactory, world: World) -> None:
    made = make_invite(world.tern, "new@example.com")
    async with transaction() as session:
        session.add(made)
    assert "1 pending invitation." in (await alice.get("/people")).text
    await alice.post(f"/people/invites/{made.id}/endings")
    assert "Revoked the invitation of" in (await alice.get("/people")).text
    assert "new@example.com" not in (await alice.get("/people")).text


async def test_a_member_is_removed(alice, bob, world: World) -> None:
    gone = await alice.post(f"/people/{world.bob_member.id}/endings")
    assert gone.headers["Location"] == "/people"
    assert (await bob.get("/boards")).headers["Location"] == "/welcome"


@pytest.mark.parametrize(
    "wrong",
    [
        {"invited_email": "no address"},
        {"invited_email": "bob@example.com"},
        {"role": "x"},
        {"access": "x"},
        {"access": "none"},
        {"access": "none", "can_read": "x"},
        {"access": "none", "can_write": str(new_id())},
    ],
)
async def test_field_errors_are_shown_beside_the_field(alice, wrong) -> None:
    page = await alice.post("/people/invites", data=RITA | wrong)
    assert page.status_code in (409, 422)
    assert 'aria-invalid="true"' in page.text
    assert not ONCE.search(page.text)


async def test_an_admin_cannot_invite_owners(dana) -> None:
    assert 'value="owner"' not in (await dana.get("/people/invites/new")).text
    assert (await dana.post("/people/invites", data=RITA | {"role": "owner"})).status_code == 403


async def test_a_new_link_replaces_the_old_one_with_the_same_rights(
    alice, anonymous, transaction: TransactionFactory, world: World
) -> None:
    data = RITA | {"role": "admin", "access": "none", "can_read": str(world.board.id)}
    await alice.post("/people/invites", data=data)
    page = (await alice.get("/people")).text
    old = ONCE.search(page)
    async with transaction() as session:
        [invite] = (await session.scalars(select(Invite))).all()
    renewed = await alice.post(f"/people/invites/{invite.id}/links")
    assert renewed.headers["Location"] == "/people"
    page = (await alice.get("/people")).text
    new = ONCE.search(page)
    assert old
    assert new
    assert new[0] != old[0]
    assert "Can read Launch" in page
    assert "Invited by Alice" in page
    assert (await open_link(anonymous, "/invite", old[0])).status_code == 410
    assert "as an admin" in (await open_link(anonymous, "/invite", new[0])).text
    assert (await alice.post(f"/people/invites/{invite.id}/links")).status_code == 404


async def test_the_dialog_shows_a_new_link_of_an_invite(
    alice, bob, charlie, anonymous, transaction: TransactionFactory, world: World
) -> None:
    made = make_invite(world.tern, "new@example.com")
    async with transaction() as session:
        session.add(made)
    path = f"/people/invites/{made.id}/links"
    people = (await alice.get("/people")).text
    assert f'hx-post="{path}" hx-target="#invite-content"' in people
    for browser, status in ((bob, 403), (charlie, 404), (anonymous, 401)):
        refused = await browser.post(path, headers=HTMX)
        assert refused.status_code == status
        assert not ONCE.search(refused.text)

    renewed = await alice.post(path, headers=HTMX)

    assert (renewed.status_code, renewed.headers["Cache-Control"]) == (200, "no-store")
    assert f'hx-trigger="{renewed.headers["HX-Trigger"]} from:body' in people
    assert 'data-opens="invite"' in renewed.text
    link = ONCE.search(renewed.text)
    assert link
    assert 'value="new@example.com"' in (await open_link(anonymous, "/invite", link[0])).text
    assert not ONCE.search((await alice.get("/people")).text)
    gone = await alice.post(path, headers=HTMX)
    assert (gone.status_code, gone.headers["HX-Retarget"]) == (404, "#toasts")


async def test_members_see_who_else_belongs_to_the_organization(rita) -> None:
    page = (await rita.get("/people")).text
    assert "alice@example.com" in page
    for hidden in ("Invite", "Last active", "Can edit Launch"):
        assert hidden not in page


async def test_people_are_listed_page_by_page(
    alice, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        tern = await session.merge(world.tern)
        session.add_all(make_member(tern, make_user(f"Zoe{n}")) for n in range(47))
    assert "1 to 50 of 51" in (await alice.get("/people")).text
    later = (await alice.get("/people?offset=50")).text
    assert "51 to 51 of 51" in later
    assert "alice@example.com" not in later


async def test_old_and_other_addresses_lead_to_the_people(alice) -> None:
    assert (await alice.get("/organization")).headers["Location"] == "/people"


@pytest.fixture
async def long_ago(transaction: TransactionFactory, world: World) -> None:
    """Alice has signed in more than 15 minutes ago, with a password."""
    async with transaction() as session:
        user = await session.get_one(User, world.alice.id)
        user.password_hash = hash_password(PASSWORD)
        earlier = now() - timedelta(minutes=16)
        await session.execute(update(SignIn).values(authenticated_at=earlier))


async def test_an_operation_of_owners_needs_a_recent_sign_in(
    alice, long_ago, transaction: TransactionFactory, world: World
) -> None:
    page = {"Referer": "http://mission.test/people?x=1"}
    for path, data in (
        ("/people/invites", RITA | {"role": "owner"}),
        (f"/people/{world.bob_member.id}/roles", {"role": "owner"}),
        ("/people/deletions", {"organization_name": "Tern"}),
    ):
        refused = await alice.post(path, data=data, headers=page)
        assert refused.status_code == 303, path
        assert refused.headers["Location"] == "/sign-in/again?next=/people%3Fx%3D1"
    form = await alice.get("/sign-in/again?next=/people")
    assert "Sign in again." in form.text
    wrong = await alice.post("/sign-in/again", data={"next": "/people", "password": "wrong"})
    assert wrong.status_code == 401
    right = await alice.post("/sign-in/again", data={"next": "/people", "password": PASSWORD})
    assert (right.status_code, right.headers["Location"]) == (303, "/people")
    promoted = await alice.post(f"/people/{world.bob_member.id}/roles", data={"role": "owner"})
    assert promoted.headers["Location"].startswith(f"/people/{world.bob_member.id}?saved=")
    wrong = await alice.post("/people/deletions", data={"organization_name": "Other"})
    assert (wrong.status_code, "This is not the name" in wrong.text) == (422, True)
    gone = await alice.post("/people/deletions", data={"organization_name": "Tern"})
    assert (gone.status_code, gone.headers["Location"]) == (303, "/")
    async with transaction() as session:
        assert await session.get(Organization, world.tern.id) is None


async def test_signing_in_again_renews_the_session_and_records_failures(
    alice, long_ago, transaction: TransactionFactory, world: World
) -> None:
    before = alice.cookies["mission_control"]
    wrong = await alice.post("/sign-in/again", data={"next": "/people", "password": "wrong"})
    assert wrong.status_code == 401
    assert 'aria-invalid="true"' in wrong.text
    async with transaction() as session:
        query = select(AuditRecord).where(AuditRecord.action == "sign_in.failed")
        [failed] = (await session.scalars(query)).all()
    assert (failed.organization_id, failed.object_id) == (world.tern.id, str(world.alice.id))

    right = await alice.post("/sign-in/again", data={"next": "/people", "password": PASSWORD})
    for secret, status in ((before, 303), (right.cookies["mission_control"], 200)):
        alice.cookies.clear()
        alice.cookies.set("mission_control", secret)
        assert (await alice.get("/people")).status_code == status


async def test_who_may_change_roles_and_delete_on_the_page(
    anonymous, bob, charlie, dana, world: World
) -> None:
    role, deletion = f"/people/{world.rita_member.id}/roles", "/people/deletions"
    for browser, status in ((bob, 403), (charlie, 404), (anonymous, 303)):
        assert (await browser.post(role, data={"role": "admin"})).status_code == status
    assert (await dana.post(role, data={"role": "admin"})).status_code == 303
    for browser in (bob, dana):
        refused = await browser.post(deletion, data={"organization_name": "Tern"})
        assert refused.status_code == 403
    again = await anonymous.post("/sign-in/again", data={"password": "x"})
    assert again.headers["Location"] == "/sign-in"


async def test_only_admins_manage_their_organization(
    alice, bob, charlie, transaction: TransactionFactory, world: World
) -> None:
    made = make_invite(world.tern, "new@example.com")
    async with transaction() as session:
        session.add(made)
    assert (await bob.get("/people/invites/new")).status_code == 403
    assert "new@example.com" not in (await bob.get("/people")).text
    assert "bob@example.com" not in (await charlie.get("/people")).text
    for browser, status in ((bob, 403), (charlie, 404)):
        for path in (
            f"/people/invites/{made.id}/endings",
            f"/people/invites/{made.id}/links",
            f"/people/{world.rita_member.id}/endings",
        ):
            assert (await browser.post(path)).status_code == status
    assert (await bob.post("/people/invites", data=RITA)).status_code == 403
    shown = (await alice.get("/people")).text
    assert "new@example.com" in shown
    assert "rita@example.com" in shown
