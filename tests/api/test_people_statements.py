"""The number of SQL statements of the most expensive operations of users."""

from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import DesiredState, User
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.board_rows import make_message
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.people_rows import make_api_token, make_member, make_user
from tests.support.statement_counter import MAX_STATEMENTS, assert_few_statements
from tests.support.world import World

MAX_READ_STATEMENTS = 3
INVITES = "/organizations/me/invites"
ACCEPT = "/organizations/invites/accept"


@pytest.fixture
async def user_without_organization(transaction: TransactionFactory, world: World) -> User:
    """A user without an organization."""
    person = make_user("Nora")
    async with transaction() as session:
        session.add_all([person, make_api_token(person)])
    return person


def board_rights(world: World) -> dict[str, Any]:
    """Rights on two boards."""
    rows = [{"board_id": str(board.id)} for board in (world.board, world.garden)]
    return {"board_access": rows}


async def test_statements_of_renewing_an_invitation(alice: Client, world: World) -> None:
    body = {"invited_email": "nora@example.com", **board_rights(world)}
    await alice.post(INVITES, json=body)
    limit = MAX_STATEMENTS + 1  # which creates the notification
    await assert_few_statements(alice, "POST", INVITES, body, limit=limit)


async def test_statements_of_setting_board_rights(alice: Client, world: World) -> None:
    path = f"/organizations/me/members/{world.bob_member.id}/access"
    limit = MAX_STATEMENTS + 2  # which find tasks of somebody who cannot read them any more
    await assert_few_statements(alice, "PUT", path, board_rights(world), limit=limit)


@pytest.mark.parametrize("belongs", [False, True])
async def test_statements_of_accepting_an_invitation(
    alice: Client,
    client_for: ClientFactory,
    user_without_organization: User,
    transaction: TransactionFactory,
    world: World,
    belongs: bool,
) -> None:
    body = {"invited_email": "nora@example.com", "role": "admin", **board_rights(world)}
    token = (await alice.post(INVITES, json=body)).json()["token"]
    client = client_for(user_without_organization)
    if belongs:
        async with transaction() as session:
            user = await session.merge(user_without_organization)
            user.active_organization_id = world.tern.id
            session.add(make_member(await session.merge(world.tern), user))
        await client.get("/boards")
    limit = MAX_STATEMENTS + 1  # which resolves the notification of the invitation
    await assert_few_statements(client, "POST", ACCEPT, {"token": token}, limit=limit)


async def test_statements_of_deleting_an_account_with_organizations(
    bob: Client, world: World
) -> None:
    await bob.post("/organizations", json={"name": "Bob's"})
    # Two of them record the end of the organization and of the account, one finds tasks, and one
    # the organization whose contents are locked first.
    await assert_few_statements(bob, "DELETE", "/users/me", limit=MAX_STATEMENTS + 4)


async def test_statements_of_removing_a_member(alice: Client, bob: Client, world: World) -> None:
    await alice.get("/boards")
    path = f"/organizations/me/members/{world.bob_member.id}"
    limit = MAX_STATEMENTS + 2  # which find the tasks of the member
    await assert_few_statements(alice, "DELETE", path, limit=limit)


async def test_deciding_many_approvals_needs_as_few_statements_as_one(
    alice: Client, transaction: TransactionFactory, world: World
) -> None:
    approvals = [world.make_approval()[0] for _ in range(50)]
    async with transaction() as session:
        session.add_all(approvals)
    body = {"ids": [str(one.id) for one in approvals], "status": "approved"}
    await assert_few_statements(alice, "POST", "/approvals/decisions", body, limit=11)


async def test_statements_of_deleting_a_gateway_without_boards(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    gateway = make_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(make_main_agent(gateway))
    await assert_few_statements(alice, "DELETE", f"/gateways/{gateway.id}", limit=12)


async def test_statements_of_listing_the_messages_of_a_main_agent(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    gateway = make_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        main, token = make_main_agent(gateway, desired_state=DesiredState.RUNNING)
        session.add_all([main, token])
        await session.flush()
        session.add(make_message(main))
    await assert_few_statements(
        alice, "GET", f"/agents/{main.id}/messages", limit=MAX_READ_STATEMENTS
    )
