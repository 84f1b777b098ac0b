"""Steps that change the configuration of a gateway for several agents, or remove agents from it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from models import Agent, ConfigChangeKind
from openclaw import GatewayClient, GatewayError
from openclaw import api as gateway_api
from services.gateways.provisioning import config_entries
from services.gateways.provisioning.config_diff import compare_entries, describe_write
from services.gateways.provisioning.config_log import ConfigWrite
from services.gateways.provisioning.failures import StepFailure
from services.gateways.provisioning.steps import AgentRoster, RecordWrites, StepDone, StepOutcome

PROTECTED_KEY = "main"  # the gateway's own first agent


async def configure_agents(
    client: GatewayClient, agents: Sequence[Agent], record_writes: RecordWrites
) -> Sequence[StepOutcome]:
    """Complete the entries of several agents with one change of the gateway's config.

    Agents without an entry in the config are left out: a patch would create one.
    """
    config = await gateway_api.get_config(client)
    configured = [agent for agent in agents if config_entries.is_configured(agent, config.parsed)]
    patch = config_entries.build_patch(configured, config.parsed)
    if patch:
        await record_writes(_list_writes(configured, config.parsed))
        await gateway_api.patch_config(client, patch, base_hash=config.hash)
    absent = StepFailure("not_configured", "The gateway's config does not have the agent yet.")
    return [
        StepDone(replace(agent.provisioning_state, is_without_heartbeat=True))
        if agent in configured
        else absent
        for agent in agents
    ]


def _list_writes(agents: Sequence[Agent], config: Mapping[str, Any]) -> list[ConfigWrite]:
    """Return what one change of the configuration writes for each agent."""
    diffs = [(agent, describe_write(agent, config)) for agent in agents]
    kind = ConfigChangeKind.CHANGED
    return [
        ConfigWrite(agent.gateway_key or "", kind, diff, agent) for agent, diff in diffs if diff
    ]


async def remove_agent(
    client: GatewayClient,
    roster: AgentRoster,
    key: str,
    *,
    agent: Agent | None = None,
    record_writes: RecordWrites | None = None,
) -> bool:
    """Remove an agent with its sessions and files; return whether the gateway had it.

    The gateway's own first agent is never removed.
    """
    if key not in roster.names or key == PROTECTED_KEY:
        return False
    if record_writes is not None:
        removed = {key: config_entries.build_provisioned_entry(agent) if agent else {}}
        diff = compare_entries(removed, {})
        await record_writes([ConfigWrite(key, ConfigChangeKind.REMOVED, diff, agent)])
    await gateway_api.delete_agent(client, key)
    return True


async def remove_agents(client: GatewayClient, keys: Sequence[str]) -> None:
    """Remove several agents, those that the gateway has.

    All are attempted; then the last GatewayError is raised, if there was one.
    """
    roster, last_error = await AgentRoster.load(client), None
    for key in keys:
        try:
            await remove_agent(client, roster, key)
        except GatewayError as error:
            last_error = error
    if last_error is not None:
        raise last_error
