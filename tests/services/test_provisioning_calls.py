"""How many calls of a gateway the provisioning of its agents takes, above all costly ones."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from core.db.engine import TransactionFactory
from services.gateways.files import FILE_NAMES
from tests.support.provisioning_harness import ProvisioningHarness, run_provisioning_harness
from tests.support.world import World

COUNT = 20  # agents


@pytest.fixture
async def harness(
    transaction: TransactionFactory, world: World
) -> AsyncIterator[ProvisioningHarness]:
    async with run_provisioning_harness(transaction, world) as harness:
        yield harness


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
        "config.patch": 1,  # names and heartbeats
        "agents.files.get": COUNT * len(FILE_NAMES),
        "agents.files.set": COUNT * len(FILE_NAMES),
        "cron.list": COUNT,
        "cron.scratch.get": COUNT,
        "cron.scratch.set": COUNT,
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
