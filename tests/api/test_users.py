"""The user's own account and organizations."""

from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import User
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.people_rows import make_api_token, make_user
from tests.support.world import World

PROFILE = {
    "name": "Alice Liddell",
    "preferred_name": "Al",
    "pronouns": "she/her",
    "timezone": "nonsense",
    "notes": "Likes cats.",
    "context": None,
}


async def test_a_user_reads_and_changes_the_own_profile(alice: Client) -> None:
    changed = await alice.patch("/users/me", json={**PROFILE, "email": "x@y.z", "id": 5})
    assert changed.status_code == 200
    me = (await alice.get("/users/me")).json()
    assert me == changed.json()
    assert me | PROFILE == me
    assert me["email"] == "alice@example.com"
    assert me["is_super_admin"] is False


async def test_changing_one_field_keeps_the_others(alice: Client) -> None:
    await alice.patch("/users/me", json=PROFILE)
    me = (await alice.patch("/users/me", json={"notes": None})).json()
    assert (me["notes"], me["name"]) == (None, "Alice Liddell")
    assert (await alice.patch("/users/me")).json() == me


async def test_agents_cannot_call_user_operations(worker: Client) -> None:
    for method, path in [("GET", "/users/me"), ("POST", "/auth/bootstrap")]:
        assert (await worker.request(method, path)).status_code == 401


async def test_bootstrap_needs_no_body_and_returns_the_user(alice: Client) -> None:
    assert (await alice.post("/auth/bootstrap")).json() == (await alice.get("/users/me")).json()


async def test_a_user_without_an_organization_gets_one(
    client_for: ClientFactory, transaction: TransactionFactory, world: World
) -> None:
    erin = make_user("Erin")
    async with transaction() as session:
        session.add_all([erin, make_api_token(erin)])
    client = client_for(erin)
    assert (await client.post("/auth/bootstrap")).json()["id"] == str(erin.id)
    [own] = (await client.get("/organizations/me/list")).json()
    assert (own["name"], own["role"], own["is_active"]) == ("Personal", "owner", True)
    member = (await client.get("/organizations/me/member")).json()
    assert member["all_boards_read"] is member["all_boards_write"] is True
    assert (await client.get("/boards")).json()["items"] == []


async def test_a_new_organization_is_owned_and_active(alice: Client, world: World) -> None:
    made = (await alice.post("/organizations", json={"name": "  Auk "})).json()
    assert made["name"] == "Auk"
    assert (await alice.get("/organizations/me")).json() == made
    listed = (await alice.get("/organizations/me/list")).json()
    assert [(one["name"], one["is_active"]) for one in listed] == [("Auk", True), ("Tern", False)]
    taken = await alice.post("/organizations", json={"name": "tern"})
    assert taken.status_code == 409

    back = {"organization_id": str(world.tern.id)}
    assert (await alice.patch("/organizations/me/active", json=back)).json()["name"] == "Tern"
    assert (await alice.get("/organizations/me")).json()["id"] == str(world.tern.id)


async def test_a_foreign_organization_cannot_be_activated(charlie: Client, world: World) -> None:
    wanted = {"organization_id": str(world.tern.id)}
    response = await charlie.patch("/organizations/me/active", json=wanted)
    assert response.status_code == 404
    assert (await charlie.get("/organizations/me")).json()["id"] == str(world.plover.id)


async def test_a_membership_contains_rights_on_single_boards(bob: Client, world: World) -> None:
    member = (await bob.get("/organizations/me/member")).json()
    assert member["role"] == "member"
    assert member["user"]["email"] == "bob@example.com"
    [access] = member["board_access"]
    assert access["board_id"] == str(world.board.id)
    assert (access["can_read"], access["can_write"]) == (True, True)


async def test_the_local_token_authenticates_the_first_user(
    transaction: TransactionFactory, world: World, local_client_for: ClientFactory
) -> None:
    client = local_client_for(None)
    me = (await client.get("/users/me")).json()
    assert me["clerk_user_id"] == "local-auth-user"
    assert (me["email"], me["name"]) == ("admin@home.local", "Local User")
    assert (await client.get("/organizations/me")).json()["name"] == "Personal"
    async with transaction() as session:
        assert await session.scalar(select(User).where(User.email == "admin@home.local"))
