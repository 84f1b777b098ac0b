"""Agents on gateways of older versions, and steps that a gateway rejects."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import Agent, EventType, ProvisioningStep
from openclaw import AGENTS_CHECK, MIN_VERSION, Capability, GatewayCapabilities, diagnose_outcome
from services import gateway_status
from services.gateways.provisioning.steps import QUIET_SCRATCH
from tests.support.fake_gateway import ErrorResponse
from tests.support.older_gateways import MISSING, fake_version
from tests.support.provisioning_harness import ProvisioningHarness, run_provisioning_harness
from tests.support.tiers import repetition
from tests.support.world import World

BOUNDARIES = {next(iter(MISSING)), "2026.9.3", "2026.9.1", MIN_VERSION}
"""The newest version, the oldest one, and those before which the gateway learned something."""
VERSIONS = [one if one in BOUNDARIES else pytest.param(one, marks=repetition) for one in MISSING]
NOT_APPLIED = "config.patch persisted but was not applied to the active Gateway (reload failed)"


@pytest.fixture
def run(transaction: TransactionFactory, world: World) -> Any:
    """Run a harness with a fake gateway of a version."""

    @asynccontextmanager
    async def run_version(version: str = "2026.9.6") -> AsyncGenerator[ProvisioningHarness]:
        options = fake_version(version)
        async with run_provisioning_harness(transaction, world, **options) as harness:
            yield harness

    return run_version


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_agent_is_provisioned_on_every_version(run: Any, version: str) -> None:
    async with run(version) as harness:
        agent = await harness.create_online_agent(heartbeat_config={"every": "30m"})
        key = agent.gateway_key or ""
        assert (agent.step, agent.provision_failure) == (None, None)
        assert agent.observed_generation == agent.generation
        assert "heartbeat" not in harness.fake.entries[key]
        assert "Mission Control" in harness.files_of(agent)["AGENTS.md"]
        text = QUIET_SCRATCH if harness.fake.is_older else None
        assert harness.files_of(agent).get("HEARTBEAT.md") == text
        assert harness.fake.scratches == {}
        assert harness.client.capabilities.missing <= MISSING[version]
        before = len(harness.fake.changes)
        await harness.update_board(objective="Roses")
        await harness.reconcile_until_idle()
        changed = {method for method, _ in harness.fake.changes[before:]}
        assert changed == {"agents.files.set"}


async def test_a_change_by_the_agent_is_kept_on_an_older_version(run: Any) -> None:
    async with run("2026.8.2") as harness:
        agent = await harness.create_online_agent()
        harness.files_of(agent)["SOUL.md"] = "My own."
        await harness.update_board(objective="Roses")
        await harness.reconcile_until_idle()
        assert harness.files_of(agent)["SOUL.md"] == "My own."
        fresh = await harness.get_agent(agent)
        assert fresh.provisioning_state.kept_files == ("SOUL.md",)


async def fail_first(harness: ProvisioningHarness, method: str, error: ErrorResponse) -> Agent:
    """Create an agent whose first call of a method fails, and reconcile until that was seen."""
    calls: list[str] = []

    def fault(called: str, _params: object) -> ErrorResponse | None:
        calls.append(called)
        return error if called == method and calls.count(method) == 1 else None

    harness.fake.fault = fault
    agent = await harness.create_agent()
    while method not in calls:
        more_at = await harness.reconcile_once()
        harness.moment = max(harness.moment, more_at or harness.moment)
    return await harness.get_agent(agent)


async def test_a_rejected_request_ends_the_step_with_its_message(run: Any) -> None:
    message = "invalid agents.files.get params: at root: unexpected property 'name'"
    async with run() as harness:
        error = ErrorResponse("INVALID_REQUEST", message)
        agent = await fail_first(harness, "agents.files.get", error)
        failure = agent.provision_failure or {}
        assert (agent.step, failure["code"]) == (ProvisioningStep.FILES, "unsupported_request")
        assert message in failure["reason"]
        assert failure["command"] == "openclaw update"
        assert not harness.client.capabilities.supports(Capability.AGENTS)
        [event] = await harness.list_events(EventType.AGENT_PROVISION_FAILED)
        assert message in event.data["reason"]


async def test_a_rejection_is_not_forgotten_because_other_agents_get_names(run: Any) -> None:
    error = ErrorResponse("INVALID_REQUEST", "unknown method: agents.files.get")
    async with run() as harness:
        await fail_first(harness, "agents.files.get", error)
        known = harness.client.capabilities
        other = await harness.create_agent("Second")
        while (await harness.get_agent(other)).step is not ProvisioningStep.SCRATCH:
            more_at = await harness.reconcile_once()
            harness.moment = max(harness.moment, more_at or harness.moment)
        assert not known.supports(Capability.AGENTS)
        await harness.reconcile_until_idle()
        assert known.supports(Capability.AGENTS)


async def test_the_reason_of_the_last_attempt_is_known_during_retries(run: Any) -> None:
    async with run() as harness:
        error = ErrorResponse("UNAVAILABLE", "the model catalog is being loaded")
        agent = await fail_first(harness, "agents.files.get", error)
        assert agent.provision_failure is None
        assert agent.step_error is not None
        assert (agent.step_error["code"], agent.step_attempts) == ("unavailable", 1)
        await harness.reconcile_until_idle()
        assert (await harness.get_agent(agent)).step_error is None


async def test_a_config_that_was_changed_meanwhile_is_read_again(run: Any) -> None:
    message = "config changed since last load; re-run config.get and retry"
    async with run() as harness:
        error = ErrorResponse("INVALID_REQUEST", message)
        agent = await fail_first(harness, "config.patch", error)
        assert (agent.provision_failure, agent.step) == (None, ProvisioningStep.HEARTBEAT)
        await harness.reconcile_until_idle()
        assert (await harness.get_agent(agent)).step is ProvisioningStep.CHECK_IN


async def test_a_required_restart_is_a_failed_check_with_the_message(run: Any) -> None:
    async with run() as harness:
        error = ErrorResponse("UNAVAILABLE", NOT_APPLIED)
        agent = await fail_first(harness, "config.patch", error)
        failure = agent.provision_failure or {}
        assert failure["code"] == "restart_required"
        assert failure["command"] == "openclaw gateway restart"
        hello = await harness.client.get_hello()
        known = harness.client.capabilities
        check = diagnose_outcome(harness.client.target, hello, known).failed_check
        assert check is not None
        assert (check.name, check.code) == (AGENTS_CHECK, "restart_required")
        assert check.values["reply"] == NOT_APPLIED


async def test_a_gateway_that_cannot_run_agents_is_limited_but_connected(
    transaction: TransactionFactory, run: Any
) -> None:
    async with run() as harness:
        known = harness.client.capabilities
        known.missing.add(Capability.AGENTS)
        diagnosis = diagnose_outcome(harness.client.target, await harness.client.get_hello(), known)
        assert diagnosis.failed_check
        assert diagnosis.failed_check.command == "openclaw update"
        harness.gateway.checks = [
            {"name": check.name, "state": check.state.value} for check in diagnosis.checks
        ]
        harness.gateway.checked_at = harness.moment
        status = gateway_status.compute_status(harness.gateway, harness.moment)
        assert status is gateway_status.GatewayStatus.LIMITED
        assert gateway_status.unreachable_since(harness.gateway, harness.moment) is None


async def test_an_updated_gateway_is_learned_again(run: Any) -> None:
    async with run("2026.7.1") as harness:
        await harness.create_online_agent()
        stored = harness.client.capabilities.to_json()
        assert stored["version"] == "2026.7.1"
        harness.fake.version, harness.fake.missing = "2026.9.6", frozenset()
        await harness.client.close()
        record = GatewayCapabilities(stored)
        record.learn_hello(await harness.client.get_hello())
        assert (record.version, record.missing) == ("2026.9.6", set())
