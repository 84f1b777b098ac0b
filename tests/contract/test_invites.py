"""The contract's checklist (people-and-boards 7), 29 and 32: invitations."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from core.security.secrets import hash_token
from models import Event, Invite, Member, Organization, Role, User, new_id
from services import organizations
from services.organizations import InviteCreate
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.people_rows import make_api_token, make_user
from tests.support.world import World

INVITES = "/organizations/me/invites"
ACCEPT = "/organizations/invites/accept"
NORAS = {"invited_email": " Nora@Example.com "}


async def create_user(transaction: TransactionFactory, name: str, **fields: object) -> User:
    """Create a user without memberships."""
    user = make_user(name)
    for field, value in fields.items():
        setattr(user, field, value)
    async with transaction() as session:
        session.add_all([user, make_api_token(user)])
    return user


@pytest.fixture
async def nora(transaction: TransactionFactory, world: World, client_for: ClientFactory) -> Client:
    """A user without memberships, whose address is not verified."""
    return client_for(await create_user(transaction, "Nora"))


async def test_an_invitation_shows_its_token_once(
    dana: Client, transaction: TransactionFactory, world: World
) -> None:
    """S9, fixed."""
    created = (await dana.post(INVITES, json=NORAS)).json()
    assert created["invited_email"] == "nora@example.com"
    assert (created["role"], created["all_boards_read"], created["all_boards_write"]) == (
        "member",
        False,
        False,
    )
    assert created["created_by_user_id"] == str(world.dana.id)
    assert created["accepted_at"] is created["accepted_by_user_id"] is None
    [listed] = (await dana.get(INVITES)).json()["items"]
    assert listed == created | {"token": None}
    async with transaction() as session:
        [row] = (await session.scalars(select(Invite))).all()
        [reported] = (await session.scalars(select(Event))).all()
    assert row.token_hash == hash_token(created["token"])
    assert timedelta(days=13, hours=23) < row.expires_at - now() < timedelta(days=14)
    assert (reported.type, reported.data["email"]) == ("invite.created", "nora@example.com")
    assert created["token"] not in str(reported.data)


async def test_pending_invitations_are_listed_newest_first(alice: Client, world: World) -> None:
    """3.3."""
    for name in ("one", "two", "three"):
        await alice.post(INVITES, json={"invited_email": f"{name}@example.com"})
    page = (await alice.get(INVITES, params={"limit": 2})).json()
    names = [one["invited_email"].partition("@")[0] for one in page["items"]]
    assert (names, page["total"]) == (["three", "two"], 3)


async def test_inviting_again_replaces_the_invitation(
    alice: Client, nora: Client, world: World
) -> None:
    """S9, fixed: there is one open invitation for an address."""
    first = (await alice.post(INVITES, json=NORAS)).json()
    again = (await alice.post(INVITES, json={**NORAS, "all_boards_read": True})).json()
    assert again["token"] != first["token"]
    page = (await alice.get(INVITES)).json()
    assert [one["id"] for one in page["items"]] == [again["id"]]
    assert (await nora.post(ACCEPT, json={"token": first["token"]})).status_code == 404
    member = (await nora.post(ACCEPT, json={"token": again["token"]})).json()
    assert member["all_boards_read"] is True


async def test_invitations_grant_no_role_above_the_inviters(
    dana: Client,
    alice: Client,
    bob: Client,
    charlie: Client,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """S6, fixed."""
    assert (await dana.post(INVITES, json={**NORAS, "role": "owner"})).status_code == 403
    assert (await bob.post(INVITES, json=NORAS)).status_code == 403
    assert (await bob.get(INVITES)).status_code == 403
    by_token = await alice.post(INVITES, json={**NORAS, "role": "owner"})
    assert (by_token.status_code, by_token.json()["code"]) == (403, "recent_sign_in_required")
    async with transaction() as session:
        draft = InviteCreate(invited_email=NORAS["invited_email"], role=Role.OWNER)
        made, _ = await organizations.create_invite(
            session, world.alice_member, draft, signed_in_at=now()
        )
    created = {"id": str(made.id)}
    assert (await dana.post(INVITES, json=NORAS)).status_code == 403
    for client, status in ((dana, 403), (bob, 403), (charlie, 404)):
        assert (await client.delete(f"{INVITES}/{created['id']}")).status_code == status
    assert (await charlie.get(INVITES)).json()["items"] == []
    assert (await alice.get(INVITES)).json()["total"] == 1


async def test_an_invitation_ends_with_the_rights_of_its_creator(
    dana: Client, nora: Client, transaction: TransactionFactory, world: World
) -> None:
    created = (await dana.post(INVITES, json=NORAS)).json()
    async with transaction() as session:
        demoted = update(Member).where(Member.id == world.dana_member.id)
        await session.execute(demoted.values(role=Role.MEMBER))
    refused = await nora.post(ACCEPT, json={"token": created["token"]})
    assert (refused.status_code, refused.json()["code"]) == (404, "invite_not_found")
    assert "may not invite you any more" in refused.json()["detail"]


async def test_a_demoted_or_removed_member_leaves_no_invitations(
    dana: Client, transaction: TransactionFactory, world: World
) -> None:
    for change in (
        lambda session, locked: organizations.change_member_role(session, locked, Role.MEMBER),
        organizations.remove_member,
    ):
        async with transaction() as session:
            admin = update(Member).where(Member.id == world.dana_member.id)
            await session.execute(admin.values(role=Role.ADMIN))
        assert (await dana.post(INVITES, json=NORAS)).status_code == 200
        async with transaction() as session:
            locked = await organizations.lock_member(
                session, world.alice_member, world.dana_member.id
            )
            await change(session, locked)
            assert await session.scalar(select(Invite)) is None


async def test_where_only_owners_appoint_admins_no_admin_invites_one(
    alice: Client, dana: Client, nora: Client, transaction: TransactionFactory, world: World
) -> None:
    """Open invitations of admins by admins end, and those of owners stay."""
    admin, member = {**NORAS, "role": "admin"}, {**NORAS, "role": "member"}
    old = (await dana.post(INVITES, json=admin)).json()
    async with transaction() as session:
        rule = update(Organization).where(Organization.id == world.tern.id)
        await session.execute(rule.values(only_owners_appoint_admins=True))
    refused = await nora.post(ACCEPT, json={"token": old["token"]})
    assert (refused.status_code, refused.json()["code"]) == (404, "invite_not_found")
    for path, body in ((INVITES, admin), (f"{INVITES}/{old['id']}/links", None)):
        refused = await dana.post(path, json=body)
        code = (refused.status_code, refused.json()["code"])
        assert code == (403, "only_owners_appoint_admins")
    promotion = await dana.patch(
        f"/organizations/me/members/{world.bob_member.id}", json={"role": "admin"}
    )
    assert (promotion.status_code, promotion.json()["code"]) == (403, "only_owners_appoint_admins")
    assert (await dana.post(INVITES, json=member)).status_code == 200
    by_owner = (await alice.post(INVITES, json=admin)).json()
    async with transaction() as session:
        await organizations.set_only_owners_appoint_admins(
            session, world.alice_member, False, signed_in_at=now()
        )
        await organizations.set_only_owners_appoint_admins(
            session, world.alice_member, True, signed_in_at=now()
        )
    accepted = await nora.post(ACCEPT, json={"token": by_owner["token"]})
    assert (accepted.status_code, accepted.json()["role"]) == (200, "admin")


async def test_the_link_of_an_invitation_can_be_shown_again(
    alice: Client, bob: Client, charlie: Client, anonymous: Client
) -> None:
    """A new token replaces the old one; role and rights stay."""
    body = {**NORAS, "role": "member", "all_boards_read": True}
    old = (await alice.post(INVITES, json=body)).json()
    path = f"{INVITES}/{old['id']}/links"
    for client, status in ((anonymous, 401), (bob, 403), (charlie, 404)):
        assert (await client.post(path)).status_code == status
    new = (await alice.post(path)).json()
    kept = ("invited_email", "role", "all_boards_read", "all_boards_write", "organization_id")
    assert [new[name] for name in kept] == [old[name] for name in kept]
    assert new["token"] not in (None, old["token"])
    assert [one["id"] for one in (await alice.get(INVITES)).json()["items"]] == [new["id"]]
    assert (await alice.post(path)).status_code == 404


async def test_existing_members_cannot_be_invited(alice: Client, world: World) -> None:
    """3.3."""
    for email in ("BOB@example.com", "alice@example.com"):
        rejected = await alice.post(INVITES, json={"invited_email": email})
        assert (rejected.status_code, rejected.json()["code"]) == (409, "already_member")
    stranger = await alice.post(INVITES, json={"invited_email": "charlie@example.com"})
    assert stranger.status_code == 200


@pytest.mark.parametrize("email", ["", "   ", "nobody", "a@b@c", "a b@c.d", None, 5, "x" * 300])
async def test_an_invitation_requires_a_valid_address(
    alice: Client, world: World, email: object
) -> None:
    """3.3."""
    rejected = await alice.post(INVITES, json={"invited_email": email})
    assert rejected.status_code == 422
    assert rejected.json()["detail"][0]["loc"] == ["body", "invited_email"]


async def test_an_invitation_names_each_board_of_the_organization_once(
    alice: Client, world: World
) -> None:
    """3.3; C15, fixed."""
    foreign = [{"board_id": str(world.charlies_board.id)}]
    rejected = await alice.post(INVITES, json={**NORAS, "board_access": foreign})
    assert rejected.status_code == 422
    assert rejected.json()["detail"]["invalid_board_ids"] == [str(world.charlies_board.id)]
    twice = [{"board_id": str(world.board.id)}] * 2
    rejected = await alice.post(INVITES, json={**NORAS, "board_access": twice})
    assert rejected.status_code == 422
    assert (await alice.post(INVITES, json={**NORAS, "role": "king"})).status_code == 422
    assert (await alice.get(INVITES)).json()["total"] == 0


async def test_a_revoked_invitation_is_invalid(
    dana: Client, nora: Client, transaction: TransactionFactory, world: World
) -> None:
    """3.3."""
    created = (await dana.post(INVITES, json=NORAS)).json()
    revoked = await dana.delete(f"{INVITES}/{created['id']}")
    assert revoked.json() == created | {"token": None}
    assert (await dana.delete(f"{INVITES}/{created['id']}")).status_code == 404
    assert (await dana.delete(f"{INVITES}/{new_id()}")).status_code == 404
    assert (await nora.post(ACCEPT, json={"token": created["token"]})).status_code == 404
    async with transaction() as session:
        reported = (await session.scalars(select(Event.type).order_by(Event.seq))).all()
    assert reported == ["invite.created", "invite.revoked"]
