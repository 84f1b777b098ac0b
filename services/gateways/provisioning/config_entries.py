"""The entries of our agents in the configuration of their gateway: names, and no heartbeats.

Pure functions. As soon as one entry has a heartbeat, a gateway ignores `agents.defaults.heartbeat`,
also for the agents of others. So ours have none: see docs/decisions/provisioning.md.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from core.clock import parse_duration
from models import Agent
from openclaw.api import get_mapping

DEFAULT_INTERVAL = "30m"  # of a gateway whose defaults name none


def build_changed_entries(
    agents: Sequence[Agent], config: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the entries that change what these agents have in a config, by their ids.

    None stands for a removed value.
    """
    present = agent_entries(config)
    entries = {
        agent.gateway_key or "": _build_entry(agent, get_mapping(present, agent.gateway_key or ""))
        for agent in agents
    }
    return {key: entry for key, entry in entries.items() if entry}


def is_configured(agent: Agent, config: Mapping[str, Any]) -> bool:
    """Return whether a gateway's config has an entry for an agent."""
    return agent.gateway_key in agent_entries(config)


def build_patch(agents: Sequence[Agent], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the change of a gateway's config that completes the entries of configured agents.

    It is empty if they are complete.
    """
    entries = build_changed_entries(agents, config)
    return format_entries(entries, as_list=has_agent_list(config)) if entries else {}


def has_agent_list(config: Mapping[str, Any]) -> bool:
    """Return whether the agents are a list in a config, as on older gateways."""
    return not get_mapping(get_mapping(config, "agents"), "entries")


def format_entries(entries: Mapping[str, Any], *, as_list: bool) -> dict[str, Any]:
    """Return a config with these entries of agents.

    A patch of a list of agents changes the entries with the same ids.
    """
    if not as_list:
        return {"agents": {"entries": entries}}
    return {"agents": {"list": [{"id": key, **entry} for key, entry in entries.items()]}}


def build_provisioned_entry(agent: Agent) -> dict[str, Any]:
    """Return what we write to the entry of an agent that its gateway has just created.

    A gateway repeats the name as that of an identity.
    """
    return {"name": agent.name, "identity": {"name": agent.name}}


def agent_entries(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the agents in a gateway's config by their ids."""
    agents = get_mapping(config, "agents")
    rows = agents.get("list")
    listed = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return get_mapping(agents, "entries") or {str(row.get("id")): row for row in listed}


def find_inherited_heartbeat(agents: Sequence[Agent], config: Mapping[str, Any]) -> str:
    """Return the interval at which a gateway starts turns of all its agents by itself, or "".

    It is that of the defaults, once the entries of these agents are complete. Older gateways skip
    the heartbeats of our agents, because of their HEARTBEAT.md.
    """
    if has_agent_list(config):
        return ""
    defaults = get_mapping(get_mapping(config, "agents"), "defaults")
    heartbeat = defaults.get("heartbeat")
    if not isinstance(heartbeat, Mapping) or heartbeat.get("agentId"):
        return ""
    present, changes = agent_entries(config), build_changed_entries(agents, config)
    if any(
        isinstance(get_mapping(present, key).get("heartbeat"), Mapping)
        and "heartbeat" not in changes.get(key, {})
        for key in present
    ):
        return ""
    every = str(heartbeat.get("every") or DEFAULT_INTERVAL)
    return "" if parse_duration(every) == timedelta() else every


def _build_entry(agent: Agent, present: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs: a name, also where the gateway repeats it, and a heartbeat of ours.

    A heartbeat that somebody has added there since we have removed ours is not ours.
    """
    entry: dict[str, Any] = {}
    if "heartbeat" in present and not agent.provisioning_state.is_without_heartbeat:
        entry["heartbeat"] = None
    if present.get("name") != agent.name:
        entry["name"] = agent.name
        if get_mapping(present, "identity"):
            entry["identity"] = {"name": agent.name}
    return entry
