"""The contract of template sync (agents-and-gateways 9.5 and 17)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update

from core.clock import now
from core.db.engine import TransactionFactory
from core.security.secrets import hash_token
from models import (
    Agent,
    AgentToken,
    Board,
    DesiredState,
    Event,
    EventType,
    Gateway,
    ProvisioningState,
)
from services.gateways import files as gateways_files
from tests.support.api_fixtures import Client
from tests.support.fake_agents_gateway import FakeAgentsGateway, run_fake_agents_gateway
from tests.support.fake_gateway import TOKEN, ErrorResponse
from tests.support.gateway_rows import make_gateway
from tests.support.secret_key import CIPHER
from tests.support.world import World

FILES = set(gateways_files.FILE_NAMES)
ANSWER = {
    *("gateway_id", "dry_run", "include_main", "reset_sessions", "agents_updated"),
    *("agents_skipped", "main_updated", "errors", "agents", "config_diff"),
}


@pytest.fixture
async def fake_gateway() -> AsyncIterator[FakeAgentsGateway]:
    async with run_fake_agents_gateway(listing_delay=0) as fake_gateway:
        yield fake_gateway


@pytest.fixture
async def gateway(
    fake_gateway: FakeAgentsGateway, world: World, transaction: TransactionFactory
) -> Gateway:
    """The gateway of the board Launch with its own agent, the lead and the workers."""
    gateway = make_gateway(world.tern, url=fake_gateway.url)
    gateway.encrypted_token = CIPHER.encrypt(TOKEN, f"gateways.token:{gateway.id}")
    created = [world.lead, world.worker, world.other_worker]
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        await session.execute(
            update(Board).where(Board.id == world.board.id).values(gateway_id=gateway.id)
        )
        main = Agent(**_agent_fields(gateway), name="Harbour master")
        session.add(main)
        for agent in created:
            row = await session.get_one(Agent, agent.id)
            row.gateway_id = gateway.id
            row.openclaw_session_id = row.session_key
            row.desired_state = DesiredState.RUNNING
    return gateway


def _agent_fields(gateway: Gateway) -> dict[str, Any]:
    return {
        "organization_id": gateway.organization_id,
        "gateway_id": gateway.id,
        "status": "online",
        "openclaw_session_id": gateway.session_key,
        "desired_state": DesiredState.RUNNING,
        "created_at": now(),
        "updated_at": now(),
    }


async def run_sync(client: Client, gateway: Gateway, **query: Any) -> dict[str, Any]:
    """Run a sync and return the response."""
    answer = await client.post(f"/gateways/{gateway.id}/templates/sync", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def add_agent_with_files(
    transaction: TransactionFactory, fake_gateway: FakeAgentsGateway, agent: Agent, **written: str
) -> dict[str, str]:
    """Add an agent with its files to the gateway; `written` are files with other contents."""
    async with transaction() as session:
        row = await session.get_one(Agent, agent.id)
        facts = await gateways_files.load_agent_facts(
            session, row, base_url="http://127.0.0.1:8000", token="mc_agent_its-own"
        )
        files = gateways_files.render_files(facts)
        digests = {name: [hash_token(text)] for name, text in files.items()}
        row.provisioning_state = ProvisioningState(is_created_by_us=True, file_digests=digests)
    assert row.gateway_key
    fake_gateway.entries[row.gateway_key] = {"name": agent.name}
    contents = {**files, **{f"{name}.md": text for name, text in written.items()}}
    fake_gateway.files[row.gateway_key] = contents
    return contents


def find_agent_report(answer: dict[str, Any], agent: Agent) -> dict[str, Any]:
    [one] = [one for one in answer["agents"] if one["agent_id"] == str(agent.id)]
    return one


def file_states(one: dict[str, Any]) -> dict[str, str]:
    return {file["name"]: file["state"] for file in one["files"]}


async def test_a_dry_run_reports_each_agent_and_writes_nothing(
    alice: Client,
    gateway: Gateway,
    fake_gateway: FakeAgentsGateway,
    world: World,
    transaction: TransactionFactory,
) -> None:
    await add_agent_with_files(
        transaction, fake_gateway, world.worker, SOUL="I have found myself.\n"
    )
    async with transaction() as session:
        before = (await session.execute(select(Agent.id, Agent.generation))).all()
        board = await session.get_one(Board, world.board.id)
        board.objective = "Launch the new site"
    answer = await run_sync(alice, gateway, dry_run=True)

    assert set(answer) == ANSWER
    assert '+        "name": ' in answer["config_diff"]
    assert answer["gateway_id"] == str(gateway.id)
    assert (answer["dry_run"], answer["include_main"], answer["errors"]) == (True, True, [])
    assert (answer["agents_updated"], answer["agents_skipped"]) == (3, 0)
    assert answer["main_updated"] is True
    assert [one["board_id"] for one in answer["agents"]] == [str(world.board.id)] * 3 + [None]
    worker = find_agent_report(answer, world.worker)
    assert worker["agent_name"] == "Worker"
    assert file_states(worker) == {
        **dict.fromkeys(FILES, "same"),
        "AGENTS.md": "changed",
        "SOUL.md": "kept",
    }
    diffs = {file["name"]: file["diff"] for file in worker["files"]}
    assert "+Launch the new site" in diffs["AGENTS.md"]
    assert "-I have found myself." in diffs["SOUL.md"]
    assert worker["message"] == ("1 of 5 files to write. Changed by the agent, and kept: SOUL.md.")
    lead = find_agent_report(answer, world.lead)
    assert set(file_states(lead).values()) == {"new"}
    assert lead["message"].startswith("The gateway does not have this agent yet")
    assert fake_gateway.changes == []
    async with transaction() as session:
        assert (await session.execute(select(Agent.id, Agent.generation))).all() == before
        assert (
            await session.scalar(select(Event.id).where(Event.type == EventType.AGENT_UPDATED))
            is None
        )


async def test_diffs_contain_no_tokens(
    alice: Client,
    gateway: Gateway,
    fake_gateway: FakeAgentsGateway,
    world: World,
    transaction: TransactionFactory,
) -> None:
    await add_agent_with_files(
        transaction, fake_gateway, world.worker, AGENTS="AUTH_TOKEN=of an older kind\n"
    )
    await add_agent_with_files(transaction, fake_gateway, world.other_worker)
    for rotate in (False, True):
        answer = await alice.post(
            f"/gateways/{gateway.id}/templates/sync",
            params={"dry_run": True, "rotate_tokens": rotate},
        )
        assert "of an older kind" not in answer.text
        assert "its-own" not in answer.text
    assert "AUTH_TOKEN" in find_agent_report(answer.json(), world.other_worker)["files"][0]["diff"]


async def test_a_sync_requests_what_it_reports(
    alice: Client,
    gateway: Gateway,
    fake_gateway: FakeAgentsGateway,
    world: World,
    transaction: TransactionFactory,
) -> None:
    await add_agent_with_files(transaction, fake_gateway, world.worker)
    answer = await run_sync(alice, gateway)
    assert (answer["agents_updated"], answer["main_updated"], answer["errors"]) == (3, True, [])
    assert fake_gateway.changes == []
    async with transaction() as session:
        requested = select(Agent).where(Agent.gateway_id == gateway.id)
        agents = (await session.scalars(requested)).all()
        assert {(one.generation, one.step) for one in agents} == {(1, "create")}
        assert not any(one.wants_wake for one in agents)
        reported = select(Event).where(Event.type == EventType.AGENT_UPDATED)
        events = (await session.scalars(reported)).all()
    assert {event.agent_id for event in events} == {one.id for one in agents}
    assert all(event.user_id == world.alice.id for event in events)
    assert all(event.data["changed"] == ["files"] for event in events)


async def test_files_changed_by_agents_are_overwritten_only_on_request(
    alice: Client,
    gateway: Gateway,
    fake_gateway: FakeAgentsGateway,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """W-35."""
    await add_agent_with_files(
        *(transaction, fake_gateway, world.worker),
        **{"SOUL": "mine\n", "IDENTITY": "mine\n", "USER": "mine\n", "MEMORY": "mine\n"},
    )
    own = ("SOUL.md", "IDENTITY.md", "USER.md", "MEMORY.md")
    kept = file_states(
        find_agent_report(await run_sync(alice, gateway, dry_run=True), world.worker)
    )
    assert {kept[name] for name in own} == {"kept"}
    forced = file_states(
        find_agent_report(
            await run_sync(alice, gateway, dry_run=True, overwrite=True), world.worker
        )
    )
    assert [forced[name] for name in own] == ["changed", "changed", "changed", "kept"]
    await run_sync(alice, gateway, overwrite=True)
    async with transaction() as session:
        row = await session.get_one(Agent, world.worker.id)
        assert set(row.provisioning_state.file_digests) == {"MEMORY.md"}


async def test_only_selected_agents_are_synchronized(
    alice: Client, gateway: Gateway, world: World
) -> None:
    leads = await run_sync(alice, gateway, dry_run=True, lead_only=True, include_main=False)
    assert [one["agent_name"] for one in leads["agents"]] == ["Lead"]
    assert leads["main_updated"] is False
    one_board = await run_sync(alice, gateway, dry_run=True, board_id=world.board.id)
    assert [one["agent_name"] for one in one_board["agents"]][-1] == "Harbour master"
    elsewhere = await run_sync(alice, gateway, dry_run=True, board_id=world.garden.id)
    assert (elsewhere["agents"], elsewhere["agents_updated"]) == ([], 0)
    assert elsewhere["main_updated"] is False
    [error] = elsewhere["errors"]
    assert error["board_id"] == str(world.garden.id)
    assert error["agent_id"] is error["agent_name"] is None


async def test_agents_of_paused_boards_and_linked_agents_are_skipped(
    alice: Client, gateway: Gateway, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        (await session.get_one(Agent, world.worker.id)).is_linked = True
    answer = await run_sync(alice, gateway, dry_run=True)
    assert (answer["agents_updated"], answer["agents_skipped"]) == (2, 1)
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).paused_at = now()
    answer = await run_sync(alice, gateway)
    assert (answer["agents_updated"], answer["agents_skipped"]) == (0, 3)
    assert answer["main_updated"] is True
    assert answer["errors"] == []


async def test_an_unreachable_gateway_is_one_error_without_requests(
    alice: Client, gateway: Gateway, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        (await session.get_one(Gateway, gateway.id)).url = "ws://127.0.0.1:9"
    answer = await run_sync(alice, gateway)
    [error] = answer["errors"]
    assert "Nothing listens" in error["message"]
    assert (answer["agents_updated"], answer["main_updated"]) == (0, False)
    async with transaction() as session:
        assert (await session.get_one(Agent, world.worker.id)).generation == 0


async def test_an_error_of_one_agent_does_not_affect_the_others(
    alice: Client,
    gateway: Gateway,
    fake_gateway: FakeAgentsGateway,
    world: World,
    transaction: TransactionFactory,
) -> None:
    await add_agent_with_files(transaction, fake_gateway, world.worker)
    await add_agent_with_files(transaction, fake_gateway, world.other_worker)

    def no(method: str, params: dict[str, Any]) -> ErrorResponse | None:
        is_hers = params.get("agentId") == f"mc-{world.worker.id}"
        return (
            ErrorResponse("INVALID_REQUEST", "no")
            if method == "agents.files.get" and is_hers
            else None
        )

    fake_gateway.fault = no
    answer = await run_sync(alice, gateway)
    [error] = answer["errors"]
    assert (error["agent_id"], error["agent_name"]) == (str(world.worker.id), "Worker")
    assert error["board_id"] == str(world.board.id)
    assert (answer["agents_updated"], answer["agents_skipped"]) == (2, 1)
    async with transaction() as session:
        assert (await session.get_one(Agent, world.worker.id)).generation == 0
        assert (await session.get_one(Agent, world.other_worker.id)).generation == 1


async def test_sessions_are_reset_on_request(
    alice: Client,
    gateway: Gateway,
    fake_gateway: FakeAgentsGateway,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """Only of listed agents: for others the gateway would create sessions."""
    await add_agent_with_files(transaction, fake_gateway, world.worker)
    await add_agent_with_files(transaction, fake_gateway, world.lead)
    await run_sync(alice, gateway, reset_sessions=True, dry_run=True)
    await run_sync(alice, gateway)
    assert fake_gateway.changes == []
    answer = await run_sync(alice, gateway, reset_sessions=True)
    assert answer["reset_sessions"] is True
    reset = [params["key"] for method, params in fake_gateway.changes if method == "sessions.reset"]
    assert reset == [f"agent:lead-{world.board.id}:main", f"agent:mc-{world.worker.id}:main"]


async def test_an_admin_synchronizes_agents_of_writable_boards_only(
    dana: Client, bob: Client, charlie: Client, gateway: Gateway, world: World
) -> None:
    """Dana has no board; Bob is no admin; Charlie is of another organization."""
    answer = await run_sync(dana, gateway, dry_run=True)
    [main] = answer["agents"]
    assert (main["board_id"], answer["agents_skipped"]) == (None, 3)
    assert "Launch" not in str(answer)
    assert {file["diff"] for file in main["files"]} == {"It names boards that you cannot read."}
    path = f"/gateways/{gateway.id}/templates/sync"
    assert (await bob.post(path)).status_code == 403
    assert (await charlie.post(path)).status_code == 404


async def test_token_rotation_is_requested_and_shows_no_token(
    alice: Client,
    gateway: Gateway,
    fake_gateway: FakeAgentsGateway,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """W-07."""
    async with transaction() as session:
        row = await session.get_one(Agent, world.worker.id)
        row.provisioning_state = replace(row.provisioning_state, token_id=str(UUID(int=1)))
        before = len((await session.scalars(select(AgentToken.id))).all())
    answer = await run_sync(alice, gateway, rotate_tokens=True, force_bootstrap=True)
    assert answer["errors"] == []
    async with transaction() as session:
        row = await session.get_one(Agent, world.worker.id)
        assert row.provisioning_state.token_id is None
        assert len((await session.scalars(select(AgentToken.id))).all()) == before


async def test_a_sync_creates_a_missing_gateway_agent(
    alice: Client, gateway: Gateway, transaction: TransactionFactory
) -> None:
    """17.1."""
    async with transaction() as session:
        await session.execute(delete(Agent).where(Agent.board_id.is_(None)))
    for options in ({"dry_run": True}, {"include_main": False}):
        assert (await run_sync(alice, gateway, **options))["main_updated"] is False
    answer = await run_sync(alice, gateway)
    assert answer["main_updated"] is True
    [main] = [one for one in answer["agents"] if one["board_id"] is None]
    assert (main["agent_name"], main["files"]) == ("Harbour Gateway Agent", [])
    again = await run_sync(alice, gateway)
    assert [one["agent_id"] for one in again["agents"]].count(main["agent_id"]) == 1
    async with transaction() as session:
        made = await session.get_one(Agent, UUID(main["agent_id"]))
        assert (made.desired_state, made.step) == ("running", "create")
