"""The contract's checklist (people-and-boards 7), 29 and 33: organizations, and their end."""

import pytest
from sqlalchemy import select, update
from starlette.types import ASGIApp

from models import Base, Member, Organization, Role, User
from tests.api.conftest import Caller, Client
from tests.api.listening import listening
from tests.conftest import Transaction
from tests.filling import NOBODYS, belonging_to, fill, rows_in
from tests.world import World, a_member, a_user, an_api_token

MINE = "/organizations/me"


async def test_first_contact_makes_an_organization_of_ones_own(
    calling: Caller, transaction: Transaction, world: World
) -> None:
    """Point 29."""
    erin, oskar = a_user("Erin"), a_user("Oskar")
    async with transaction() as session:
        session.add_all([erin, oskar, an_api_token(erin), an_api_token(oskar)])
    for person in (erin, oskar):
        client = calling(person)
        own = (await client.get(MINE)).json()
        assert own["name"] == "Personal"
        assert (await client.get(f"{MINE}/member")).json()["role"] == "owner"
        assert (await client.get(MINE)).json() == own


async def test_a_second_organization_may_be_called_personal_by_whoever_has_none_of_that_name(
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
        refused = await client.delete(MINE)
        assert (refused.status_code, refused.json()["code"]) == (403, "owner_required")
    assert (await alice.get(MINE)).json()["name"] == "Tern"
    assert (await charlie.get(MINE)).json()["name"] == "Plover"


async def test_whatever_an_organization_has_goes_with_it_and_nothing_of_others(
    alice: Client, transaction: Transaction, world: World
) -> None:
    """Point 33. C1, fixed: in every table that there is."""
    async with transaction() as session:
        before = await rows_in(session)
        await fill(session, await session.get_one(Member, world.charlies.id))
        with_plovers = await rows_in(session)
        await fill(session, await session.get_one(Member, world.alices.id))
        with_both = await rows_in(session)

    assert (await alice.delete(MINE)).json() == {"ok": True}

    async with transaction() as session:
        after = await rows_in(session)
        assert (await session.scalars(select(Organization.name))).all() == ["Plover"]
    contents = belonging_to("organizations")
    for name in contents:
        plovers = set(with_plovers[name]) - set(before[name])
        terns = set(with_both[name]) - set(with_plovers[name])
        assert (plovers and terns) or name == "organization_members", name
        assert plovers <= set(after[name]), name
        assert not terns & set(after[name]), name
        assert not [row for row in after[name] if str(world.tern.id) in row], name
    for name in belonging_to("users") - contents:
        assert len(after[name]) == len(with_both[name]), name


def test_every_table_is_an_organizations_or_a_persons_or_said_to_be_nobodys() -> None:
    """Point 33. So that a new table cannot be forgotten."""
    whose = belonging_to("organizations") | belonging_to("users")
    assert {table.name for table in Base.metadata.sorted_tables} == whose | NOBODYS
    scoped = {one.name for one in Base.metadata.sorted_tables if "organization_id" in one.columns}
    assert scoped <= belonging_to("organizations")


async def test_who_worked_in_it_works_elsewhere_from_then_on(
    alice: Client, bob: Client, rita: Client, transaction: Transaction, world: World
) -> None:
    """3.3."""
    async with transaction() as session:
        session.add(a_member(await session.merge(world.plover), await session.merge(world.bob)))
    assert (await alice.delete(MINE)).status_code == 200
    async with transaction() as session:
        chosen = select(User.active_organization_id).where(User.id == world.bob.id)
        assert await session.scalar(chosen) is None
    assert (await bob.get(MINE)).json()["name"] == "Plover"
    assert (await rita.get(MINE)).json()["name"] == "Personal"
    assert (await bob.get(f"/boards/{world.board.id}")).status_code == 404


async def test_who_is_an_owner_no_more_deletes_nothing(
    alice: Client, transaction: Transaction, world: World
) -> None:
    """S6, fixed."""
    async with transaction() as session:
        await session.execute(
            update(Member).where(Member.id == world.alices.id).values(role=Role.ADMIN)
        )
    assert (await alice.delete(MINE)).status_code == 403


async def test_agents_of_an_organization_that_is_gone_are_nobody(
    alice: Client, worker: Client, world: World
) -> None:
    """1.10."""
    assert (await worker.get("/agent/healthz")).status_code == 200
    await alice.delete(MINE)
    assert (await worker.get("/agent/healthz")).status_code == 401


async def test_streams_of_an_organization_end_with_it(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    """S25, fixed."""
    feed = "/activity/task-comments/stream"
    async with listening(real_house, real_world.rita, feed) as ritas:
        await really_calling(real_world.alice).delete(MINE)
        await ritas.ended(4.5)


@pytest.mark.parametrize("caller", ["alice", "bob"])
async def test_an_organization_of_others_cannot_be_named(
    caller: str, request: pytest.FixtureRequest, world: World
) -> None:
    """S24, fixed: it looks like one that never was."""
    client: Client = request.getfixturevalue(caller)
    bodies = [{"organization_id": str(id)} for id in (world.plover.id, world.board.id)]
    theirs, never = [await client.patch(f"{MINE}/active", json=body) for body in bodies]
    assert theirs.status_code == never.status_code == 404
    assert theirs.json()["detail"] == never.json()["detail"]
