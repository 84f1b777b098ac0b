"""A new soul reaches an agent on a gateway, also if the agent has changed the last one."""

from collections.abc import Awaitable, Callable

import pytest

from models import Agent
from services import agents, boards
from services.agents import SoulUpdate
from tests.support.provisioning_harness import (
    ProvisioningHarness,
    harness,
)
from tests.support.tiers import repetition

__all__ = ["harness"]

OWN, GIVEN = "I have found myself.\n", "Be brief and kind."

Writing = Callable[[ProvisioningHarness, Agent, str], Awaitable[None]]


async def set_soul_as_lead(harness: ProvisioningHarness, agent: Agent, soul: str) -> None:
    lead = (
        await harness.create_agent("Lead", is_board_lead=True) if not agent.is_board_lead else agent
    )
    async with harness.transaction() as session:
        board = await boards.lock_board(session, harness.world.alice, harness.world.garden.id)
        await agents.write_soul(session, lead, board, agent.id, SoulUpdate(content=soul))


async def set_soul_as_admin(harness: ProvisioningHarness, agent: Agent, soul: str) -> None:
    async with harness.transaction() as session:
        await agents.update_agent(
            session, harness.world.alice_member, agent.id, agents.AgentUpdate.of(soul_template=soul)
        )


@pytest.mark.parametrize(
    ("write", "is_lead"),
    [
        (set_soul_as_lead, False),
        (set_soul_as_admin, True),
        pytest.param(set_soul_as_lead, True, marks=repetition),
        pytest.param(set_soul_as_admin, False, marks=repetition),
    ],
)
async def test_a_soul_is_written_until_the_agent_changes_it(
    harness: ProvisioningHarness, write: Writing, is_lead: bool
) -> None:
    agent = await harness.create_online_agent(is_board_lead=is_lead)
    files = harness.files_of(agent)
    files["SOUL.md"], files["USER.md"] = OWN, OWN
    await write(harness, agent, GIVEN)
    await harness.reconcile_until_idle()
    assert GIVEN in files["SOUL.md"]
    assert files["USER.md"] == OWN

    files["SOUL.md"] += OWN
    await harness.update_board(objective="Grow tomatoes")
    await harness.reconcile_until_idle()
    assert files["SOUL.md"].endswith(OWN)
    assert "Grow tomatoes" in files["AGENTS.md"]


async def test_a_rename_keeps_a_soul_that_the_agent_has_changed(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    harness.files_of(agent)["SOUL.md"] = OWN
    async with harness.transaction() as session:
        await agents.update_agent(
            session, harness.world.alice_member, agent.id, agents.AgentUpdate.of(name="Author")
        )
    await harness.reconcile_until_idle()
    assert harness.files_of(agent)["SOUL.md"] == OWN
