"""Access to gateways and their sessions (agents-and-gateways 9; people-and-boards 7)."""

from typing import Any
from urllib.parse import quote

from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Agent, new_id
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.fake_gateway import FakeGateway
from tests.support.gateway_api import KEY
from tests.support.gateway_rows import make_gateway
from tests.support.people_rows import make_agent_token, make_board_access
from tests.support.world import World


async def test_only_admins_see_gateways(
    alice: Client, bob: Client, dana: Client, worker: Client, lead: Client, gateway: dict[str, Any]
) -> None:
    at = f"/gateways/{gateway['id']}"
    assert (await dana.get(at)).status_code == 200
    for client, status in ((bob, 403), (worker, 401), (lead, 401)):
        for method, path in (
            ("GET", "/gateways"),
            ("POST", "/gateways"),
            ("GET", at),
            ("PATCH", at),
            ("DELETE", at),
            ("POST", f"{at}/checks"),
            ("GET", "/gateways/commands"),
            ("GET", f"{at}/config-changes"),
        ):
            body = {"name": "Mine", "url": "ws://here", "workspace_root": "/x"}
            answer = await client.request(method, path, json=body)
            assert answer.status_code == status, (method, path)
    assert (await alice.get(at)).json() == gateway


async def test_a_missing_gateway_precedes_errors_of_fields(alice: Client) -> None:
    answer = await alice.patch(f"/gateways/{new_id()}", json={"url": "https://here"})
    assert (answer.status_code, answer.json()["code"]) == (404, "gateway_not_found")


async def test_a_gateway_does_not_exist_for_other_organizations(
    alice: Client, charlie: Client, gateway: dict[str, Any], fake: FakeGateway, world: World
) -> None:
    at = f"/gateways/{gateway['id']}"
    for method, path in (
        ("GET", at),
        ("PATCH", at),
        ("DELETE", at),
        ("POST", f"{at}/checks"),
        ("GET", f"{at}/config-changes"),
        ("GET", f"/agents?gateway_id={gateway['id']}"),
    ):
        answer = await charlie.request(method, path, json={"name": "Mine now"})
        assert answer.status_code == 404, (method, path)
        assert answer.json()["code"] == "gateway_not_found"
    assert (await charlie.get("/gateways")).json()["items"] == []
    theirs = f"/boards/{world.charlies_board.id}"
    taken = await charlie.patch(theirs, json={"gateway_id": gateway["id"]})
    assert taken.status_code == 422
    for path in ("status", "sessions", f"sessions/{KEY}", f"sessions/{KEY}/history"):
        answer = await charlie.get(f"/gateways/{path}?board_id={world.board.id}")
        assert answer.status_code == 404, path
    response = await charlie.post(
        f"/gateways/sessions/{KEY}/message?board_id={world.board.id}", json={"content": "Hi"}
    )
    assert response.status_code == 404
    assert not fake.connect_params
    assert (await alice.get(at)).json() == gateway


