"""How many calls of a gateway the provisioning of its agents takes, above all costly ones."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta

from models import ProvisioningStep
from services.gateways.files import FILE_NAMES
from services.gateways.provisioning.workload import MAX_CONCURRENT_CALLS, get_call_semaphore
from tests.support.fake_gateway import ErrorResponse
from tests.support.provisioning_harness import (
    ProvisioningHarness,
    harness,
)

__all__ = ["harness"]

COUNT = 10  # agents
TIMEOUT = 20.0  # seconds, after which a test fails


def count_calls(harness: ProvisioningHarness) -> Counter[str]:
    calls = Counter(method for method, _params in harness.fake.calls)
    harness.fake.calls.clear()
    return calls


async def test_new_agents_change_the_config_once_each_and_once_together(
    harness: ProvisioningHarness,
) -> None:
    """A gateway needs more than a second of CPU for each change of its config."""
    for number in range(COUNT):
        await harness.create_agent(f"Writer {number}")
    await harness.reconcile_until_idle()
    calls = count_calls(harness)
    reads = {name: calls.pop(name) for name in ("agents.list", "config.get")}
    assert calls == {
        "agents.create": COUNT,
        "config.patch": 1,  # names
        "agents.files.get": COUNT * len(FILE_NAMES),
        "agents.files.set": COUNT * len(FILE_NAMES),
        "cron.list": COUNT,
    }
    assert reads["config.get"] == 1
    assert reads["agents.list"] <= 8  # one for each step, not for each agent
    names = {entry["name"] for entry in harness.fake.entries.values()}
    identities = {entry["identity"]["name"] for entry in harness.fake.entries.values()}
    assert names == identities == {f"Writer {number}" for number in range(COUNT)}


async def test_agents_that_are_up_to_date_change_nothing_on_their_gateway(
    harness: ProvisioningHarness,
) -> None:
    created = [await harness.create_agent(f"Writer {number}") for number in range(3)]
    await harness.reconcile_until_idle()
    await harness.check_in()
    await harness.reconcile_until_idle()
    count_calls(harness)
    await harness.update_board(name="Kitchen garden")
    await harness.reconcile_until_idle()
    calls = count_calls(harness)
    assert not calls.keys() & {"agents.create", "agents.update", "config.patch", "cron.scratch.set"}
    assert calls["config.get"] == 1
    assert calls["agents.files.set"] <= len(created)  # AGENTS.md names the board
    assert calls["agents.files.get"] == len(created) * len(FILE_NAMES)


async def test_one_change_of_the_config_waits_for_agents_that_need_it_soon(
    harness: ProvisioningHarness,
) -> None:
    harness.fake.listing_delay = 0
    first = [await harness.create_agent(f"Writer {number}") for number in range(3)]
    while {(await harness.get_agent(one)).step for one in first} != {ProvisioningStep.HEARTBEAT}:
        harness.moment = max(harness.moment, await harness.reconcile_once() or harness.moment)
    for number in range(3):
        await harness.create_agent(f"Reader {number}")
    await harness.reconcile_until_idle()
    assert count_calls(harness)["config.patch"] == 1


async def test_no_agent_waits_for_one_that_fails(harness: ProvisioningHarness) -> None:
    broken = await harness.create_agent("Broken")
    harness.fake.fault = lambda method, params: (
        ErrorResponse("UNAVAILABLE", "not now")
        if method == "agents.create" and params["name"] == broken.gateway_key
        else None
    )
    agent = await harness.create_agent("Writer")
    await harness.reconcile_until_idle()
    assert (await harness.get_agent(broken)).provision_failure
    found = await harness.get_agent(agent)
    assert (found.step, found.observed_generation) == (ProvisioningStep.CHECK_IN, 1)


async def test_agents_that_are_created_again_and_again_delay_others_for_half_a_minute(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_agent("Writer")
    for number in range(20):
        await harness.create_agent(f"Reader {number}")
        await harness.reconcile_once()
        harness.moment += timedelta(seconds=4)
    found = await harness.get_agent(agent)
    assert found.step is ProvisioningStep.CHECK_IN
    assert count_calls(harness)["config.patch"] <= 4


async def test_waking_an_agent_waits_for_no_call_of_its_gateway(
    harness: ProvisioningHarness,
) -> None:
    """A comparison of files with a gateway that does not answer can use all calls for a minute."""
    agent = await harness.create_agent("Writer")
    while (await harness.get_agent(agent)).step is not ProvisioningStep.WAKE:
        harness.moment = max(harness.moment, await harness.reconcile_once() or harness.moment)
    semaphore = get_call_semaphore(harness.gateway.id)
    async with AsyncExitStack() as calls:
        for _ in range(MAX_CONCURRENT_CALLS):
            await calls.enter_async_context(semaphore)
        async with asyncio.timeout(TIMEOUT):
            await harness.reconcile_once()
    assert (await harness.get_agent(agent)).step is ProvisioningStep.CHECK_IN
