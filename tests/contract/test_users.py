"""The contract's checklist (people-and-boards 7), 33: users and account deletion."""

import pytest
from sqlalchemy import select, update

from core.db.engine import TransactionFactory
from models import (
    Approval,
    Comment,
    Event,
    Member,
    Note,
    Organization,
    Role,
    Task,
)
from services import identity
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.credentials import delete_organization
from tests.support.people_rows import make_api_token, make_user
from tests.support.row_factory import fill_tables, find_owned_tables, read_all_rows
from tests.support.world import World

ME = "/users/me"
READ = {
    "id",
    "clerk_user_id",
    "email",
    "name",
    "preferred_name",
    "pronouns",
    "timezone",
    "notes",
    "context",
    "is_super_admin",
}


async def make_owner(transaction: TransactionFactory, member: Member) -> None:
    async with transaction() as session:
        await session.execute(update(Member).where(Member.id == member.id).values(role=Role.OWNER))


async def test_users_read_their_complete_profile(bob: Client, world: World) -> None:
    """3.1 and 3.2."""
    me = (await bob.get(ME)).json()
    assert set(me) == READ
    assert (me["id"], me["is_super_admin"]) == (str(world.bob.id), False)
    assert (await bob.post("/auth/bootstrap")).json() == me


@pytest.mark.parametrize("field", ["name", "preferred_name", "pronouns", "timezone"])
async def test_profile_fields_may_be_any_short_text_or_empty(
    bob: Client, world: World, field: str
) -> None:
    """3.2."""
    assert (await bob.patch(ME, json={field: "nonsense"})).json()[field] == "nonsense"
    assert (await bob.patch(ME, json={field: None})).json()[field] is None
    for bad in ("x" * 201, 5, ["x"], "NUL \0"):
        assert (await bob.patch(ME, json={field: bad})).status_code == 422
    assert (await bob.patch(ME, json={"email": "x@y.z"})).json()["email"] == "bob@example.com"


async def test_deletion_removes_sessions_tokens_and_memberships(
    bob: Client, alice: Client, transaction: TransactionFactory, world: World
) -> None:
    """Point 33. C1, fixed."""
    key = {"Idempotency-Key": "once"}
    await bob.post("/organizations/invites/accept", json={"token": "none"}, headers=key)
    await bob.post("/auth/bootstrap", headers=key)
    assert (await bob.delete(ME)).json() == {"ok": True}
    assert (await bob.get(ME)).status_code == 401
    async with transaction() as session:
        rows = await read_all_rows(session)
    for name in find_owned_tables("users") | {"users", "idempotency_keys"}:
        assert not [row for row in rows[name] if str(world.bob.id) in row], name
    listed = (await alice.get("/organizations/me/members")).json()
    assert [one["user"]["name"] for one in listed["items"]] == ["Alice", "Dana", "Rita"]


async def test_content_of_a_deleted_user_stays_without_the_name(
    bob: Client, alice: Client, transaction: TransactionFactory, world: World
) -> None:
    """3.2: names become null, in every table."""
    board = f"/boards/{world.board.id}"
    task = (await bob.post(f"{board}/tasks", json={"title": "Write"})).json()
    said = await bob.post(f"{board}/tasks/{task['id']}/comments", json={"message": "Half done"})
    assert said.json()["author_name"] == "Bob"
    await alice.patch(f"/organizations/me/members/{world.bob_member.id}", json={"role": "admin"})
    async with transaction() as session:
        await fill_tables(session, await session.get_one(Member, world.bob_member.id))
        await session.execute(update(Note).values(user_id=world.bob.id, source="Bob"))

    assert (await bob.delete(ME)).status_code == 200

    [comment] = (await alice.get(f"{board}/tasks/{task['id']}/comments")).json()["items"]
    assert (comment["message"], comment["author_name"]) == ("Half done", None)
    async with transaction() as session:
        stored = await session.get_one(Task, task["id"])
        assert stored.created_by_user_id is None
        assert (await session.scalars(select(Comment.user_id))).all() == [None, None]
        assert (await session.scalars(select(Approval.decided_by_user_id))).all() == [None]
        rows = await read_all_rows(session)
    for name, existing in rows.items():
        assert not [row for row in existing if "Bob" in row or "bob@example.com" in row], name


