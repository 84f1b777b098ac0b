"""A soul that somebody writes for an agent comes to it, whatever the agent made of the last one."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from models import Agent
from services import agents, boards
from tests.conftest import Transaction
from tests.services.yard import Yard, a_yard
from tests.world import World

OWN, GIVEN = "I have found myself.\n", "Be brief and kind."

Writing = Callable[[Yard, Agent, str], Awaitable[None]]


@pytest.fixture
async def yard(transaction: Transaction, world: World) -> AsyncIterator[Yard]:
    async with a_yard(transaction, world) as yard:
        yield yard


async def by_a_lead(yard: Yard, agent: Agent, soul: str) -> None:
    lead = await yard.add("Lead", is_board_lead=True) if not agent.is_board_lead else agent
    async with yard.transaction() as session:
        board = await boards.hold(session, yard.world.alice, yard.world.garden.id)
        await agents.write_soul(session, lead, board, agent.id, soul)


async def by_an_admin(yard: Yard, agent: Agent, soul: str) -> None:
    async with yard.transaction() as session:
        await agents.change(session, yard.world.alices, agent.id, {"soul_template": soul})


@pytest.mark.parametrize("is_lead", [False, True])
@pytest.mark.parametrize("write", [by_a_lead, by_an_admin])
async def test_who_writes_a_soul_finds_it_there_until_the_agent_makes_it_its_own(
    yard: Yard, write: Writing, is_lead: bool
) -> None:
    agent = await yard.there(is_board_lead=is_lead)
    files = yard.files(agent)
    files["SOUL.md"], files["USER.md"] = OWN, OWN
    await write(yard, agent, GIVEN)
    await yard.settle()
    assert GIVEN in files["SOUL.md"]
    assert files["USER.md"] == OWN

    files["SOUL.md"] += OWN
    await yard.change_board(objective="Grow tomatoes")
    await yard.settle()
    assert files["SOUL.md"].endswith(OWN)
    assert "Grow tomatoes" in files["AGENTS.md"]


async def test_another_name_leaves_an_agent_the_soul_that_it_has_made_its_own(yard: Yard) -> None:
    agent = await yard.there()
    yard.files(agent)["SOUL.md"] = OWN
    async with yard.transaction() as session:
        await agents.change(session, yard.world.alices, agent.id, {"name": "Author"})
    await yard.settle()
    assert yard.files(agent)["SOUL.md"] == OWN
