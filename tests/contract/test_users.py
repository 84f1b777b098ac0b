"""The contract's checklist (people-and-boards 7), 33: people, and how they leave for good."""

import pytest
from sqlalchemy import select, update

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
from tests.api.conftest import Caller, Client
from tests.conftest import Transaction
from tests.filling import belonging_to, fill, rows_in
from tests.world import World, a_user, an_api_token

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


async def make_owner(transaction: Transaction, member: Member) -> None:
    async with transaction() as session:
        await session.execute(update(Member).where(Member.id == member.id).values(role=Role.OWNER))


async def test_a_person_reads_all_of_themselves(bob: Client, world: World) -> None:
    """3.1 and 3.2."""
    me = (await bob.get(ME)).json()
    assert set(me) == READ
    assert (me["id"], me["is_super_admin"]) == (str(world.bob.id), False)
    assert (await bob.post("/auth/bootstrap")).json() == me


@pytest.mark.parametrize("field", ["name", "preferred_name", "pronouns", "timezone"])
async def test_what_one_says_of_oneself_may_be_anything_short_or_nothing(
    bob: Client, world: World, field: str
) -> None:
    """3.2."""
    assert (await bob.patch(ME, json={field: "nonsense"})).json()[field] == "nonsense"
    assert (await bob.patch(ME, json={field: None})).json()[field] is None
    for bad in ("x" * 201, 5, ["x"], "NUL \0"):
        assert (await bob.patch(ME, json={field: bad})).status_code == 422
    assert (await bob.patch(ME, json={"email": "x@y.z"})).json()["email"] == "bob@example.com"


async def test_who_leaves_is_gone_with_sign_ins_tokens_and_memberships(
    bob: Client, alice: Client, transaction: Transaction, world: World
) -> None:
    """Point 33. C1, fixed."""
    key = {"Idempotency-Key": "once"}
    await bob.post("/organizations/invites/accept", json={"token": "none"}, headers=key)
    await bob.post("/auth/bootstrap", headers=key)
    assert (await bob.delete(ME)).json() == {"ok": True}
    assert (await bob.get(ME)).status_code == 401
    async with transaction() as session:
        rows = await rows_in(session)
    for name in belonging_to("users") | {"users", "idempotency_keys"}:
        assert not [row for row in rows[name] if str(world.bob.id) in row], name
    listed = (await alice.get("/organizations/me/members")).json()
    assert [one["user"]["name"] for one in listed["items"]] == ["Alice", "Dana", "Rita"]


async def test_what_one_did_stays_without_ones_name(
    bob: Client, alice: Client, transaction: Transaction, world: World
) -> None:
    """3.2: names become null, in every table that there is."""
    board = f"/boards/{world.board.id}"
    task = (await bob.post(f"{board}/tasks", json={"title": "Write"})).json()
    said = await bob.post(f"{board}/tasks/{task['id']}/comments", json={"message": "Half done"})
    assert said.json()["author_name"] == "Bob"
    await alice.patch(f"/organizations/me/members/{world.bobs.id}", json={"role": "admin"})
    async with transaction() as session:
        await fill(session, await session.get_one(Member, world.bobs.id))
        await session.execute(update(Note).values(user_id=world.bob.id, source="Bob"))

    assert (await bob.delete(ME)).status_code == 200

    [comment] = (await alice.get(f"{board}/tasks/{task['id']}/comments")).json()["items"]
    assert (comment["message"], comment["author_name"]) == ("Half done", None)
    async with transaction() as session:
        kept = await session.get_one(Task, task["id"])
        assert kept.created_by_user_id is None
        assert (await session.scalars(select(Comment.user_id))).all() == [None, None]
        assert (await session.scalars(select(Approval.decided_by_user_id))).all() == [None]
        rows = await rows_in(session)
    for name, there in rows.items():
        assert not [row for row in there if "Bob" in row or "bob@example.com" in row], name