async def test_deletion_removes_the_address_of_an_invited_user(
    alice: Client, client_for: ClientFactory, transaction: TransactionFactory, world: World
) -> None:
    """3.2: also in the events about invitations."""
    nora = make_user("Nora")
    async with transaction() as session:
        session.add_all([nora, make_api_token(nora)])
    body = {"invited_email": "nora@example.com"}
    token = (await alice.post("/organizations/me/invites", json=body)).json()["token"]
    client = client_for(nora)
    await client.post("/organizations/invites/accept", json={"token": token})
    assert (await client.delete(ME)).status_code == 200
    async with transaction() as session:
        rows = await read_all_rows(session)
        reported = (await session.scalars(select(Event).order_by(Event.seq))).all()
    assert not [row for existing in rows.values() for row in existing if "nora" in row.lower()]
    assert [one.type for one in reported] == ["invite.created", "member.joined", "member.removed"]
    assert {one.data.get("user_id") for one in reported[1:]} == {str(nora.id)}


async def test_organizations_without_other_members_are_deleted(
    bob: Client, transaction: TransactionFactory, world: World
) -> None:
    """Point 33. C1, fixed: with everything in them."""
    mine = (await bob.post("/organizations", json={"name": "Bob's"})).json()
    async with transaction() as session:
        own = select(Member).where(Member.organization_id == mine["id"])
        await fill_tables(session, (await session.scalars(own)).one())
    by_token = await bob.delete(ME)
    assert (by_token.status_code, by_token.json()["code"]) == (403, "recent_sign_in_required")
    async with transaction() as session:
        await identity.delete_account(session, world.bob)
    async with transaction() as session:
        names = (await session.scalars(select(Organization.name).order_by("name"))).all()
        rows = await read_all_rows(session)
    assert names == ["Plover", "Tern"]
    for name, existing in rows.items():
        assert not [row for row in existing if mine["id"] in row], name


async def test_the_last_owner_of_others_organization_cannot_leave(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    """C25, fixed."""
    await alice.post("/organizations", json={"name": "Alone"})
    async with transaction() as session:
        before = await read_all_rows(session)
    rejected = await alice.delete(ME)
    assert (rejected.status_code, rejected.json()["code"]) == (409, "last_owner")
    assert "Tern" in rejected.json()["detail"]
    assert "Alone" not in rejected.json()["detail"]
    async with transaction() as session:
        assert await read_all_rows(session) == before
    await make_owner(transaction, world.dana_member)
    assert (await alice.delete(ME)).status_code == 200


async def test_the_last_member_deletes_the_organization_as_well(
    charlie: Client, charlies_worker: Client, transaction: TransactionFactory, world: World
) -> None:
    """3.2: its agents are unauthorized from then on."""
    await delete_organization(transaction, world.charlie)
    assert (await charlie.delete(ME)).status_code == 200
    assert (await charlies_worker.get("/agent/healthz")).status_code == 401
    async with transaction() as session:
        assert (await session.scalars(select(Organization.name))).all() == ["Tern"]


@pytest.fixture
def charlies_worker(client_for: ClientFactory, world: World) -> Client:
    return client_for(world.charlies_worker)


async def test_the_local_user_is_created_again_on_the_next_call(
    local_client_for: ClientFactory, transaction: TransactionFactory, world: World
) -> None:
    """3.2."""
    client = local_client_for(None)
    first = (await client.get(ME)).json()
    await client.patch(ME, json={"name": "Somebody", "notes": "A secret"})
    assert (await client.delete(ME)).json() == {"ok": True}
    again = (await client.get(ME)).json()
    assert again["id"] != first["id"]
    assert (again["clerk_user_id"], again["name"], again["notes"]) == (
        "local-auth-user",
        "Local User",
        None,
    )


async def test_without_any_user_the_first_run_opens_again(
    transaction: TransactionFactory, client_for: ClientFactory
) -> None:
    """Otherwise nobody could sign in any more."""
    stored = await identity.hash_new_password("ten letters or more", "password")
    async with transaction() as session:
        secret = await identity.create_first_run_link(session)
        assert secret
        owner = await identity.complete_first_run(
            session,
            secret,
            identity.FirstOwnerCreate(name="Olive", email="olive@example.com"),
            password_hash=stored,
        )
        other = make_user("Oscar", password_hash=stored)
        session.add_all([make_api_token(owner), other, make_api_token(other)])
    assert (await client_for(owner).delete(ME)).status_code == 200
    async with transaction() as session:
        assert await identity.create_first_run_link(session) is None
    assert (await client_for(other).delete(ME)).status_code == 200
    async with transaction() as session:
        assert await identity.create_first_run_link(session) is not None


async def test_agents_cannot_delete_accounts(worker: Client, world: World) -> None:
    """1.10."""
    assert (await worker.delete(ME)).status_code == 401