async def test_sessions_of_agents_on_unreadable_boards_are_hidden(
    alice: Client,
    dana: Client,
    gateway: dict[str, Any],
    fake: FakeGateway,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """A8. For every spelling of the session key that a gateway accepts."""
    await alice.patch(f"/boards/{world.garden.id}", json={"gateway_id": gateway["id"]})
    async with transaction() as session:
        session.add(make_board_access(world.dana_member, world.garden, can_write=True))
    closed, own, of_others = (
        f"agent:lead-{world.board.id}:main",
        f"agent:mc-{world.gardener.id}:main",
        "agent:main:main",
    )
    sessions = [{"key": key} for key in (closed, own, of_others)]
    fake.handlers["sessions.list"] = lambda _: {"sessions": sessions, "totalCount": 3}
    fake.handlers["sessions.describe"] = lambda params: {"session": params}
    fake.calls.clear()
    by_garden = f"board_id={world.garden.id}"
    lead, _, rest = closed.removeprefix("agent:").partition(":")
    for key in (closed, closed.upper(), f" {closed} ", f"agent:!{lead}.:{rest}"):
        at = f"/gateways/sessions/{quote(key)}"
        assert (await dana.get(f"{at}?{by_garden}")).status_code == 403, key
        assert (await dana.get(f"{at}/history?{by_garden}")).status_code == 403, key
        response = await dana.post(f"{at}/message?{by_garden}", json={"content": "Hello"})
        assert (response.status_code, response.json()["code"]) == (403, "board_read_forbidden"), key
    assert not fake.calls
    for path in ("sessions", "status"):
        listed = (await dana.get(f"/gateways/{path}?{by_garden}")).json()["sessions"]
        assert [one["key"] for one in listed] == [own, of_others]
    for key in (own, of_others):
        at = f"/gateways/sessions/{key}"
        assert (await dana.get(f"{at}/history?{by_garden}")).status_code == 200
        response = await dana.post(f"{at}/message?{by_garden}", json={"content": "Hello"})
        assert response.json() == {"ok": True}


async def test_readers_of_a_board_cannot_send_into_its_sessions(
    alice: Client,
    dana: Client,
    gateway: dict[str, Any],
    fake: FakeGateway,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """A8."""
    await alice.patch(f"/boards/{world.garden.id}", json={"gateway_id": gateway["id"]})
    async with transaction() as session:
        session.add(make_board_access(world.dana_member, world.garden, can_write=True))
        session.add(make_board_access(world.dana_member, world.board))
    fake.calls.clear()
    at, by = f"/gateways/sessions/agent:lead-{world.board.id}:main", f"board_id={world.garden.id}"
    assert (await dana.get(f"{at}/history?{by}")).status_code == 200
    fake.calls.clear()
    response = await dana.post(f"{at}/message?{by}", json={"content": "Hello"})
    assert (response.status_code, response.json()["code"]) == (403, "board_write_forbidden")
    assert not fake.calls


async def test_a_board_accepts_only_gateways_of_its_organization(
    alice: Client,
    bob: Client,
    gateway: dict[str, Any],
    world: World,
    transaction: TransactionFactory,
) -> None:
    """Point 34."""
    async with transaction() as session:
        theirs, alone = make_gateway(world.plover), make_gateway(world.tern, "Alone")
        session.add_all([theirs, alone])
    new_board = {"name": "Spring", "description": "What grows", "board_type": "general"}
    for id, status in (
        (gateway["id"], 200),
        (None, 200),
        (str(theirs.id), 422),
        (str(alone.id), 422),
        (str(new_id()), 422),
    ):
        made = await alice.post("/boards", json={**new_board, "gateway_id": id})
        assert made.status_code == status, id
        if status == 422:
            assert isinstance(made.json()["detail"], str)
        changed = await alice.patch(f"/boards/{world.garden.id}", json={"gateway_id": id})
        assert changed.status_code == status, id
    assert (await alice.get(f"/boards?gateway_id={gateway['id']}")).json()["total"] == 2
    away = await bob.patch(f"/boards/{world.board.id}", json={"gateway_id": None})
    assert away.status_code == 403


async def test_the_agents_of_a_board_are_on_its_gateway(
    alice: Client, gateway: dict[str, Any], world: World
) -> None:
    """7.1, 7.4."""
    found = (await alice.get(f"/agents?gateway_id={gateway['id']}")).json()["items"]
    assert {agent["name"] for agent in found} == {
        *("Workshop Gateway Agent", "Lead", "Worker", "Other worker")
    }
    await alice.patch(f"/boards/{world.board.id}", json={"gateway_id": None})
    found = (await alice.get(f"/agents?gateway_id={gateway['id']}")).json()["items"]
    assert [agent["name"] for agent in found] == ["Workshop Gateway Agent"]


async def test_the_gateway_agent_works_on_the_boards_of_its_gateway_only(
    client_for: ClientFactory,
    gateway: dict[str, Any],
    world: World,
    transaction: TransactionFactory,
) -> None:
    """S1. Point 8. W-01, fixed."""
    async with transaction() as session:
        main = (await session.scalars(select(Agent).where(Agent.board_id.is_(None)))).one()
        session.add(make_agent_token(main))
    client = client_for(main)
    [board] = (await client.get("/agent/boards")).json()["items"]
    assert board["name"] == "Launch"
    assert (await client.get(f"/agent/boards/{world.board.id}/tasks")).status_code == 200
    assert (await client.get(f"/agent/boards/{world.garden.id}")).status_code == 403
    assert (await client.get(f"/agent/boards/{world.charlies_board.id}")).status_code == 404
    names = {agent["name"] for agent in (await client.get("/agent/agents")).json()["items"]}
    assert "Charlie's worker" not in names
