"""The contract of template sync (agents-and-gateways 9.5 and 17)."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update

from kit.clock import now
from models import Agent, AgentToken, Board, DesiredState, Event, EventType, Gateway
from services import agent_files
from tests.api.conftest import Client
from tests.conftest import Transaction
from tests.openclaw.fake import TOKEN, Refused
from tests.openclaw.workshop import Workshop, working
from tests.world import SEAL, World, a_gateway

FILES = set(agent_files.NAMES)
ANSWER = {
    *("gateway_id", "dry_run", "include_main", "reset_sessions", "agents_updated"),
    *("agents_skipped", "main_updated", "errors", "agents"),
}


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    async with working(late=0) as workshop:
        yield workshop


@pytest.fixture
async def gateway(workshop: Workshop, world: World, transaction: Transaction) -> Gateway:
    """The gateway of Launch, with its own agent, and the lead and the workers on it."""
    gateway = a_gateway(world.tern, url=workshop.url)
    gateway.sealed_token = SEAL.close(TOKEN, f"gateways.token:{gateway.id}")
    crew = [world.lead, world.worker, world.other_worker]
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        await session.execute(
            update(Board).where(Board.id == world.board.id).values(gateway_id=gateway.id)
        )
        main = Agent(**_here(gateway), name="Harbour master")
        session.add(main)
        for agent in crew:
            row = await session.get_one(Agent, agent.id)
            row.gateway_id = gateway.id
            row.openclaw_session_id = row.session_key
            row.desired_state = DesiredState.RUNNING
    return gateway


def _here(gateway: Gateway) -> dict[str, Any]:
    return {
        "organization_id": gateway.organization_id,
        "gateway_id": gateway.id,
        "status": "online",
        "openclaw_session_id": gateway.session_key,
        "desired_state": DesiredState.RUNNING,
        "created_at": now(),
        "updated_at": now(),
    }


async def synced(client: Client, gateway: Gateway, **query: Any) -> dict[str, Any]:
    """Sync, and return the answer."""
    answer = await client.post(f"/gateways/{gateway.id}/templates/sync", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def brought(
    transaction: Transaction, workshop: Workshop, agent: Agent, **written: str
) -> dict[str, str]:
    """Bring an agent to the gateway with its files; `written` are those that it has otherwise."""
    async with transaction() as session:
        row = await session.get_one(Agent, agent.id)
        facts = await agent_files.facts_of(
            session, row, base_url="http://127.0.0.1:8000", token="mc_agent_its-own"
        )
        files = agent_files.render(facts)
        row.written = {
            "made": True,
            "files": {name: [agent_files.digest(text)] for name, text in files.items()},
        }
    assert row.gateway_key
    workshop.entries[row.gateway_key] = {"name": agent.name}
    there = {**files, **{f"{name}.md": text for name, text in written.items()}}
    workshop.files[row.gateway_key] = there
    return there


def of(answer: dict[str, Any], agent: Agent) -> dict[str, Any]:
    [one] = [one for one in answer["agents"] if one["agent_id"] == str(agent.id)]
    return one


def states(one: dict[str, Any]) -> dict[str, str]:
    return {file["name"]: file["state"] for file in one["files"]}


async def test_a_dry_run_tells_of_each_agent_what_would_be_written_and_writes_nothing(
    alice: Client, gateway: Gateway, workshop: Workshop, world: World, transaction: Transaction
) -> None:
    await brought(transaction, workshop, world.worker, SOUL="I have found myself.\n")
    async with transaction() as session:
        before = (await session.execute(select(Agent.id, Agent.generation))).all()
        board = await session.get_one(Board, world.board.id)
        board.objective = "Launch the new site"
    answer = await synced(alice, gateway, dry_run=True)

    assert set(answer) == ANSWER
    assert answer["gateway_id"] == str(gateway.id)
    assert (answer["dry_run"], answer["include_main"], answer["errors"]) == (True, True, [])
    assert (answer["agents_updated"], answer["agents_skipped"]) == (3, 0)
    assert answer["main_updated"] is True
    assert [one["board_id"] for one in answer["agents"]] == [str(world.board.id)] * 3 + [None]
    worker = of(answer, world.worker)
    assert worker["agent_name"] == "Worker"
    assert states(worker) == {
        **dict.fromkeys(FILES, "same"),
        "AGENTS.md": "changed",
        "SOUL.md": "kept",
    }
    diffs = {file["name"]: file["diff"] for file in worker["files"]}
    assert "+Launch the new site" in diffs["AGENTS.md"]
    assert "-I have found myself." in diffs["SOUL.md"]
    assert worker["message"] == (
        "1 of 5 files to write. The agent has made its own of SOUL.md: kept."
    )
    lead = of(answer, world.lead)
    assert set(states(lead).values()) == {"new"}
    assert lead["message"].startswith("The gateway does not have this agent yet")
    assert workshop.changes == []
    async with transaction() as session:
        assert (await session.execute(select(Agent.id, Agent.generation))).all() == before
        assert (
            await session.scalar(select(Event.id).where(Event.type == EventType.AGENT_UPDATED))
            is None
        )


async def test_no_diff_tells_a_token(
    alice: Client, gateway: Gateway, workshop: Workshop, world: World, transaction: Transaction
) -> None:
    await brought(transaction, workshop, world.worker, AGENTS="AUTH_TOKEN=of an older kind\n")
    await brought(transaction, workshop, world.other_worker)
    for rotate in (False, True):
        answer = await alice.post(
            f"/gateways/{gateway.id}/templates/sync",
            params={"dry_run": True, "rotate_tokens": rotate},
        )
        assert "of an older kind" not in answer.text
        assert "its-own" not in answer.text
    assert "AUTH_TOKEN" in of(answer.json(), world.other_worker)["files"][0]["diff"]


async def test_a_sync_asks_for_what_it_tells_and_the_gateway_is_written_to_by_who_holds_it(
    alice: Client, gateway: Gateway, workshop: Workshop, world: World, transaction: Transaction
) -> None:
    await brought(transaction, workshop, world.worker)
    answer = await synced(alice, gateway)
    assert (answer["agents_updated"], answer["main_updated"], answer["errors"]) == (3, True, [])
    assert workshop.changes == []
    async with transaction() as session:
        asked = select(Agent).where(Agent.gateway_id == gateway.id)
        agents = (await session.scalars(asked)).all()
        assert {(one.generation, one.step) for one in agents} == {(1, "create")}
        assert not any(one.wants_wake for one in agents)
        told = select(Event).where(Event.type == EventType.AGENT_UPDATED)
        events = (await session.scalars(told)).all()
    assert {event.agent_id for event in events} == {one.id for one in agents}
    assert all(event.user_id == world.alice.id for event in events)
    assert all(event.data["changed"] == ["files"] for event in events)


async def test_what_an_agent_changed_is_overwritten_only_if_that_is_asked_for(
    alice: Client, gateway: Gateway, workshop: Workshop, world: World, transaction: Transaction
) -> None:
    """W-35."""
    await brought(
        *(transaction, workshop, world.worker),
        **{"SOUL": "mine\n", "IDENTITY": "mine\n", "USER": "mine\n", "MEMORY": "mine\n"},
    )
    own = ("SOUL.md", "IDENTITY.md", "USER.md", "MEMORY.md")
    kept = states(of(await synced(alice, gateway, dry_run=True), world.worker))
    assert {kept[name] for name in own} == {"kept"}
    forced = states(of(await synced(alice, gateway, dry_run=True, overwrite=True), world.worker))
    assert [forced[name] for name in own] == ["changed", "changed", "changed", "kept"]
    await synced(alice, gateway, overwrite=True)
    async with transaction() as session:
        row = await session.get_one(Agent, world.worker.id)
        assert set(row.written["files"]) == {"MEMORY.md"}


async def test_only_those_are_synced_who_are_asked_for(
    alice: Client, gateway: Gateway, world: World
) -> None:
    leads = await synced(alice, gateway, dry_run=True, lead_only=True, include_main=False)
    assert [one["agent_name"] for one in leads["agents"]] == ["Lead"]
    assert leads["main_updated"] is False
    one_board = await synced(alice, gateway, dry_run=True, board_id=world.board.id)
    assert [one["agent_name"] for one in one_board["agents"]][-1] == "Harbour master"
    elsewhere = await synced(alice, gateway, dry_run=True, board_id=world.garden.id)
    assert (elsewhere["agents"], elsewhere["agents_updated"]) == ([], 0)
    assert elsewhere["main_updated"] is False
    [error] = elsewhere["errors"]
    assert error["board_id"] == str(world.garden.id)
    assert error["agent_id"] is error["agent_name"] is None


async def test_the_agents_of_a_paused_board_and_linked_ones_are_passed_over(
    alice: Client, gateway: Gateway, world: World, transaction: Transaction
) -> None:
    async with transaction() as session:
        (await session.get_one(Agent, world.worker.id)).is_linked = True
    answer = await synced(alice, gateway, dry_run=True)
    assert (answer["agents_updated"], answer["agents_skipped"]) == (2, 1)
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).paused_at = now()
    answer = await synced(alice, gateway)
    assert (answer["agents_updated"], answer["agents_skipped"]) == (0, 3)
    assert answer["main_updated"] is True
    assert answer["errors"] == []


async def test_a_gateway_that_is_away_is_one_error_and_nobody_is_asked_for(
    alice: Client, gateway: Gateway, world: World, transaction: Transaction
) -> None:
    async with transaction() as session:
        (await session.get_one(Gateway, gateway.id)).url = "ws://127.0.0.1:9"
    answer = await synced(alice, gateway)
    [error] = answer["errors"]
    assert "Nobody listens" in error["message"]
    assert (answer["agents_updated"], answer["main_updated"]) == (0, False)
    async with transaction() as session:
        assert (await session.get_one(Agent, world.worker.id)).generation == 0


async def test_what_goes_wrong_with_one_agent_is_told_and_the_others_are_asked_for(
    alice: Client, gateway: Gateway, workshop: Workshop, world: World, transaction: Transaction
) -> None:
    await brought(transaction, workshop, world.worker)
    await brought(transaction, workshop, world.other_worker)

    def no(method: str, params: dict[str, Any]) -> Refused | None:
        is_hers = params.get("agentId") == f"mc-{world.worker.id}"
        return (
            Refused("INVALID_REQUEST", "no") if method == "agents.files.get" and is_hers else None
        )

    workshop.fault = no
    answer = await synced(alice, gateway)
    [error] = answer["errors"]
    assert (error["agent_id"], error["agent_name"]) == (str(world.worker.id), "Worker")
    assert error["board_id"] == str(world.board.id)
    assert (answer["agents_updated"], answer["agents_skipped"]) == (2, 1)
    async with transaction() as session:
        assert (await session.get_one(Agent, world.worker.id)).generation == 0
        assert (await session.get_one(Agent, world.other_worker.id)).generation == 1


async def test_sessions_begin_anew_if_that_is_asked_for(
    alice: Client, gateway: Gateway, workshop: Workshop, world: World, transaction: Transaction
) -> None:
    """Of those who are there: for others a gateway would make sessions of nobody."""
    await brought(transaction, workshop, world.worker)
    await brought(transaction, workshop, world.lead)
    await synced(alice, gateway, reset_sessions=True, dry_run=True)
    await synced(alice, gateway)
    assert workshop.changes == []
    answer = await synced(alice, gateway, reset_sessions=True)
    assert answer["reset_sessions"] is True
    reset = [params["key"] for method, params in workshop.changes if method == "sessions.reset"]
    assert reset == [f"agent:lead-{world.board.id}:main", f"agent:mc-{world.worker.id}:main"]


async def test_an_admin_syncs_the_agents_of_boards_that_are_theirs_to_change(
    dana: Client, bob: Client, charlie: Client, gateway: Gateway, world: World
) -> None:
    """Dana has no board; Bob is no admin; Charlie is of another organization."""
    answer = await synced(dana, gateway, dry_run=True)
    [main] = answer["agents"]
    assert (main["board_id"], answer["agents_skipped"]) == (None, 3)
    assert "Launch" not in str(answer)
    assert {file["diff"] for file in main["files"]} == {
        "It names boards that are not yours to read."
    }
    path = f"/gateways/{gateway.id}/templates/sync"
    assert (await bob.post(path)).status_code == 403
    assert (await charlie.post(path)).status_code == 404


async def test_other_tokens_are_asked_for_and_none_is_told(
    alice: Client, gateway: Gateway, workshop: Workshop, world: World, transaction: Transaction
) -> None:
    """W-07."""
    async with transaction() as session:
        row = await session.get_one(Agent, world.worker.id)
        row.written = {**row.written, "token": str(UUID(int=1))}
        before = len((await session.scalars(select(AgentToken.id))).all())
    answer = await synced(alice, gateway, rotate_tokens=True, force_bootstrap=True)
    assert answer["errors"] == []
    async with transaction() as session:
        assert "token" not in (await session.get_one(Agent, world.worker.id)).written
        assert len((await session.scalars(select(AgentToken.id))).all()) == before


async def test_a_gateway_without_an_agent_of_its_own_gets_one(
    alice: Client, gateway: Gateway, transaction: Transaction
) -> None:
    """17.1."""
    async with transaction() as session:
        await session.execute(delete(Agent).where(Agent.board_id.is_(None)))
    for wish in ({"dry_run": True}, {"include_main": False}):
        assert (await synced(alice, gateway, **wish))["main_updated"] is False
    answer = await synced(alice, gateway)
    assert answer["main_updated"] is True
    [main] = [one for one in answer["agents"] if one["board_id"] is None]
    assert (main["agent_name"], main["files"]) == ("Harbour Gateway Agent", [])
    again = await synced(alice, gateway)
    assert [one["agent_id"] for one in again["agents"]].count(main["agent_id"]) == 1
    async with transaction() as session:
        made = await session.get_one(Agent, UUID(main["agent_id"]))
        assert (made.desired_state, made.step) == ("running", "create")
