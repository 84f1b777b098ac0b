"""What the costliest calls of people ask of the database: at most eight statements, or three."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from models import DesiredState, User
from tests.api.conftest import Caller, Client
from tests.conftest import Transaction
from tests.world import World, a_gateway, a_main, a_member, a_message, a_user, an_api_token

MOST, MOST_TO_READ = 8, 3
INVITES = "/organizations/me/invites"
ACCEPT = "/organizations/invites/accept"


@contextmanager
def counted() -> Generator[list[str]]:
    """Collect what is sent to the database, but for what begins and ends a transaction."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield sent
    event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
async def nora(transaction: Transaction, world: World) -> User:
    """Somebody who belongs nowhere."""
    person = a_user("Nora")
    async with transaction() as session:
        session.add_all([person, an_api_token(person)])
    return person


def scoped(world: World) -> dict[str, Any]:
    """Rights on two boards."""
    rows = [{"board_id": str(board.id)} for board in (world.board, world.garden)]
    return {"board_access": rows}


async def few(
    client: Client, method: str, path: str, body: Any = None, *, most: int = MOST
) -> None:
    """Call, after a first call that notes when the token was used, and count."""
    await client.patch("/users/me", json={})
    with counted() as sent:
        answer = await client.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    assert len(sent) <= most, "\n\n".join(one[:150] for one in sent)


async def test_inviting_again_to_single_boards(alice: Client, world: World) -> None:
    body = {"invited_email": "nora@example.com", **scoped(world)}
    await alice.post(INVITES, json=body)
    await few(alice, "POST", INVITES, body)


async def test_rights_on_single_boards(alice: Client, world: World) -> None:
    path = f"/organizations/me/members/{world.bobs.id}/access"
    await few(alice, "PUT", path, scoped(world))


@pytest.mark.parametrize("belongs", [False, True])
async def test_accepting(
    alice: Client,
    calling: Caller,
    nora: User,
    transaction: Transaction,
    world: World,
    belongs: bool,
) -> None:
    body = {"invited_email": "nora@example.com", "role": "admin", **scoped(world)}
    token = (await alice.post(INVITES, json=body)).json()["token"]
    client = calling(nora)
    if belongs:
        async with transaction() as session:
            session.add(a_member(await session.merge(world.tern), await session.merge(nora)))
        await client.get("/boards")
    await few(client, "POST", ACCEPT, {"token": token})


async def test_leaving_for_good_with_an_organization_and_out_of_another(
    bob: Client, world: World
) -> None:
    await bob.post("/organizations", json={"name": "Bob's"})
    await few(bob, "DELETE", "/users/me")


async def test_removing_a_member_and_deleting_the_organization(
    alice: Client, bob: Client, world: World
) -> None:
    await alice.get("/boards")
    await few(alice, "DELETE", f"/organizations/me/members/{world.bobs.id}")
    await few(alice, "DELETE", "/organizations/me")


async def test_deciding_about_many_costs_no_more_than_about_few(
    alice: Client, transaction: Transaction, world: World
) -> None:
    asked = [world.approval()[0] for _ in range(50)]
    async with transaction() as session:
        session.add_all(asked)
    body = {"ids": [str(one.id) for one in asked], "status": "approved"}
    await few(alice, "POST", "/approvals/decisions", body)


async def test_removing_a_gateway_that_no_board_is_on(
    alice: Client, world: World, transaction: Transaction
) -> None:
    gateway = a_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(a_main(gateway))
    await few(alice, "DELETE", f"/gateways/{gateway.id}")


async def test_reading_what_an_agent_of_a_gateway_was_told(
    alice: Client, world: World, transaction: Transaction
) -> None:
    gateway = a_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        main, token = a_main(gateway, desired_state=DesiredState.RUNNING)
        session.add_all([main, token])
        await session.flush()
        session.add(a_message(main))
    await few(alice, "GET", f"/agents/{main.id}/messages", most=MOST_TO_READ)
