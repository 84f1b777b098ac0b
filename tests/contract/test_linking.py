"""Linking agents that others made on a gateway: they are read and spoken to, and never written."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from models import Agent, Event, EventType
from tests.api.conftest import Client
from tests.conftest import Transaction
from tests.contract.gateways import entered
from tests.openclaw.workshop import Workshop, working
from tests.world import World

OURS = "mc-0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    """A gateway on which others have made a writer; one agent is of some Mission Control."""
    async with working() as workshop:
        workshop.entries["writer"] = {"name": "Wanda", "workspace": "/home/wanda"}
        workshop.entries[OURS] = {"name": "Somebody of ours"}
        workshop.files["writer"] = {"SOUL.md": "Writes."}
        yield workshop


@pytest.fixture
async def gateway(alice: Client, workshop: Workshop) -> dict[str, Any]:
    return await entered(alice, workshop)


@pytest.fixture
def at(gateway: dict[str, Any]) -> str:
    return f"/gateways/{gateway['id']}/agents"


@pytest.fixture
def body(world: World) -> dict[str, Any]:
    return {"gateway_agent_id": "writer", "board_id": str(world.board.id)}


def told(answer: dict[str, Any]) -> dict[str, tuple[bool, bool, str | None]]:
    return {
        one["id"]: (one["can_be_linked"], one["is_linked"], one["agent_id"])
        for one in answer["agents"]
    }


async def test_the_agents_of_a_gateway_are_listed_with_those_that_are_agents_here(
    alice: Client, at: str, body: dict[str, Any]
) -> None:
    before = (await alice.get(at)).json()
    assert told(before) == {
        "main": (True, False, None),
        "writer": (True, False, None),
        OURS: (False, False, None),
    }
    [writer] = [one for one in before["agents"] if one["id"] == "writer"]
    assert (writer["name"], writer["workspace"]) == ("Wanda", "/home/wanda")
    linked = (await alice.post(at, json=body)).json()
    after = told((await alice.get(at)).json())
    assert after["writer"] == (False, True, linked["id"])


async def test_a_linked_agent_is_an_agent_of_the_board_with_a_token_that_is_shown_once(
    alice: Client, at: str, body: dict[str, Any], gateway: dict[str, Any], nobody: Client
) -> None:
    linked = (await alice.post(at, json=body)).json()
    assert linked["name"] == "Wanda"
    assert linked["board_id"] == body["board_id"]
    assert linked["gateway_id"] == gateway["id"]
    assert linked["openclaw_session_id"] == "agent:writer:main"
    assert linked["is_board_lead"] is linked["is_gateway_main"] is False
    read = (await alice.get(f"/agents/{linked['id']}")).json()
    assert "token" not in read
    seen = await nobody.get("/agent/boards", headers={"X-Agent-Token": linked["token"]})
    assert [board["id"] for board in seen.json()["items"]] == [body["board_id"]]


async def test_the_first_agent_of_a_gateway_may_be_linked_and_lead(
    alice: Client, at: str, world: World
) -> None:
    wanted = {"gateway_agent_id": "main", "board_id": str(world.garden.id), "is_board_lead": True}
    linked = (await alice.post(at, json=wanted | {"name": "Gardener in chief"})).json()
    assert (linked["name"], linked["is_board_lead"]) == ("Gardener in chief", True)
    assert linked["openclaw_session_id"] == "agent:main:main"


async def test_an_agent_is_linked_once(
    alice: Client, at: str, body: dict[str, Any], world: World
) -> None:
    assert (await alice.post(at, json=body)).status_code == 200
    for board in (world.board, world.garden):
        again = await alice.post(at, json=body | {"board_id": str(board.id), "name": "Other"})
        assert again.status_code == 409
        assert again.json()["code"] == "agent_already_linked"


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"gateway_agent_id": OURS}, 422, "agent_made_here"),
        ({"gateway_agent_id": "nobody"}, 404, "gateway_agent_not_found"),
        ({"name": "worker"}, 409, "agent_name_taken"),
        ({"is_board_lead": True}, 409, "board_lead_exists"),
        ({"board_id": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"}, 404, "board_not_found"),
    ],
)
async def test_what_cannot_be_linked_is_refused(
    alice: Client, at: str, body: dict[str, Any], wrong: dict[str, Any], status: int, code: str
) -> None:
    refused = await alice.post(at, json=body | wrong)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert told((await alice.get(at)).json())["writer"] == (True, False, None)


async def test_who_may_not_change_a_board_links_nothing_to_it(
    bob: Client,
    dana: Client,
    charlie: Client,
    at: str,
    body: dict[str, Any],
    world: World,
    workshop: Workshop,
) -> None:
    workshop.calls.clear()
    for client, status in ((bob, 403), (dana, 403), (charlie, 404)):
        assert (await client.post(at, json=body)).status_code == status
    theirs = body | {"board_id": str(world.charlies_board.id)}
    assert (await dana.post(at, json=theirs)).status_code == 404
    assert workshop.calls == []
    for client, status in ((bob, 403), (charlie, 404)):
        assert (await client.get(at)).status_code == status


async def test_of_a_board_that_an_admin_does_not_read_no_agent_is_told(
    alice: Client, dana: Client, at: str, body: dict[str, Any]
) -> None:
    await alice.post(at, json=body)
    assert told((await dana.get(at)).json())["writer"] == (False, True, None)


async def test_a_linked_agent_stays_on_its_gateway_wherever_its_board_goes(
    alice: Client, at: str, body: dict[str, Any], gateway: dict[str, Any], workshop: Workshop
) -> None:
    linked = (await alice.post(at, json=body)).json()
    other = await entered(alice, workshop, name="Shed")
    home = (gateway["id"], "agent:writer:main")
    boards = await alice.get("/boards")
    [garden] = [one["id"] for one in boards.json()["items"] if one["name"] == "Garden"]
    for path, change in (
        (f"/boards/{body['board_id']}", {"gateway_id": other["id"]}),
        (f"/boards/{body['board_id']}", {"gateway_id": None}),
        (f"/agents/{linked['id']}", {"board_id": garden}),
        (f"/boards/{garden}", {"gateway_id": other["id"]}),
    ):
        assert (await alice.patch(path, json=change)).status_code == 200
        read = (await alice.get(f"/agents/{linked['id']}")).json()
        assert (read["gateway_id"], read["openclaw_session_id"]) == home
    kept = await alice.delete(f"/gateways/{gateway['id']}")
    assert (kept.status_code, kept.json()["code"]) == (409, "gateway_in_use")
    assert "unlink" in kept.json()["detail"]


async def test_that_it_was_linked_is_an_event(
    alice: Client, at: str, body: dict[str, Any], transaction: Transaction
) -> None:
    linked = (await alice.post(at, json=body)).json()
    async with transaction() as session:
        query = select(Event).where(Event.type == EventType.AGENT_CREATED)
        event = (await session.scalars(query.order_by(Event.seq.desc()))).first()
    assert event
    assert str(event.agent_id) == linked["id"]
    assert event.data["is_linked"] is True


async def test_a_gateway_that_is_away_links_nothing(
    alice: Client, at: str, body: dict[str, Any], workshop: Workshop, transaction: Transaction
) -> None:
    workshop.refuses = {"code": "INVALID_REQUEST", "details": {"code": "AUTH_TOKEN_MISMATCH"}}
    for answer in (await alice.get(at), await alice.post(at, json=body)):
        assert answer.status_code == 502
        assert answer.json()["code"] == "gateway_token_mismatch"
    async with transaction() as session:
        assert await session.scalar(select(Agent).where(Agent.is_linked)) is None
