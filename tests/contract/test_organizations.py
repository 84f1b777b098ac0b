"""The contract's checklist (people-and-boards 7), 29 and 33: organizations and their deletion."""

import pytest
from sqlalchemy import select, update
from starlette.types import ASGIApp

from core.db.engine import TransactionFactory
from models import Base, Member, Organization, Role, User
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.credentials import delete_organization
from tests.support.people_rows import make_api_token, make_member, make_user
from tests.support.row_factory import UNOWNED_TABLES, fill_tables, find_owned_tables, read_all_rows
from tests.support.stream_client import open_stream
from tests.support.world import World

MINE = "/organizations/me"


async def test_the_first_call_creates_a_personal_organization(
    client_for: ClientFactory, transaction: TransactionFactory, world: World
) -> None:
    """Point 29."""
    erin, oskar = make_user("Erin"), make_user("Oskar")
    async with transaction() as session:
        session.add_all([erin, oskar, make_api_token(erin), make_api_token(oskar)])
    for user in (erin, oskar):
        client = client_for(user)
        own = (await client.get(MINE)).json()
        assert own["name"] == "Personal"
        assert (await client.get(f"{MINE}/member")).json()["role"] == "owner"
        assert (await client.get(MINE)).json() == own


async def test_personal_is_free_for_users_without_one_of_that_name(
    alice: Client, charlie: Client, world: World
) -> None:
    """C26 and R6, fixed."""
    for client in (alice, charlie):
        assert (await client.post("/organizations", json={"name": "Personal"})).status_code == 200
        again = await client.post("/organizations", json={"name": "personal "})
        assert (again.status_code, again.json()["code"]) == (409, "organization_name_taken")
    assert (await alice.post("/organizations", json={"name": " "})).status_code == 422


async def test_only_an_owner_deletes_the_organization(
    alice: Client, dana: Client, bob: Client, charlie: Client, world: World
) -> None:
    """3.3."""
    for client in (dana, bob):
        rejected = await client.delete(MINE)
        assert (rejected.status_code, rejected.json()["code"]) == (403, "owner_required")
    by_token = await alice.delete(MINE)
    assert (by_token.status_code, by_token.json()["code"]) == (403, "recent_sign_in_required")
    assert (await alice.get(MINE)).json()["name"] == "Tern"
    assert (await charlie.get(MINE)).json()["name"] == "Plover"


async def test_deleting_an_organization_deletes_exactly_its_contents(
    transaction: TransactionFactory, world: World
) -> None:
    """Point 33. C1, fixed: in every table."""
    async with transaction() as session:
        before = await read_all_rows(session)
        await fill_tables(session, await session.get_one(Member, world.charlie_member.id))
        with_plovers = await read_all_rows(session)
        await fill_tables(session, await session.get_one(Member, world.alice_member.id))
        with_both = await read_all_rows(session)

    await delete_organization(transaction, world.alice)

    async with transaction() as session:
        after = await read_all_rows(session)
        assert (await session.scalars(select(Organization.name))).all() == ["Plover"]
    contents = find_owned_tables("organizations")
    for name in contents:
        plovers = set(with_plovers[name]) - set(before[name])
        terns = set(with_both[name]) - set(with_plovers[name])
        assert (plovers and terns) or name == "organization_members", name
        assert plovers <= set(after[name]), name
        assert not terns & set(after[name]), name
        assert not [row for row in after[name] if str(world.tern.id) in row], name
    for name in find_owned_tables("users") - contents:
        assert len(after[name]) == len(with_both[name]), name


def test_every_table_belongs_to_an_organization_or_a_user() -> None:
    """Point 33. It prevents that a new table is forgotten."""
    whose = find_owned_tables("organizations") | find_owned_tables("users")
    assert {table.name for table in Base.metadata.sorted_tables} == whose | UNOWNED_TABLES
    scoped = {one.name for one in Base.metadata.sorted_tables if "organization_id" in one.columns}
    kept_on_purpose = {"audit_anchors", "audit_records"}
    assert scoped - kept_on_purpose <= find_owned_tables("organizations")


async def test_members_of_a_deleted_organization_work_elsewhere(
    bob: Client, rita: Client, transaction: TransactionFactory, world: World
) -> None:
    """3.3."""
    async with transaction() as session:
        session.add(make_member(await session.merge(world.plover), await session.merge(world.bob)))
    await delete_organization(transaction, world.alice)
    async with transaction() as session:
        chosen = select(User.active_organization_id).where(User.id == world.bob.id)
        assert await session.scalar(chosen) == world.plover.id
    assert (await bob.get(MINE)).json()["name"] == "Plover"
    assert (await rita.get(MINE)).json()["name"] == "Personal"
    assert (await bob.get(f"/boards/{world.board.id}")).status_code == 404


async def test_a_former_owner_cannot_delete_the_organization(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    """S6, fixed."""
    async with transaction() as session:
        await session.execute(
            update(Member).where(Member.id == world.alice_member.id).values(role=Role.ADMIN)
        )
    assert (await alice.delete(MINE)).status_code == 403


async def test_agents_of_a_deleted_organization_are_unauthorized(
    worker: Client, transaction: TransactionFactory, world: World
) -> None:
    """1.10."""
    assert (await worker.get("/agent/healthz")).status_code == 200
    await delete_organization(transaction, world.alice)
    assert (await worker.get("/agent/healthz")).status_code == 401


async def test_streams_end_when_the_organization_is_deleted(
    committing_api_app: ASGIApp,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
) -> None:
    """S25, fixed."""
    feed = "/activity/task-comments/stream"
    async with open_stream(committing_api_app, isolated_world.rita, feed) as ritas:
        await delete_organization(isolated_transaction, isolated_world.alice)
        await ritas.wait_for_end(4.5)


@pytest.mark.parametrize("caller", ["alice", "bob"])
async def test_the_organization_is_never_chosen_by_the_request(
    caller: str, request: pytest.FixtureRequest, world: World
) -> None:
    """S24, fixed: it is like one that never existed."""
    client: Client = request.getfixturevalue(caller)
    bodies = [{"organization_id": str(id)} for id in (world.plover.id, world.board.id)]
    foreign, never = [await client.patch(f"{MINE}/active", json=body) for body in bodies]
    assert foreign.status_code == never.status_code == 404
    assert foreign.json()["detail"] == never.json()["detail"]
