"""The files of imported agents: nothing is written by itself, and a sync replaces the address."""

from dataclasses import replace

import pytest
from sqlalchemy import update

from core.db.engine import TransactionFactory
from models import Agent, ProvisioningState
from services.gateways.provisioning.store import take_over_gateway
from services.gateways.sync import SyncReport
from tests.services.test_file_sync import run_sync
from tests.support.fake_gateway import TOKEN
from tests.support.older_gateways import fake_version
from tests.support.provisioning_harness import (
    BASE_URL,
    ProvisioningHarness,
    run_provisioning_harness,
)
from tests.support.secret_key import CIPHER
from tests.support.world import World

THEIR_FILES = {
    "AGENTS.md": "# AGENTS.md\n\nFiles: TOOLS.md\n",
    "TOOLS.md": "# TOOLS.md\n\n- `BASE_URL=http://old.example`\n- `AUTH_TOKEN=old`\n",
    "BOOTSTRAP.md": "# BOOTSTRAP.md\n\n- `BASE_URL=http://old.example`\n",
    "SOUL.md": "# SOUL.md\n\nA soul of the original.\n",
    "USER.md": "# USER.md\n\n- Name: Olga\n",
    "MEMORY.md": "# MEMORY.md\n\nThe printer is in room 4.\n",
}


async def import_agent(harness: ProvisioningHarness) -> Agent:
    """Make an agent as an import leaves it, with the files that the original has written."""
    agent = await harness.create_online_agent()
    harness.files_of(agent).clear()
    harness.files_of(agent).update(THEIR_FILES)
    state = ProvisioningState(is_without_heartbeat=True, is_imported=True)
    async with harness.transaction() as session:
        imported = update(Agent).where(Agent.id == agent.id)
        await session.execute(imported.values(provisioning_state=state))
    return agent


def list_written(report: SyncReport, agent: Agent) -> set[str]:
    [one] = [one for one in report.agents if one.agent.id == agent.id]
    return {file.name for file in one.files if file.state.is_written}


@pytest.mark.parametrize("is_older", [True, False], ids=["older", "current"])
async def test_a_sync_replaces_the_files_of_the_original_after_a_preview(
    transaction: TransactionFactory, world: World, is_older: bool
) -> None:
    how = fake_version("2026.7.1") if is_older else {}
    async with run_provisioning_harness(transaction, world, **how) as harness:
        context = f"gateways.token:{harness.gateway.id}"
        harness.gateway.encrypted_token = CIPHER.encrypt(TOKEN, context)
        agent = await import_agent(harness)
        async with transaction() as session:
            await take_over_gateway(session, harness.gateway.id, harness.now())
        await harness.reconcile_until_idle()
        assert harness.files_of(agent) == THEIR_FILES  # nothing is written by itself

        preview = await run_sync(harness)
        replaced = {"AGENTS.md", "SOUL.md", "IDENTITY.md", "BOOTSTRAP.md"}
        replaced |= {"TOOLS.md"} if is_older else set()
        assert list_written(preview, agent) == replaced
        assert harness.files_of(agent) == THEIR_FILES

        assert list_written(await run_sync(harness, dry_run=False), agent) == replaced
        files = harness.files_of(agent)
        assert BASE_URL in files["AGENTS.md"]
        assert all("old.example" not in files[name] for name in replaced)
        assert files["MEMORY.md"] == THEIR_FILES["MEMORY.md"]
        assert files["USER.md"] == THEIR_FILES["USER.md"]
        assert list_written(await run_sync(harness), agent) == set()


async def test_a_former_file_that_the_agent_has_made_its_own_is_kept(
    transaction: TransactionFactory, world: World
) -> None:
    async with run_provisioning_harness(transaction, world) as harness:
        context = f"gateways.token:{harness.gateway.id}"
        harness.gateway.encrypted_token = CIPHER.encrypt(TOKEN, context)
        agent = await import_agent(harness)
        for _ in range(2):
            await run_sync(harness, dry_run=False)
        own = "# BOOTSTRAP.md\n\nThe BASE_URL of the printer is http://printer.example\n"
        harness.files_of(agent)["BOOTSTRAP.md"] = own
        for _ in range(2):
            assert list_written(await run_sync(harness, dry_run=False), agent) == set()
            assert harness.files_of(agent)["BOOTSTRAP.md"] == own


def test_an_imported_agent_is_still_known_as_one_after_a_sync() -> None:
    state = ProvisioningState(is_imported=True, token_id="1")
    stored = ProvisioningState.from_json(replace(state, kept_files=("USER.md",)).to_json())
    assert stored.is_imported
