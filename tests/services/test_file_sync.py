"""The report of a sync is what the Reconciler writes afterwards."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from core.db.engine import TransactionFactory
from models import Agent
from openclaw import AddressPolicy
from services.gateways import GatewayConnector, files, sync
from services.gateways.provisioning.workload import MAX_CONCURRENT_CALLS
from services.gateways.sync import SyncOptions, SyncPlan, SyncReport
from services.gateways.sync.queries import RemoteFiles
from tests.support.fake_gateway import TOKEN
from tests.support.provisioning_harness import (
    BASE_URL,
    ProvisioningHarness,
    run_provisioning_harness,
)
from tests.support.secret_key import CIPHER
from tests.support.world import World

DEFAULT_OPTIONS = SyncOptions()
AGENT_NOTES = "\nThe printer is in room 4.\n"


@pytest.fixture
async def harness(
    transaction: TransactionFactory, world: World
) -> AsyncIterator[ProvisioningHarness]:
    async with run_provisioning_harness(transaction, world) as harness:
        harness.gateway.encrypted_token = CIPHER.encrypt(
            TOKEN, f"gateways.token:{harness.gateway.id}"
        )
        yield harness


async def plan_sync(harness: ProvisioningHarness, options: SyncOptions) -> SyncPlan:
    async with harness.transaction() as session:
        return await sync.plan_sync(
            session, CIPHER, harness.world.alice_member, harness.gateway, options, base_url=BASE_URL
        )


async def read_files(harness: ProvisioningHarness, plan: SyncPlan) -> RemoteFiles:
    connector = GatewayConnector(CIPHER, AddressPolicy())
    return await sync.read_remote_files(connector, harness.gateway, plan.selection.agents)


async def run_sync(
    harness: ProvisioningHarness, options: SyncOptions = DEFAULT_OPTIONS, *, dry_run: bool = True
) -> SyncReport:
    """Run a sync and return its report; the files are written unless it is a dry run."""
    prepared = await plan_sync(harness, options)
    report = sync.report_sync(prepared, await read_files(harness, prepared))
    assert report.problems == []
    if not dry_run:
        async with harness.transaction() as session:
            report = await sync.request_sync(session, harness.world.alice_member, prepared, report)
        await harness.reconcile_until_idle()
    return report


def file_states(report: SyncReport, agent: Agent) -> Mapping[str, str]:
    [one] = [one for one in report.agents if one.agent.id == agent.id]
    return {file.name: file.state.value for file in one.files}


ALL_SAME = dict.fromkeys(files.FILE_NAMES, "same")


async def test_a_dry_run_reports_what_a_sync_writes(harness: ProvisioningHarness) -> None:
    agent = await harness.create_online_agent()
    assert file_states(await run_sync(harness), agent) == ALL_SAME
    harness.files_of(agent)["SOUL.md"] = "I have found myself.\n"
    harness.files_of(agent)["AGENTS.md"] += AGENT_NOTES
    await harness.update_board(objective="Grow tomatoes")
    expected = ALL_SAME | {"SOUL.md": "kept", "AGENTS.md": "changed"}
    assert file_states(await run_sync(harness), agent) == expected
    assert "Grow tomatoes" not in harness.files_of(agent)["AGENTS.md"]

    assert file_states(await run_sync(harness, dry_run=False), agent) == expected
    assert harness.files_of(agent)["SOUL.md"] == "I have found myself.\n"
    assert "Grow tomatoes" in harness.files_of(agent)["AGENTS.md"]
    assert harness.files_of(agent)["AGENTS.md"].endswith(AGENT_NOTES)
    assert file_states(await run_sync(harness), agent) == ALL_SAME | {"SOUL.md": "kept"}


async def test_an_overwrite_keeps_the_memory_and_the_agents_part(
    harness: ProvisioningHarness,
) -> None:
    """W-35."""
    agent = await harness.create_online_agent()
    harness.files_of(agent)["AGENTS.md"] += AGENT_NOTES
    for name in ("SOUL.md", "IDENTITY.md", "USER.md", "MEMORY.md"):
        harness.files_of(agent)[name] = "mine\n"
    options = SyncOptions(overwrite=True)
    expected = dict.fromkeys(files.FILE_NAMES, "changed")
    expected |= {"AGENTS.md": "same", "MEMORY.md": "kept"}
    assert file_states(await run_sync(harness, options), agent) == expected
    await run_sync(harness, options, dry_run=False)
    assert [name for name, text in harness.files_of(agent).items() if text == "mine\n"] == [
        "MEMORY.md"
    ]
    assert harness.files_of(agent)["AGENTS.md"].endswith(AGENT_NOTES)
    assert file_states(await run_sync(harness), agent) == ALL_SAME | {"MEMORY.md": "kept"}


async def test_rotated_tokens_are_in_the_files_after_the_sync(
    harness: ProvisioningHarness,
) -> None:
    """W-07."""
    agent, other = await harness.create_online_agent(), await harness.create_online_agent("Reader")
    before = harness.token_of(agent), harness.token_of(other)
    options = SyncOptions(rotate_tokens=True, include_main=False)
    assert file_states(await run_sync(harness, options), agent) == ALL_SAME | {
        "AGENTS.md": "changed"
    }
    await run_sync(harness, options, dry_run=False)
    after = harness.token_of(agent), harness.token_of(other)
    assert len({*before, *after}) == 4
    assert after[0] not in str(harness.files_of(other))
    assert file_states(await run_sync(harness), agent) == ALL_SAME


async def test_a_sync_creates_an_agent_that_the_gateway_does_not_have(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_agent()
    assert set(file_states(await run_sync(harness), agent).values()) == {"new"}
    await run_sync(harness, dry_run=False)
    assert file_states(await run_sync(harness), agent) == ALL_SAME


async def test_a_gateway_has_at_most_four_calls_at_once(harness: ProvisioningHarness) -> None:
    """Of comparisons and provisioning together, however many run."""
    agent = await harness.create_online_agent()
    await harness.create_online_agent("Reader")
    await harness.update_board(objective="Grow tomatoes")
    prepared = await plan_sync(harness, DEFAULT_OPTIONS)
    harness.fake.overlap = MAX_CONCURRENT_CALLS
    async with asyncio.TaskGroup() as group:
        reads = [group.create_task(read_files(harness, prepared)) for _ in range(3)]
        group.create_task(harness.reconcile_until_idle())
    assert [read.result().problem for read in reads] == [None] * 3
    assert harness.fake.max_requests == MAX_CONCURRENT_CALLS
    assert "Grow tomatoes" in harness.files_of(agent)["AGENTS.md"]
