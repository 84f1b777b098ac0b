"""Removal of agents from their gateway, and what waits for it."""

from typing import Any

import pytest
from sqlalchemy import func, select

from core.errors import Unauthorized
from models import (
    Agent,
    AgentStatus,
    AgentToken,
    Event,
    EventType,
    OrphanedGatewayAgent,
    Status,
    Task,
)
from services import agents, boards, messages
from services.gateways import provisioning
from services.gateways.provisioning import ProvisioningStatus
from tests.services.test_provisioning_ends import MINUTE, no_fault, reject_method
from tests.support.board_rows import make_task
from tests.support.provisioning_harness import (
    ProvisioningHarness,
    harness,
)

__all__ = ["harness"]


async def delete_agent(harness: ProvisioningHarness, agent: Agent, *, force: bool = False) -> None:
    async with harness.transaction() as session:
        await agents.delete_agent(session, harness.world.alice, agent.id, force=force)


async def test_senders_learn_that_an_agent_was_removed_before_their_messages(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    await delete_agent(harness, agent)
    async with harness.transaction() as session:
        late = messages.OutgoingMessage(to=agent, content="NUDGE")
        [id] = await messages.enqueue_messages(session, [late])
    await harness.reconcile_until_idle()
    async with harness.transaction() as session:
        failed = select(Event.data).where(Event.type == EventType.MESSAGE_FAILED)
        assert str(id) in [data["message_id"] for data in await session.scalars(failed)]


async def count_rows(harness: ProvisioningHarness, what: Any) -> int:
    async with harness.transaction() as session:
        return await session.scalar(select(func.count()).select_from(what)) or 0


async def test_a_deleted_agent_loses_its_tokens_at_once(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    async with harness.transaction() as session:
        board = await boards.lock_board(session, harness.world.alice, harness.world.garden.id)
        task = make_task(board, "Write", status=Status.IN_PROGRESS, assigned_agent_id=agent.id)
        session.add(task)
    await delete_agent(harness, agent)
    row = await harness.get_agent(agent)
    assert agents.compute_status(row, None, harness.moment) == AgentStatus.DELETING
    assert provisioning.provisioning_status(row, harness.moment) is ProvisioningStatus.REMOVING
    async with harness.transaction() as session:
        tokens = select(AgentToken).where(AgentToken.agent_id == agent.id)
        assert (await session.scalars(tokens)).all() == []
        task = await session.scalar(select(Task).where(Task.board_id == agent.board_id))
        assert task
        assert (task.status, task.assigned_agent_id) == (Status.INBOX, None)
    await harness.reconcile_until_idle()
    assert await harness.find_agent(agent) is None
    assert harness.fake.listed_agents() == []
    events = await harness.list_events(EventType.AGENT_STATUS_CHANGED, EventType.AGENT_DELETED)
    assert [event.type for event in events if event.agent_id == agent.id][-2:] == [
        EventType.AGENT_STATUS_CHANGED,
        EventType.AGENT_DELETED,
    ]


async def test_a_call_that_waited_for_the_removal_takes_no_task(
    harness: ProvisioningHarness,
) -> None:
    """Its token was valid when it began."""
    agent = await harness.create_online_agent()
    await delete_agent(harness, agent)
    async with harness.transaction() as session:
        with pytest.raises(Unauthorized):
            await boards.lock_board(session, agent, harness.world.garden.id)


async def test_a_failed_removal_is_reported_and_can_be_forced(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    harness.fake.fault = reject_method("agents.delete")
    await delete_agent(harness, agent)
    await harness.reconcile_until_idle()
    row = await harness.get_agent(agent)
    assert row.provision_failure
    assert row.provision_failure["step"] == "remove"
    assert len(await harness.list_events(EventType.AGENT_DELETE_FAILED)) == 1
    await delete_agent(harness, agent, force=True)
    assert await harness.find_agent(agent) is None
    assert await count_rows(harness, OrphanedGatewayAgent) == 0
    assert harness.fake.listed_agents() == [agent.gateway_key]


async def test_a_gateway_that_lists_no_agents_is_not_called_constantly(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    async with harness.transaction() as session:
        board = await boards.lock_board(session, harness.world.alice, harness.world.garden.id)
        await boards.delete_board(session, harness.world.alice, board)
    harness.fake.fault = reject_method("agents.list")
    for _ in range(8):
        await harness.reconcile_once()
        harness.moment += MINUTE
    await harness.reconcile_once()
    more_at = await harness.reconcile_once()
    assert more_at is not None
    assert more_at > harness.moment
    assert await count_rows(harness, OrphanedGatewayAgent) == 1
    harness.fake.fault = no_fault
    harness.moment += MINUTE
    await harness.reconcile_until_idle()
    assert await count_rows(harness, OrphanedGatewayAgent) == 0
    assert agent.gateway_key not in harness.fake.listed_agents()


async def test_an_agent_that_was_never_created_is_deleted_at_once(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_agent()
    await delete_agent(harness, agent)
    assert await harness.find_agent(agent) is None
    await harness.reconcile_until_idle()
    assert (harness.fake.listed_agents(), await count_rows(harness, OrphanedGatewayAgent)) == (
        [],
        0,
    )


async def test_a_new_lead_waits_until_the_old_one_is_removed(
    harness: ProvisioningHarness,
) -> None:
    old = await harness.create_online_agent("Ada", is_board_lead=True)
    harness.fake.fault = reject_method("agents.delete")
    await delete_agent(harness, old)
    new = await harness.create_agent("Ada", is_board_lead=True)
    assert new.gateway_key == old.gateway_key
    await harness.reconcile_until_idle()
    failure = (await harness.get_agent(new)).provision_failure
    assert failure
    assert failure["code"] == "place_taken"
    harness.fake.fault = no_fault
    harness.moment += 11 * MINUTE
    await harness.reconcile_until_idle()
    harness.moment += 11 * MINUTE
    await harness.reconcile_until_idle()
    assert await harness.find_agent(old) is None
    created = [method for method, _ in harness.fake.changes if method.startswith("agents.")]
    assert created == [
        *("agents.create", *["agents.files.set"] * 5, "agents.delete"),
        *("agents.create", *["agents.files.set"] * 5),
    ]


async def test_a_removed_agent_frees_its_name_and_gets_no_tasks(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent("Ada")
    await delete_agent(harness, agent)
    new = await harness.create_agent("Ada")
    async with harness.transaction() as session:
        found = await agents.find_agent_by_name(session, harness.world.alice_member, "Ada")
    assert found is not None
    assert found.id == new.id
