"""The data that is loaded for the files of agents."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from models import Board, EventType, Member, User
from services import events
from services.gateways import files
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.people_rows import token_secret
from tests.support.statement_counter import count_statements
from tests.support.world import World

BASE_URL = "https://control.example"


async def test_the_files_of_all_agents_are_loaded_with_five_statements(
    transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        gateway = make_gateway(world.tern, workspace_root="~/.openclaw/")
        session.add(gateway)
        await session.flush()
        [main, token] = make_main_agent(gateway)
        session.add_all([main, token])
        for board in (world.board, world.garden):
            (await session.get_one(Board, board.id)).gateway_id = gateway.id
        lead, worker = world.lead, world.worker
        lead.gateway_id = worker.gateway_id = gateway.id
        await session.flush()

        tokens = {worker.id: "mc_agent_w"}
        with count_statements(await session.connection()) as requested:
            reported = await files.load_facts(
                session, [main, lead, worker], base_url=BASE_URL, tokens=tokens
            )
    assert len(requested) <= 5
    assert [reported[one.id].role for one in (main, lead, worker)] == ["main", "lead", "worker"]
    assert [reported[one.id].token for one in (main, worker)] == ["", "mc_agent_w"]
    assert reported[worker.id].workspace == f"~/.openclaw/workspace-mc-{worker.id}"
    assert reported[lead.id].workspace == f"~/.openclaw/workspace-lead-{world.board.id}"
    assert reported[main.id].workspace == f"~/.openclaw/workspace-gateway-{gateway.id}"
    assert reported[main.id].session_key == gateway.session_key
    names = [(board.name, board.lead_name) for board in reported[main.id].boards]
    assert names == [("Garden", None), ("Launch", "Lead")]
    of_worker = reported[worker.id].board
    assert of_worker
    assert (of_worker.name, of_worker.lead_name) == ("Launch", "Lead")


async def test_an_agent_works_for_the_confirmer_of_the_goal_or_the_owner(
    session: AsyncSession, world: World
) -> None:
    reported = await files.load_agent_facts(session, world.worker, base_url=BASE_URL)
    assert reported.person
    assert reported.person.name == "Alice"
    dana = await session.get_one(User, world.dana.id)
    dana.timezone = "Europe/Lisbon"
    confirmed = events.NewEvent(
        EventType.ONBOARDING_CONFIRMED, dana, organization_id=world.tern.id, board=world.board
    )
    await events.record_events(session, [confirmed])
    reported = await files.load_agent_facts(session, world.worker, base_url=BASE_URL)
    assert reported.person
    assert (reported.person.name, reported.person.timezone) == ("Dana", "Europe/Lisbon")
    deleted = await session.get_one(Member, world.dana_member.id)
    await session.delete(deleted)
    await session.flush()
    reported = await files.load_agent_facts(session, world.worker, base_url=BASE_URL)
    assert reported.person
    assert reported.person.name == "Alice"


async def test_no_file_contains_the_token_of_another_agent(
    session: AsyncSession, world: World
) -> None:
    agents_on_board = [world.lead, world.worker, world.other_worker]
    tokens = {agent.id: token_secret(agent) for agent in agents_on_board}
    reported = await files.load_facts(session, agents_on_board, base_url=BASE_URL, tokens=tokens)
    for agent in agents_on_board:
        facts = reported[agent.id]
        texts = [*files.render_files(facts).values(), files.render_heartbeat(facts)]
        written = "\n".join([*texts, files.render_first_message(facts)])
        assert [one.name for one in agents_on_board if f"{token_secret(one)}\n" in written] == [
            agent.name
        ]


@pytest.mark.parametrize(
    ("config", "every", "gets_heartbeats"),
    [
        (None, "10m", False),
        ({"every": "45m"}, "45m", False),
        ({"every": "45m", "quiet": False}, "45m", True),
        ({"every": " 1h30m ", "quiet": False}, "90m", True),
        ({"every": "10ms", "quiet": False}, "1s", True),
        ({"every": "often", "quiet": False}, "10m", True),
        ({"every": "0m", "quiet": False}, "", False),
    ],
)
async def test_the_files_describe_how_the_agent_is_woken(
    session: AsyncSession,
    world: World,
    config: dict[str, Any] | None,
    every: str,
    gets_heartbeats: bool,
) -> None:
    """W-54."""
    world.worker.heartbeat_config = config
    reported = await files.load_agent_facts(session, world.worker, base_url=BASE_URL)
    assert (reported.heartbeat_interval, reported.gets_heartbeats) == (every, gets_heartbeats)
