"""Provisioning: failures have a code and a reason, and removed agents are removed."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from core.errors import Conflict
from models import (
    AgentStatus,
    EventType,
    ProvisioningStep,
)
from openclaw import api as gateway_api
from openclaw import diagnose_outcome
from services import agents
from services.agents import StatusSource
from services.gateways import provisioning
from services.gateways.provisioning import ProvisioningStatus
from tests.support.fake_agents_gateway import Fault, LostBefore
from tests.support.fake_gateway import ErrorResponse
from tests.support.provisioning_harness import (
    ProvisioningHarness,
    harness,
)
from tests.support.tiers import repetition
from tests.support.world import World

__all__ = ["harness"]

MINUTE = timedelta(minutes=1)


def reject_method(method: str) -> Any:
    """Return a fault: the gateway rejects this method."""

    def refuse(called: str, _params: Any) -> Fault:
        return ErrorResponse("INVALID_REQUEST", "no such thing") if called == method else None

    return refuse


def no_fault(_method: str, _params: Any) -> Fault:
    return None


@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("agents.create", ProvisioningStep.CREATE),
        ("agents.files.set", ProvisioningStep.FILES),
        ("config.patch", ProvisioningStep.HEARTBEAT),
        ("cron.list", ProvisioningStep.SCRATCH),
    ],
)
async def test_a_rejected_step_fails_in_time_and_can_be_retried(
    harness: ProvisioningHarness, method: str, step: ProvisioningStep
) -> None:
    harness.fake.fault = reject_method(method)
    agent, began = await harness.create_agent(), harness.moment
    await harness.reconcile_until_idle()
    agent = await harness.get_agent(agent)
    assert harness.moment - began <= 4 * MINUTE
    assert provisioning.provisioning_status(agent, harness.moment) is ProvisioningStatus.FAILED
    failure = agent.provision_failure
    assert failure
    assert (failure["step"], failure["code"]) == (step.value, "rejected")
    assert failure["reason"] == "The gateway rejected the request: no such thing"
    assert failure["command"]
    assert agents.compute_status(agent, None, harness.moment) == AgentStatus.OFFLINE
    assert agents.find_status_evidence(agent, harness.moment).source is StatusSource.FAILURE
    [events] = await harness.list_events(EventType.AGENT_PROVISION_FAILED)
    assert (events.agent_id, events.data["step"]) == (agent.id, step.value)
    harness.fake.fault = no_fault
    async with harness.transaction() as session:
        await agents.reprovision_agent(session, harness.world.alice_member, agent.id)
    await harness.reconcile_until_idle()
    agent = await harness.get_agent(agent)
    assert (agent.step, agent.provision_failure) == (ProvisioningStep.CHECK_IN, None)


async def test_a_rejected_name_is_reported_and_can_be_retried(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    harness.fake.fault = reject_method("agents.update")
    async with harness.transaction() as session:
        member = harness.world.alice_member
        await agents.update_agent(session, member, agent.id, agents.AgentUpdate.of(name="Editor"))
    await harness.reconcile_until_idle()
    failure = (await harness.get_agent(agent)).provision_failure
    assert failure
    assert (failure["step"], failure["code"]) == ("name", "rejected")
    assert await harness.list_events(EventType.AGENT_UPDATE_FAILED)
    harness.fake.fault = no_fault
    harness.moment += 11 * MINUTE
    await harness.reconcile_until_idle()
    assert harness.fake.entries[agent.gateway_key or ""]["name"] == "Editor"
    assert (await harness.get_agent(agent)).provision_failure is None


async def test_a_failed_step_succeeds_automatically_after_the_repair(
    harness: ProvisioningHarness,
) -> None:
    harness.fake.fault = reject_method("agents.files.set")
    agent = await harness.create_agent()
    await harness.reconcile_until_idle()
    assert (await harness.get_agent(agent)).provision_failure
    harness.fake.fault = no_fault
    harness.moment += 11 * MINUTE
    await harness.reconcile_until_idle()
    agent = await harness.get_agent(agent)
    assert (agent.step, agent.provision_failure) == (ProvisioningStep.CHECK_IN, None)


async def test_an_invalid_answer_of_the_gateway_is_a_failure(harness: ProvisioningHarness) -> None:
    harness.fake.handlers["agents.files.get"] = lambda _: {"file": 5}
    agent = await harness.create_agent()
    await harness.reconcile_until_idle()
    failure = (await harness.get_agent(agent)).provision_failure
    assert failure
    assert failure["code"] == "malformed"


async def test_an_unexpected_error_is_a_failure_with_a_code(
    harness: ProvisioningHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_api, "get_agent_file", None)
    agent = await harness.create_agent()
    await harness.reconcile_until_idle()
    failure = (await harness.get_agent(agent)).provision_failure
    assert failure
    assert failure["code"] == "unexpected"


async def test_the_retry_delay_of_a_rate_limit_is_respected(
    harness: ProvisioningHarness,
) -> None:
    harness.fake.patches_left = 0
    agent = await harness.create_agent()
    began = harness.moment
    while (await harness.get_agent(agent)).step is not ProvisioningStep.SCRATCH:
        more_at = await harness.reconcile_once()
        harness.moment = max(harness.moment, more_at or harness.moment)
        if harness.moment - began > MINUTE:
            harness.fake.patches_left = 5
        assert harness.moment - began < 5 * MINUTE
    patches = [params for method, params in harness.fake.calls if method == "config.patch"]
    assert len(patches) == 2
    assert (await harness.get_agent(agent)).provision_failure is None


@repetition
async def test_the_names_of_many_agents_are_set_by_one_patch(
    harness: ProvisioningHarness,
) -> None:
    for number in range(12):
        await harness.create_agent(f"Writer {number}")
    await harness.reconcile_until_idle()
    assert [method for method, _ in harness.fake.changes].count("config.patch") == 1
    names = [entry["name"] for entry in harness.fake.entries.values()]
    assert names == [f"Writer {number}" for number in range(12)]


async def test_a_config_patch_does_not_recreate_a_removed_agent(
    harness: ProvisioningHarness,
) -> None:
    """On a real gateway an entry in the config creates an agent."""
    agent = await harness.create_agent()
    while (await harness.get_agent(agent)).step is not ProvisioningStep.HEARTBEAT:
        await harness.reconcile_once()
        harness.moment += timedelta(seconds=5)
    harness.fake.lose_agent(agent.gateway_key or "")
    harness.fake.handlers["agents.list"] = lambda _: {"agents": [{"id": agent.gateway_key}]}
    await harness.reconcile_once()
    assert harness.fake.entries == {}


async def test_a_lost_agent_is_created_again_once_and_then_fails(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    first, token = agent.generation, harness.token_of(agent)
    harness.fake.lose_agent(agent.gateway_key or "")
    for _ in range(4):
        harness.moment += MINUTE
        await harness.reconcile_until_idle()
    agent = await harness.get_agent(agent)
    assert harness.fake.listed_agents() == [agent.gateway_key]
    assert (agent.generation, agent.wants_wake) == (first + 1, True)
    assert harness.token_of(agent) != token
    assert len(await harness.list_events(EventType.AGENT_LOST)) == 1
    await harness.check_in(agent)
    await harness.reconcile_until_idle()
    harness.fake.lose_agent(agent.gateway_key or "")
    for _ in range(30):
        harness.moment += MINUTE
        await harness.reconcile_until_idle()
    agent = await harness.get_agent(agent)
    assert harness.fake.listed_agents() == []
    failure = agent.provision_failure
    assert failure
    assert failure["code"] == "lost_again"
    async with harness.transaction() as session:
        await agents.reprovision_agent(session, harness.world.alice_member, agent.id)
    await harness.reconcile_until_idle()
    assert harness.fake.listed_agents() == [agent.gateway_key]


@pytest.mark.parametrize("has_content", [True, False])
async def test_an_agent_that_is_removed_by_hand_is_noticed_at_once(
    harness: ProvisioningHarness, has_content: bool
) -> None:
    """The gateway announces that it uses another config; no roster is due for a minute.

    An answer without the content of the config proves nothing.
    """
    agent = await harness.create_online_agent()
    await harness.reconcile_once()
    notified, key = asyncio.Event(), agent.gateway_key or ""
    watch = asyncio.create_task(
        harness.reconciler.watch_config(harness.gateway.id, harness.client, notified)
    )
    try:
        async with asyncio.timeout(20):
            await harness.client.call_once("agents.list")  # meanwhile it has subscribed
            harness.fake.lose_agent(key)
            await harness.reconcile_once()
            assert not await harness.list_events(EventType.AGENT_LOST)
            await harness.fake.send_event("config.changed", {"hash": "another"})
            await notified.wait()
    finally:
        watch.cancel()
    if not has_content:
        harness.fake.handlers["config.get"] = lambda _: {"hash": "another"}
    await harness.reconcile_once()
    assert len(await harness.list_events(EventType.AGENT_LOST)) == int(has_content)
    if not has_content:
        return
    await harness.reconcile_until_idle()
    assert harness.fake.listed_agents() == [key]


async def test_a_broken_config_is_a_failed_check_while_connected(
    harness: ProvisioningHarness,
) -> None:
    problem = {"path": "", "message": "JSON5 parse failed: invalid end of input at 7:3"}
    broken = {"valid": False, "issues": [problem], "path": "/c/openclaw.json", "hash": "x"}
    known, hello = harness.client.capabilities, await harness.client.get_hello()
    harness.fake.handlers["config.get"] = lambda _: broken
    watch = asyncio.create_task(
        harness.reconciler.watch_config(harness.gateway.id, harness.client, asyncio.Event())
    )
    try:
        async with asyncio.timeout(20):
            await known.wait_for_change()
    finally:
        watch.cancel()
    check = diagnose_outcome(harness.client.target, hello, known).failed_check
    assert check
    assert (check.name, check.code) == ("agents", "config_invalid")
    assert check.sentence.startswith("/c/openclaw.json is invalid in line 7.")


async def test_an_agent_without_a_gateway_cannot_be_provisioned(
    harness: ProvisioningHarness, world: World
) -> None:
    async with harness.transaction() as session:
        with pytest.raises(Conflict) as refused:
            await agents.reprovision_agent(session, world.alice_member, world.worker.id)
    assert refused.value.code == "agent_not_provisioned"


async def test_a_step_that_crashes_a_gateway_is_not_retried_constantly(
    harness: ProvisioningHarness,
) -> None:
    harness.fake.fault = lambda method, _: LostBefore(1006) if method == "agents.create" else None
    agent = await harness.create_agent()
    await harness.reconcile_until_idle()
    failure = (await harness.get_agent(agent)).provision_failure
    assert failure
    assert (failure["step"], failure["code"]) == ("create", "closed")
    before = len(harness.fake.connect_params)
    harness.moment += MINUTE
    await harness.reconcile_until_idle()
    await harness.reconcile_until_idle()
    assert len(harness.fake.connect_params) == before


async def test_failed_steps_are_retried_when_the_gateway_reconnects(
    harness: ProvisioningHarness,
) -> None:
    harness.fake.fault = reject_method("agents.files.set")
    agent = await harness.create_agent()
    await harness.reconcile_until_idle()
    assert (await harness.get_agent(agent)).provision_failure
    harness.fake.fault = no_fault
    await harness.client.close()
    harness.moment += MINUTE
    await harness.reconcile_until_idle()
    agent = await harness.get_agent(agent)
    assert (agent.step, agent.provision_failure) == (ProvisioningStep.CHECK_IN, None)
