"""Linking agents that others created on a gateway: read and messaged, never written."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Agent, Event, EventType
from tests.support.api_fixtures import Client
from tests.support.fake_agents_gateway import FakeAgentsGateway, run_fake_agents_gateway
from tests.support.gateway_api import create_gateway
from tests.support.world import World

MANAGED_ID = "mc-0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"


@pytest.fixture
async def fake_gateway() -> AsyncIterator[FakeAgentsGateway]:
    """A gateway with an agent of others; another agent belongs to some Mission Control."""
    async with run_fake_agents_gateway() as fake_gateway:
        fake_gateway.entries["writer"] = {"name": "Wanda", "workspace": "/home/wanda"}
        fake_gateway.entries[MANAGED_ID] = {"name": "Somebody of ours"}
        fake_gateway.files["writer"] = {"SOUL.md": "Writes."}
        yield fake_gateway


@pytest.fixture
async def gateway(alice: Client, fake_gateway: FakeAgentsGateway) -> dict[str, Any]:
    return await create_gateway(alice, fake_gateway)


@pytest.fixture
def agents_path(gateway: dict[str, Any]) -> str:
    return f"/gateways/{gateway['id']}/agents"


@pytest.fixture
def link_body(world: World) -> dict[str, Any]:
    return {"gateway_agent_id": "writer", "board_id": str(world.board.id)}


def listed_agents(answer: dict[str, Any]) -> dict[str, tuple[bool, bool, str | None]]:
    return {
        one["id"]: (one["can_be_linked"], one["is_linked"], one["agent_id"])
        for one in answer["agents"]
    }


async def test_the_agents_of_a_gateway_are_listed_with_their_records(
    alice: Client, agents_path: str, link_body: dict[str, Any]
) -> None:
    before = (await alice.get(agents_path)).json()
    assert listed_agents(before) == {
        "main": (True, False, None),
        "writer": (True, False, None),
        MANAGED_ID: (False, False, None),
    }
    [writer] = [one for one in before["agents"] if one["id"] == "writer"]
    assert (writer["name"], writer["workspace"]) == ("Wanda", "/home/wanda")
    linked = (await alice.post(agents_path, json=link_body)).json()
    after = listed_agents((await alice.get(agents_path)).json())
    assert after["writer"] == (False, True, linked["id"])


async def test_a_linked_agent_gets_a_token_that_is_shown_once(
    alice: Client,
    agents_path: str,
    link_body: dict[str, Any],
    gateway: dict[str, Any],
    anonymous: Client,
) -> None:
    linked = (await alice.post(agents_path, json=link_body)).json()
    assert linked["name"] == "Wanda"
    assert linked["board_id"] == link_body["board_id"]
    assert linked["gateway_id"] == gateway["id"]
    assert linked["openclaw_session_id"] == "agent:writer:main"
    assert linked["is_board_lead"] is linked["is_gateway_main"] is False
    read = (await alice.get(f"/agents/{linked['id']}")).json()
    assert "token" not in read
    seen = await anonymous.get("/agent/boards", headers={"X-Agent-Token": linked["token"]})
    assert [board["id"] for board in seen.json()["items"]] == [link_body["board_id"]]


async def test_the_first_agent_of_a_gateway_may_be_linked_and_lead(
    alice: Client, agents_path: str, world: World
) -> None:
    wanted = {"gateway_agent_id": "main", "board_id": str(world.garden.id), "is_board_lead": True}
    linked = (await alice.post(agents_path, json=wanted | {"name": "Gardener in chief"})).json()
    assert (linked["name"], linked["is_board_lead"]) == ("Gardener in chief", True)
    assert linked["openclaw_session_id"] == "agent:main:main"


async def test_an_agent_is_linked_once(
    alice: Client, agents_path: str, link_body: dict[str, Any], world: World
) -> None:
    assert (await alice.post(agents_path, json=link_body)).status_code == 200
    for board in (world.board, world.garden):
        again = await alice.post(
            agents_path, json=link_body | {"board_id": str(board.id), "name": "Other"}
        )
        assert again.status_code == 409
        assert again.json()["code"] == "agent_already_linked"


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"gateway_agent_id": MANAGED_ID}, 422, "agent_already_managed"),
        ({"gateway_agent_id": "nobody"}, 404, "gateway_agent_not_found"),
        ({"name": "worker"}, 409, "agent_name_taken"),
        ({"is_board_lead": True}, 409, "board_lead_exists"),
        ({"board_id": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"}, 404, "board_not_found"),
    ],
)
async def test_invalid_links_are_rejected(
    alice: Client,
    agents_path: str,
    link_body: dict[str, Any],
    wrong: dict[str, Any],
    status: int,
    code: str,
) -> None:
    refused = await alice.post(agents_path, json=link_body | wrong)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert listed_agents((await alice.get(agents_path)).json())["writer"] == (True, False, None)


async def test_only_writers_of_a_board_can_link_agents_to_it(
    bob: Client,
    dana: Client,
    charlie: Client,
    agents_path: str,
    link_body: dict[str, Any],
    world: World,
    fake_gateway: FakeAgentsGateway,
) -> None:
    fake_gateway.calls.clear()
    for client, status in ((bob, 403), (dana, 403), (charlie, 404)):
        assert (await client.post(agents_path, json=link_body)).status_code == status
    theirs = link_body | {"board_id": str(world.charlies_board.id)}
    assert (await dana.post(agents_path, json=theirs)).status_code == 404
    assert fake_gateway.calls == []
    for client, status in ((bob, 403), (charlie, 404)):
        assert (await client.get(agents_path)).status_code == status


async def test_agents_of_unreadable_boards_are_not_named(
    alice: Client, dana: Client, agents_path: str, link_body: dict[str, Any]
) -> None:
    await alice.post(agents_path, json=link_body)
    assert listed_agents((await dana.get(agents_path)).json())["writer"] == (False, True, None)


async def test_a_linked_agent_stays_on_its_gateway_if_its_board_moves(
    alice: Client,
    agents_path: str,
    link_body: dict[str, Any],
    gateway: dict[str, Any],
    fake_gateway: FakeAgentsGateway,
) -> None:
    linked = (await alice.post(agents_path, json=link_body)).json()
    other = await create_gateway(alice, fake_gateway, name="Shed", url=f"{fake_gateway.url}/shed")
    home = (gateway["id"], "agent:writer:main")
    boards = await alice.get("/boards")
    [garden] = [one["id"] for one in boards.json()["items"] if one["name"] == "Garden"]
    for path, change in (
        (f"/boards/{link_body['board_id']}", {"gateway_id": other["id"]}),
        (f"/boards/{link_body['board_id']}", {"gateway_id": None}),
        (f"/agents/{linked['id']}", {"board_id": garden}),
        (f"/boards/{garden}", {"gateway_id": other["id"]}),
    ):
        assert (await alice.patch(path, json=change)).status_code == 200
        read = (await alice.get(f"/agents/{linked['id']}")).json()
        assert (read["gateway_id"], read["openclaw_session_id"]) == home
    kept = await alice.delete(f"/gateways/{gateway['id']}")
    assert (kept.status_code, kept.json()["code"]) == (409, "gateway_in_use")
    assert "unlink" in kept.json()["detail"]


async def test_linking_records_an_event(
    alice: Client, agents_path: str, link_body: dict[str, Any], transaction: TransactionFactory
) -> None:
    linked = (await alice.post(agents_path, json=link_body)).json()
    async with transaction() as session:
        query = select(Event).where(Event.type == EventType.AGENT_CREATED)
        event = (await session.scalars(query.order_by(Event.seq.desc()))).first()
    assert event
    assert str(event.agent_id) == linked["id"]
    assert event.data["is_linked"] is True


async def test_agents_of_an_unreachable_gateway_cannot_be_linked(
    alice: Client,
    agents_path: str,
    link_body: dict[str, Any],
    fake_gateway: FakeAgentsGateway,
    transaction: TransactionFactory,
) -> None:
    fake_gateway.connect_error = {
        "code": "INVALID_REQUEST",
        "details": {"code": "AUTH_TOKEN_MISMATCH"},
    }
    for answer in (await alice.get(agents_path), await alice.post(agents_path, json=link_body)):
        assert answer.status_code == 502
        assert answer.json()["code"] == "gateway_token_mismatch"
    async with transaction() as session:
        assert await session.scalar(select(Agent).where(Agent.is_linked)) is None
