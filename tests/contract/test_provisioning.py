"""The contract of agents on gateways (agents-and-gateways 7, 15, 16 and 19)."""

import pytest
from sqlalchemy import update

from core.db.engine import TransactionFactory
from models import Agent, Board, ProvisioningState
from tests.support.api_fixtures import Client
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.world import World


@pytest.fixture
async def on_gateway(transaction: TransactionFactory, world: World) -> None:
    """The board Launch is on an unreachable gateway."""
    async with transaction() as session:
        gateway = make_gateway(world.tern)
        session.add(gateway)
        await session.flush()
        session.add_all(make_main_agent(gateway))
        await session.execute(
            update(Board).where(Board.id == world.board.id).values(gateway_id=gateway.id)
        )


@pytest.fixture
async def writer(alice: Client, world: World, on_gateway: None) -> dict:
    made = await alice.post("/agents", json={"name": "Writer", "board_id": str(world.board.id)})
    assert made.status_code == 200, made.text
    return made.json()


async def previously_provisioned(transaction: TransactionFactory, writer: dict) -> None:
    """Mark the agent as provisioned before."""
    async with transaction() as session:
        there = update(Agent).where(Agent.id == writer["id"])
        await session.execute(
            there.values(
                observed_generation=1, provisioning_state=ProvisioningState(is_created_by_us=True)
            )
        )


async def test_an_agent_of_a_gateway_is_created_without_showing_its_token(
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
    assert answer.json() == {"agent_id": writer["id"], "token": None, "expires_at": None}


async def test_an_agent_is_provisioned_again_on_request(
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
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (409, "agent_not_provisioned")


async def test_changes_request_a_sync_without_the_network(
    alice: Client, writer: dict, world: World
) -> None:
    """W-02: the gateway is unreachable, and nothing is blocked."""
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


async def test_a_deleted_agent_is_shown_until_its_gateway_removed_it(
    alice: Client, writer: dict, transaction: TransactionFactory, world: World
) -> None:
    path = f"/agents/{writer['id']}"
    await previously_provisioned(transaction, writer)
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


async def test_an_agent_that_no_gateway_had_is_deleted_at_once(alice: Client, writer: dict) -> None:
    assert (await alice.delete(f"/agents/{writer['id']}")).json() == {"ok": True}
    assert (await alice.get(f"/agents/{writer['id']}")).status_code == 404