async def test_who_came_by_invitation_leaves_no_address_behind(
    alice: Client, calling: Caller, transaction: Transaction, world: World
) -> None:
    """3.2: nor in what is told of invitations."""
    nora = a_user("Nora")
    async with transaction() as session:
        session.add_all([nora, an_api_token(nora)])
    body = {"invited_email": "nora@example.com"}
    token = (await alice.post("/organizations/me/invites", json=body)).json()["token"]
    client = calling(nora)
    await client.post("/organizations/invites/accept", json={"token": token})
    assert (await client.delete(ME)).status_code == 200
    async with transaction() as session:
        rows = await rows_in(session)
        told = (await session.scalars(select(Event).order_by(Event.seq))).all()
    assert not [row for there in rows.values() for row in there if "nora" in row.lower()]
    assert [one.type for one in told] == ["invite.created", "member.joined", "member.removed"]
    assert {one.data.get("user_id") for one in told[1:]} == {str(nora.id)}


async def test_organizations_in_which_nobody_else_is_go_too(
    bob: Client, transaction: Transaction, world: World
) -> None:
    """Point 33. C1, fixed: with everything in them."""
    mine = (await bob.post("/organizations", json={"name": "Bob's"})).json()
    async with transaction() as session:
        own = select(Member).where(Member.organization_id == mine["id"])
        await fill(session, (await session.scalars(own)).one())
    assert (await bob.delete(ME)).status_code == 200
    async with transaction() as session:
        names = (await session.scalars(select(Organization.name).order_by("name"))).all()
        rows = await rows_in(session)
    assert names == ["Plover", "Tern"]
    for name, there in rows.items():
        assert not [row for row in there if mine["id"] in row], name


async def test_an_organization_with_others_in_it_is_not_left_without_an_owner(
    alice: Client, transaction: Transaction, world: World
) -> None:
    """C25, fixed."""
    await alice.post("/organizations", json={"name": "Alone"})
    async with transaction() as session:
        before = await rows_in(session)
    refused = await alice.delete(ME)
    assert (refused.status_code, refused.json()["code"]) == (409, "last_owner")
    assert "Tern" in refused.json()["detail"]
    assert "Alone" not in refused.json()["detail"]
    async with transaction() as session:
        assert await rows_in(session) == before
    await make_owner(transaction, world.danas)
    assert (await alice.delete(ME)).status_code == 200


async def test_the_last_one_in_an_organization_takes_it_along(
    charlie: Client, charlies_worker: Client, transaction: Transaction, world: World
) -> None:
    """3.2: and its agents are nobody from then on."""
    assert (await charlie.delete(ME)).status_code == 200
    assert (await charlies_worker.get("/agent/healthz")).status_code == 401
    async with transaction() as session:
        assert (await session.scalars(select(Organization.name))).all() == ["Tern"]


@pytest.fixture
def charlies_worker(calling: Caller, world: World) -> Client:
    return calling(world.charlies_worker)


async def test_the_first_user_of_local_mode_is_made_anew_when_the_token_is_next_used(
    local: Caller, transaction: Transaction, world: World
) -> None:
    """3.2."""
    client = local(None)
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


async def test_once_nobody_is_left_a_first_owner_may_come_in_again(
    transaction: Transaction, calling: Caller
) -> None:
    """Without, nobody could ever."""
    kept = await identity.hashed("ten letters or more", "password")
    async with transaction() as session:
        secret = await identity.first_run_link(session)
        assert secret
        owner = await identity.complete_first_run(
            session, secret, name="Olive", email="olive@example.com", password_hash=kept
        )
        other = a_user("Oscar", password_hash=kept)
        session.add_all([an_api_token(owner), other, an_api_token(other)])
    assert (await calling(owner).delete(ME)).status_code == 200
    async with transaction() as session:
        assert await identity.first_run_link(session) is None
    assert (await calling(other).delete(ME)).status_code == 200
    async with transaction() as session:
        assert await identity.first_run_link(session) is not None


async def test_agents_delete_no_account(worker: Client, world: World) -> None:
    """1.10."""
    assert (await worker.delete(ME)).status_code == 401
