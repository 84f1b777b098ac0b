"""What is looked up for the files of agents."""

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from models import Board, EventType, Member, User
from services import agent_files, events
from tests.conftest import Transaction
from tests.world import World, a_gateway, a_main, token_of

BASE_URL = "https://control.example"


async def test_the_agents_of_a_gateway_are_told_of_with_five_questions(
    transaction: Transaction, world: World
) -> None:
    async with transaction() as session:
        gateway = a_gateway(world.tern, workspace_root="~/.openclaw/")
        session.add(gateway)
        await session.flush()
        [main, token] = a_main(gateway)
        session.add_all([main, token])
        for board in (world.board, world.garden):
            (await session.get_one(Board, board.id)).gateway_id = gateway.id
        lead, worker = world.lead, world.worker
        lead.gateway_id = worker.gateway_id = gateway.id
        await session.flush()

        asked: list[str] = []
        connection = (await session.connection()).sync_connection
        event.listen(connection, "before_cursor_execute", lambda *told: asked.append(told[2]))
        tokens = {worker.id: "mc_agent_w"}
        told = await agent_files.facts_for(
            session, [main, lead, worker], base_url=BASE_URL, tokens=tokens
        )
    assert len(asked) <= 5
    assert [told[one.id].role for one in (main, lead, worker)] == ["main", "lead", "worker"]
    assert [told[one.id].token for one in (main, worker)] == ["", "mc_agent_w"]
    assert told[worker.id].workspace == f"~/.openclaw/workspace-mc-{worker.id}"
    assert told[lead.id].workspace == f"~/.openclaw/workspace-lead-{world.board.id}"
    assert told[main.id].workspace == f"~/.openclaw/workspace-gateway-{gateway.id}"
    assert told[main.id].session_key == gateway.session_key
    names = [(board.name, board.lead) for board in told[main.id].boards]
    assert names == [("Garden", None), ("Launch", "Lead")]
    of_worker = told[worker.id].board
    assert of_worker
    assert (of_worker.name, of_worker.lead) == ("Launch", "Lead")


async def test_an_agent_works_for_who_confirmed_its_boards_goal_or_else_for_the_owner(
    session: AsyncSession, world: World
) -> None:
    told = await agent_files.facts_of(session, world.worker, base_url=BASE_URL)
    assert told.person
    assert told.person.name == "Alice"
    dana = await session.get_one(User, world.dana.id)
    dana.timezone = "Europe/Lisbon"
    confirmed = events.Happened(
        EventType.ONBOARDING_CONFIRMED, dana, organization_id=world.tern.id, board=world.board
    )
    await events.record_all(session, [confirmed])
    told = await agent_files.facts_of(session, world.worker, base_url=BASE_URL)
    assert told.person
    assert (told.person.name, told.person.timezone) == ("Dana", "Europe/Lisbon")
    gone = await session.get_one(Member, world.danas.id)
    await session.delete(gone)
    await session.flush()
    told = await agent_files.facts_of(session, world.worker, base_url=BASE_URL)
    assert told.person
    assert told.person.name == "Alice"


async def test_no_file_holds_the_token_of_another_agent(
    session: AsyncSession, world: World
) -> None:
    crew = [world.lead, world.worker, world.other_worker]
    tokens = {agent.id: token_of(agent) for agent in crew}
    told = await agent_files.facts_for(session, crew, base_url=BASE_URL, tokens=tokens)
    for agent in crew:
        facts = told[agent.id]
        texts = [*agent_files.render(facts).values(), agent_files.scratch(facts)]
        written = "\n".join([*texts, agent_files.first_message(facts)])
        assert [one.name for one in crew if f"{token_of(one)}\n" in written] == [agent.name]


@pytest.mark.parametrize(
    ("config", "every", "is_quiet"),
    [
        (None, "10m", True),
        ({"every": "45m"}, "45m", True),
        ({"every": "45m", "quiet": False}, "45m", False),
        ({"every": "0m", "quiet": False}, "0m", True),
    ],
)
async def test_how_an_agent_hears_of_its_work_is_as_its_gateway_does_it(
    session: AsyncSession,
    world: World,
    config: dict[str, Any] | None,
    every: str,
    is_quiet: bool,
) -> None:
    """W-54."""
    world.worker.heartbeat_config = config
    told = await agent_files.facts_of(session, world.worker, base_url=BASE_URL)
    assert (told.every, told.is_quiet) == (every, is_quiet)
