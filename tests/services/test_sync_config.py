"""A sync shows what it changes in the configuration of a gateway, and how many calls it makes."""

from services.gateways.provisioning.config_entries import MAX_CONFIG_DIFF_LENGTH, plan_config_change
from services.gateways.provisioning.workload import MAX_CONCURRENT_CALLS
from services.gateways.sync import ConfigChange
from tests.services.test_file_sync import harness, run_sync
from tests.support.fake_gateway import ErrorResponse
from tests.support.provisioning_harness import ProvisioningHarness
from tests.support.tiers import repetition

__all__ = ["harness"]  # a fixture


def added_lines(change: ConfigChange | None) -> list[str]:
    assert change is not None
    lines = change.diff.splitlines()[2:]
    return [line[1:].strip() for line in lines if line.startswith("+")]


async def test_nothing_changes_in_the_config_while_names_are_right(
    harness: ProvisioningHarness,
) -> None:
    await harness.create_online_agent()
    assert (await run_sync(harness)).config_change == ConfigChange()


async def test_a_dry_run_shows_the_config_that_a_sync_writes(harness: ProvisioningHarness) -> None:
    agent = await harness.create_online_agent()
    heartbeat = {"every": "99m", "prompt": "Hello, mc_agent_abcdefgh"}
    await harness.add_own_heartbeat(agent, heartbeat)
    patches = harness.fake.changes.copy()
    change = (await run_sync(harness)).config_change
    assert added_lines(change) == [f'"{agent.gateway_key}": {{}}']
    assert change is not None
    assert '-          "every": "99m",' in change.diff.splitlines()
    assert "mc_agent_abcdefgh" not in change.diff
    assert '"name"' not in change.diff
    assert harness.fake.changes == patches

    await run_sync(harness, dry_run=False)
    await harness.reconcile_until_idle()
    assert "heartbeat" not in harness.fake.entries[agent.gateway_key or ""]
    assert (await run_sync(harness)).config_change == ConfigChange()


async def test_an_unreadable_config_does_not_prevent_a_sync(harness: ProvisioningHarness) -> None:
    await harness.create_online_agent()
    harness.fake.fault = lambda method, _params: (
        ErrorResponse("INVALID_REQUEST", "no") if method == "config.get" else None
    )
    report = await run_sync(harness)
    assert report.config_change is None
    assert len(report.agents) == 1


async def test_a_config_of_unexpected_shape_is_read_as_empty(harness: ProvisioningHarness) -> None:
    agent = await harness.create_online_agent()
    for config in ({}, {"agents": []}, {"agents": {"entries": 7, "defaults": None}}):
        assert plan_config_change([agent], config).diff
    long_text = "x" * 100_000
    heartbeat = {"every": "1m", "prompt": long_text}
    config = {"agents": {"entries": {agent.gateway_key: {"heartbeat": heartbeat}}}}
    assert len(plan_config_change([agent], config).diff) <= MAX_CONFIG_DIFF_LENGTH + 2


async def test_the_diff_of_an_older_config_shows_its_list(harness: ProvisioningHarness) -> None:
    agent = await harness.create_online_agent()
    config = {"agents": {"list": [{"id": agent.gateway_key, "heartbeat": {"every": "1m"}}]}}
    diff = plan_config_change([agent], config).diff
    assert '"list": [' in diff
    assert f'"id": "{agent.gateway_key}"' in diff
    assert "entries" not in diff


@repetition
async def test_a_gateway_has_at_most_four_calls_at_once(harness: ProvisioningHarness) -> None:
    """Ten agents are provisioned, and then compared."""
    fake = harness.fake
    fake.overlap = 0
    created = [await harness.create_agent(f"Writer {n}") for n in range(10)]
    await harness.reconcile_until_idle()
    assert 1 <= fake.max_requests <= MAX_CONCURRENT_CALLS
    fake.overlap = MAX_CONCURRENT_CALLS
    report = await run_sync(harness)
    assert len(report.agents) == len(created)
    assert set(fake.entries) == {agent.gateway_key for agent in created}
    assert fake.max_requests == MAX_CONCURRENT_CALLS
