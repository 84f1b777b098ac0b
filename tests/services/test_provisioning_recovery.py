"""Situations in which the original product left agents stuck (contract, W-02 to W-59)."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import Unauthorized
from models import Agent, AgentToken, EventType, ProvisioningStep
from services import agents, boards, desired_state, onboarding
from services.gateways.provisioning import state_machine
from services.onboarding import OnboardingGoal
from tests.support.credentials import authenticate_agent
from tests.support.fake_agents_gateway import Fault, LostAfter, LostBefore
from tests.support.fake_gateway import ErrorResponse
from tests.support.provisioning_harness import (
    BASE_URL,
    ProvisioningHarness,
    harness,
    run_provisioning_harness,
)
from tests.support.tiers import repetition
from tests.support.world import World

__all__ = ["harness"]

UNAVAILABLE = "UNAVAILABLE"
MINUTES = timedelta(minutes=1)


def reject_methods(*methods: str) -> Any:
    """Return a fault: the gateway rejects these methods."""

    def refuse(method: str, _params: Any) -> Fault:
        return ErrorResponse(UNAVAILABLE, "not now") if method in methods else None

    return refuse


async def request_sync(harness: ProvisioningHarness, agent: Agent, **how: Any) -> None:
    async with harness.transaction() as session:
        await desired_state.request_sync(session, Agent.id == agent.id, **how)


async def agent_name_of_token(harness: ProvisioningHarness, token: str) -> str | None:
    """Return the name of the agent that has a token."""
    async with harness.transaction() as session:
        agent = await authenticate_agent(session, token)
        return agent.name if agent else None


async def advance_clock(harness: ProvisioningHarness, by: timedelta) -> None:
    """Advance the clock, and reconcile as often as necessary meanwhile."""
    until = harness.moment + by
    while True:
        more_at = await harness.reconcile_once()
        if more_at is None or more_at > until:
            break
        harness.moment = max(harness.moment, more_at)
    harness.moment = until
    await harness.reconcile_once()


async def test_the_old_token_stays_valid_until_the_new_one_is_written(
    harness: ProvisioningHarness,
) -> None:
    """W-02, W-30."""
    agent = await harness.create_online_agent()
    old = harness.token_of(agent)
    harness.fake.fault = reject_methods("agents.files.set")
    await request_sync(harness, agent, rotate=True)
    await advance_clock(harness, 5 * MINUTES)
    assert (await harness.get_agent(agent)).provision_failure
    assert await agent_name_of_token(harness, old) == agent.name
    harness.fake.fault = lambda _method, _params: None
    await advance_clock(harness, 15 * MINUTES)
    new = harness.token_of(agent)
    assert new != old
    assert (
        await agent_name_of_token(harness, old)
        == await agent_name_of_token(harness, new)
        == agent.name
    )
    with pytest.raises(Unauthorized, match="ended or replaced"):
        await agent_name_of_token(harness, old)
    assert (await harness.get_agent(agent)).provision_failure is None


async def test_a_token_in_files_of_a_gateway_has_the_chosen_end(
    harness: ProvisioningHarness,
) -> None:
    """A token that has ended is replaced when the files are written next."""
    agent = await harness.create_online_agent()
    async with harness.transaction() as session:
        await session.execute(update(Agent).where(Agent.id == agent.id).values(token_days=30))
    await request_sync(harness, agent, rotate=True)
    await advance_clock(harness, 5 * MINUTES)
    token = harness.token_of(agent)
    assert await agent_name_of_token(harness, token) == agent.name
    end = (await harness.get_agent(agent)).token_expires_at
    assert end is not None
    assert timedelta(days=29) < end - now() <= timedelta(days=30)
    async with harness.transaction() as session:
        ended = update(AgentToken).where(AgentToken.agent_id == agent.id)
        await session.execute(ended.values(expires_at=now()))
    with pytest.raises(Unauthorized, match="has expired"):
        await agent_name_of_token(harness, token)
    await request_sync(harness, agent)
    await advance_clock(harness, 5 * MINUTES)
    assert harness.token_of(agent) != token
    assert await agent_name_of_token(harness, harness.token_of(agent)) == agent.name


async def test_a_lost_answer_loses_no_token(
    harness: ProvisioningHarness,
) -> None:
    """W-30: the digest is recorded before the file is written."""
    agent = await harness.create_online_agent()

    def cut_off(method: str, _params: Any) -> Fault:
        return LostAfter() if method == "agents.files.set" else None

    harness.fake.fault = cut_off
    await request_sync(harness, agent, rotate=True)
    await harness.reconcile_once()
    harness.fake.fault = lambda _method, _params: None
    assert await agent_name_of_token(harness, harness.token_of(agent)) == agent.name


@pytest.mark.parametrize(
    "method",
    [
        "agents.files.set",
        *(pytest.param(one, marks=repetition) for one in ("agents.create", "config.patch")),
    ],
)
async def test_a_step_that_fails_first_is_retried_automatically(
    harness: ProvisioningHarness, method: str
) -> None:
    """W-25, W-26: with the same generation, because nothing else was requested."""
    harness.fake.fault = reject_methods(method)
    agent = await harness.create_agent()
    await advance_clock(harness, 5 * MINUTES)
    failed = await harness.get_agent(agent)
    assert failed.provision_failure
    assert failed.provision_failure["reason"]
    harness.fake.fault = lambda _method, _params: None
    await advance_clock(harness, state_machine.FAILED_STEP_RETRY_AFTER + MINUTES)
    there = await harness.get_agent(agent)
    assert (there.observed_generation, there.generation) == (1, failed.generation)
    assert there.provision_failure is None
    assert agent.gateway_key in harness.fake.listed_agents()


async def test_an_accepted_agent_that_is_not_listed_is_reported_until_a_restart(
    harness: ProvisioningHarness,
) -> None:
    """A gateway that was killed during a creation accepts the next agent and does not list it."""
    harness.fake.listing_delay = 1_000_000
    agent = await harness.create_agent()
    await advance_clock(harness, 2 * MINUTES)
    failure = (await harness.get_agent(agent)).provision_failure
    assert failure
    assert (failure["code"], failure["step"]) == ("not_listed", "listed")
    assert failure["command"] == "openclaw gateway restart"
    for _ in range(5):
        await advance_clock(harness, 2 * MINUTES)
        assert (await harness.get_agent(agent)).provision_failure == failure
    assert len(await harness.list_events(EventType.AGENT_PROVISION_FAILED)) == 1
    assert [method for method, _ in harness.fake.changes] == ["agents.create"]
    harness.fake.delayed_agents.clear()  # as after a restart
    await advance_clock(harness, 2 * MINUTES)
    there = await harness.get_agent(agent)
    assert (there.observed_generation, there.provision_failure) == (1, None)
    assert len(await harness.list_events(EventType.AGENT_PROVISIONED)) == 1


async def test_no_lock_is_held_during_gateway_calls(
    transaction: TransactionFactory, world: World
) -> None:
    """W-31."""
    opened = 0

    @asynccontextmanager
    async def counted() -> AsyncGenerator[AsyncSession]:
        nonlocal opened
        opened += 1
        async with transaction() as session:
            yield session
        opened -= 1

    async with run_provisioning_harness(counted, world) as harness:
        meanwhile: list[int] = []
        harness.fake.fault = lambda _method, _params: meanwhile.append(opened)
        agent = await harness.create_online_agent()
        await request_sync(harness, agent, rotate=True)
        await harness.reconcile_until_idle()
    assert len(meanwhile) > 10
    assert set(meanwhile) == {0}


async def test_a_config_patch_contains_only_names(
    harness: ProvisioningHarness,
) -> None:
    """W-33."""
    own = {"name": "Somebody's", "model": "own", "heartbeat": {"every": "1h"}}
    harness.fake.entries["own"] = dict(own)
    harness.fake.config["tools"] = {"exec": {"host": "own"}}
    restarts = [LostAfter(), LostBefore()]

    def restart(method: str, _params: Any) -> Fault:
        return restarts.pop() if method == "config.patch" and restarts else None

    harness.fake.fault = restart
    created = [await harness.create_agent(name) for name in ("Ada", "Bo", "Cy")]
    await harness.reconcile_until_idle()
    assert restarts == []
    for agent in created:
        there = await harness.get_agent(agent)
        assert (there.step, there.provision_failure) == (ProvisioningStep.CHECK_IN, None)
    assert harness.fake.entries["own"] == own
    assert harness.fake.config["tools"] == {"exec": {"host": "own"}}
    patches = [params["raw"] for method, params in harness.fake.changes if "config" in method]
    for patch in map(json.loads, patches):
        assert patch.keys() == {"agents"}
        entries = patch["agents"]["entries"]
        assert entries.keys() <= {agent.gateway_key for agent in created}
        assert {part for entry in entries.values() for part in entry} == {"name", "identity"}
        assert {part for entry in entries.values() for part in entry["identity"]} == {"name"}


async def test_changes_by_the_agent_are_kept_until_an_overwrite(
    harness: ProvisioningHarness,
) -> None:
    """W-35, W-07: its token stays valid, and is not read from its files."""
    agent = await harness.create_online_agent(soul_template="Be kind.")
    token, ours = harness.token_of(agent), harness.files_of(agent)["SOUL.md"]
    harness.files_of(agent)["SOUL.md"] = "My own."
    for overwrite, soul in (((), "My own."), (desired_state.MANAGED_FILES, ours)):
        await request_sync(harness, agent, overwrite=overwrite)
        await harness.reconcile_until_idle()
        assert harness.files_of(agent)["SOUL.md"] == soul
        assert harness.token_of(agent) == token
    harness.files_of(agent)["AGENTS.md"] = "I threw it away."
    await request_sync(harness, agent)
    await harness.reconcile_until_idle()
    assert harness.token_of(agent) == token


@pytest.mark.parametrize("lead", [False, True])
async def test_an_agent_starts_with_our_files_only(
    harness: ProvisioningHarness, *, lead: bool
) -> None:
    """W-15, W-59: a first message, because BOOTSTRAP.md is removed before the first turn."""
    agent = await harness.create_online_agent("Ada", is_board_lead=lead)
    await request_sync(harness, agent)
    await harness.reconcile_until_idle()
    [hello] = await harness.list_messages(agent)
    assert hello.kind == "WAKE UP"
    assert "check-in" in hello.content
    written = [params["name"] for method, params in harness.fake.changes if "files" in method]
    assert "BOOTSTRAP.md" not in written
    for name in ("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md"):
        assert harness.files_of(agent)[name] != "The gateway's own."


async def test_a_moved_agent_is_removed_from_its_old_gateway(
    harness: ProvisioningHarness, world: World
) -> None:
    """W-48: together with its token."""
    agent = await harness.create_online_agent()
    key, token = agent.gateway_key, harness.token_of(agent)
    async with harness.transaction() as session:
        elsewhere = {"board_id": world.board.id}
        await agents.update_agent(
            session, world.alice_member, agent.id, agents.AgentUpdate.parse(elsewhere)
        )
    await advance_clock(harness, MINUTES)
    assert key not in harness.fake.listed_agents()
    assert await agent_name_of_token(harness, token) is None
    moved = await harness.get_agent(agent)
    assert (moved.board_id, moved.gateway_id, moved.step) == (world.board.id, None, None)


async def test_a_board_can_be_deleted_while_its_gateway_is_unreachable(
    harness: ProvisioningHarness, world: World
) -> None:
    """C23, W-53."""
    created = [await harness.create_online_agent(name) for name in ("Ada", "Bo")]
    tokens = [harness.token_of(agent) for agent in created]
    harness.is_unreachable = True
    await harness.client.close()
    async with harness.transaction() as session:
        board = await boards.lock_board(session, world.alice, world.garden.id)
        await boards.delete_board(session, world.alice, board)
    await advance_clock(harness, MINUTES)
    assert [await agent_name_of_token(harness, token) for token in tokens] == [None, None]
    assert [await harness.find_agent(agent) for agent in created] == [None, None]
    harness.is_unreachable = False
    await advance_clock(harness, 5 * MINUTES)
    assert not {agent.gateway_key for agent in created} & set(harness.fake.listed_agents())


async def test_the_lead_of_a_confirmed_goal_waits_for_its_gateway(
    harness: ProvisioningHarness, world: World
) -> None:
    """W-13."""
    harness.fake.fault = reject_methods("agents.create")
    goal = OnboardingGoal(board_type="general", lead_agent={"name": "Ada"})
    async with harness.transaction() as session:
        board = await boards.lock_board(session, world.alice, world.garden.id)
        await onboarding.start_onboarding(session, world.alice, board, base_url=BASE_URL)
        await onboarding.confirm_goal(session, world.alice, board, goal)
    await advance_clock(harness, 3 * MINUTES)
    [lead] = [one async for one in confirmed_lead(harness, world)]
    assert lead.provision_failure
    harness.fake.fault = lambda _method, _params: None
    await advance_clock(harness, state_machine.FAILED_STEP_RETRY_AFTER + MINUTES)
    assert lead.gateway_key in harness.fake.listed_agents()
    received = await harness.list_events(EventType.AGENT_PROVISIONED)
    assert [event.agent_id for event in received] == [lead.id]


async def confirmed_lead(harness: ProvisioningHarness, world: World) -> AsyncIterator[Agent]:
    async with harness.transaction() as session:
        created = await agents.list_board_agents(session, world.garden)
    for one in created:
        if one.is_board_lead:
            yield one
