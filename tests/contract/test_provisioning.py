"""The contract of agents on gateways (agents-and-gateways 7, 15, 16 and 19)."""

import pytest
from sqlalchemy import update

from models import Agent, Board
from tests.api.conftest import Client
from tests.conftest import Transaction
from tests.world import World, a_gateway, a_main


@pytest.fixture
async def on_gateway(transaction: Transaction, world: World) -> None:
    """Launch is on a gateway that nobody can reach."""
    async with transaction() as session:
        gateway = a_gateway(world.tern)
        session.add(gateway)
        await session.flush()
        session.add_all(a_main(gateway))
        await session.execute(
            update(Board).where(Board.id == world.board.id).values(gateway_id=gateway.id)
        )


@pytest.fixture
async def writer(alice: Client, world: World, on_gateway: None) -> dict:
    made = await alice.post("/agents", json={"name": "Writer", "board_id": str(world.board.id)})
    assert made.status_code == 200, made.text
    return made.json()


async def was_there(transaction: Transaction, writer: dict) -> None:
    """Let the gateway have had the agent."""
    async with transaction() as session:
        there = update(Agent).where(Agent.id == writer["id"])
        await session.execute(there.values(observed_generation=1, written={"made": True}))


async def test_an_agent_of_a_gateway_is_there_at_once_and_its_token_is_told_to_nobody(
    alice: Client, writer: dict
) -> None:
    assert (writer["status"], writer["token"]) == ("provisioning", None)
    assert writer["openclaw_session_id"] == f"agent:mc-{writer['id']}:main"
    provisioning = writer["provisioning"]
    assert (provisioning["state"], provisioning["step"]) == ("working", "create")
    assert (provisioning["generation"], provisioning["observed_generation"]) == (1, 0)
    assert provisioning["deadline"]
    assert writer["evidence"] == {"by": "nothing", "at": None}
    answer = await alice.post(f"/agents/{writer['id']}/tokens")
    assert answer.json() == {"agent_id": writer["id"], "token": None}


async def test_an_agent_is_brought_to_its_gateway_anew_on_request(
    alice: Client, bob: Client, charlie: Client, writer: dict, world: World
) -> None:
    path = f"/agents/{writer['id']}/provisioning"
    brought = await alice.post(path, json={"wake": True, "overwrite": True})
    assert brought.status_code == 200
    assert brought.json()["provisioning"]["generation"] == 2
    assert (await alice.post(path, json={})).json()["provisioning"]["generation"] == 3
    assert (await alice.post(path, json={"wake": 7})).status_code == 422
    assert (await bob.post(path, json={})).status_code == 403
    assert (await charlie.post(path, json={})).status_code == 404
    elsewhere = await alice.post(f"/agents/{world.gardener.id}/provisioning", json={})
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (409, "agent_not_brought")


async def test_what_changes_of_an_agent_or_its_board_is_asked_for_and_the_network_is_not(
    alice: Client, writer: dict, world: World
) -> None:
    """W-02: the gateway is away, and nothing is locked out."""
    path = f"/agents/{writer['id']}"
    for number, (method, at, body) in enumerate(
        [
            ("PATCH", path, {"name": "Author"}),
            ("PATCH", path, {"heartbeat_config": {"every": "5m"}}),
            ("PATCH", path, {"soul_template": "Be brief."}),
            ("PATCH", f"/boards/{world.board.id}", {"objective": "A book"}),
            ("POST", f"/boards/{world.board.id}/memory", {"content": "/pause", "tags": ["chat"]}),
            ("POST", f"/boards/{world.board.id}/memory", {"content": "/resume", "tags": ["chat"]}),
        ],
        start=2,
    ):
        answer = await alice.request(method, at, json=body)
        assert answer.status_code == 200, answer.text
        seen = (await alice.get(path)).json()["provisioning"]
        assert seen["generation"] == number, body
    quiet = await alice.patch(path, json={"heartbeat_config": {"quiet": "very"}})
    assert quiet.status_code == 422


async def test_who_is_deleted_is_shown_until_its_gateway_is_rid_of_it(
    alice: Client, writer: dict, transaction: Transaction, world: World
) -> None:
    path = f"/agents/{writer['id']}"
    await was_there(transaction, writer)
    for _ in range(2):
        assert (await alice.delete(path)).json() == {"ok": True}
    seen = (await alice.get(path)).json()
    assert (seen["status"], seen["provisioning"]["state"]) == ("deleting", "removing")
    task = {"title": "Write", "assigned_agent_id": writer["id"]}
    given = await alice.post(f"/boards/{world.board.id}/tasks", json=task)
    assert given.status_code == 404
    named = {"name": "Writer", "board_id": str(world.board.id)}
    assert (await alice.post("/agents", json=named)).status_code == 200
    assert (await alice.delete(f"{path}?force=true")).json() == {"ok": True}
    assert (await alice.get(path)).status_code == 404


async def test_whom_no_gateway_ever_had_is_gone_at_once(alice: Client, writer: dict) -> None:
    assert (await alice.delete(f"/agents/{writer['id']}")).json() == {"ok": True}
    assert (await alice.get(f"/agents/{writer['id']}")).status_code == 404
