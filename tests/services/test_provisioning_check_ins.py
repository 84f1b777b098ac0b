"""Agents that have to check in after they were woken."""

from models import ProvisioningStep
from services import agents, desired_state
from services.gateways.provisioning import state_machine
from tests.services.test_provisioning_recovery import (
    MINUTES,
    advance_clock,
    reject_methods,
    request_sync,
)
from tests.support.provisioning_harness import (
    ProvisioningHarness,
    harness,
)
from tests.support.world import World

__all__ = ["harness"]


async def test_an_agent_exists_before_it_is_provisioned(
    harness: ProvisioningHarness, world: World
) -> None:
    """W-12: it shows the failure, is retried on request, and can be deleted."""
    harness.fake.fault = reject_methods("agents.create")
    agent = await harness.create_agent("Ada")
    await advance_clock(harness, 3 * MINUTES)
    failure = (await harness.get_agent(agent)).provision_failure
    assert failure
    assert failure["step"] == "create"
    await request_sync(harness, agent)
    assert (await harness.get_agent(agent)).provision_failure is None
    async with harness.transaction() as session:
        await agents.delete_agent(session, world.alice, agent.id)
    again = await harness.create_agent("Ada")
    harness.fake.fault = lambda _method, _params: None
    await advance_clock(harness, 15 * MINUTES)
    assert again.gateway_key in harness.fake.listed_agents()
    assert agent.gateway_key not in harness.fake.listed_agents()


async def test_an_agent_that_does_not_check_in_is_woken_again(
    harness: ProvisioningHarness,
) -> None:
    """W-29, W-28: it keeps its token and session, and finally has a failure."""
    agent = await harness.create_agent()
    await harness.reconcile_until_idle()
    token, changes = harness.token_of(agent), list(harness.fake.changes)
    assert desired_state.STEP_TIMEOUTS[ProvisioningStep.CHECK_IN] >= 2 * MINUTES
    for wakes in range(1, state_machine.MAX_WAKES + 1):
        assert (
            (await harness.get_agent(agent)).wake_attempts
            == len(await harness.list_messages(agent))
            == wakes
        )
        await advance_clock(
            harness, desired_state.STEP_TIMEOUTS[ProvisioningStep.CHECK_IN] + MINUTES / 2
        )
    silent = await harness.get_agent(agent)
    assert silent.provision_failure
    assert silent.provision_failure["code"] == "no_check_in"
    assert agents.compute_status(silent, None, harness.moment) == "offline"
    assert harness.fake.changes == changes
    assert harness.token_of(agent) == token
    assert len(await harness.list_messages(agent)) == state_machine.MAX_WAKES
    await harness.check_in(agent)
    await harness.reconcile_until_idle()
    assert (await harness.get_agent(agent)).provision_failure is None


async def test_a_request_of_a_user_resets_the_attempts(
    harness: ProvisioningHarness,
) -> None:
    """W-27."""
    agent = await harness.create_agent()
    await advance_clock(harness, 15 * MINUTES)
    assert (await harness.get_agent(agent)).provision_failure
    await request_sync(harness, agent, wake=True)
    await harness.reconcile_until_idle()
    woken = await harness.get_agent(agent)
    assert (woken.wake_attempts, woken.provision_failure) == (1, None)
    await advance_clock(harness, 15 * MINUTES)
    assert len(await harness.list_messages(agent)) == 2 * state_machine.MAX_WAKES


async def test_a_concurrent_change_keeps_the_check_in_deadline(
    harness: ProvisioningHarness,
) -> None:
    """W-34: an agent that never called does not count as online."""
    agent = await harness.create_agent()
    await harness.reconcile_until_idle()
    await request_sync(harness, agent)
    await harness.reconcile_until_idle()
    waiting = await harness.get_agent(agent)
    assert (waiting.step, waiting.wants_wake, waiting.last_seen_at) == (
        ProvisioningStep.CHECK_IN,
        True,
        None,
    )
    await advance_clock(harness, 15 * MINUTES)
    assert (await harness.get_agent(agent)).provision_failure
