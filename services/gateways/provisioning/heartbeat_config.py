"""The name and heartbeat of an agent in its gateway's configuration, and the text it reads then.

Pure functions. A gateway skips a heartbeat turn, without a model call, if the scratch text has only
headings.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.clock import parse_duration
from models import Agent

QUIET_SCRATCH = "# Mission Control writes to this agent when something waits for it\n"

NEVER = "0m"  # the interval of an agent without heartbeats
DEFAULT_INTERVAL = "10m"
GATEWAY_INTERVAL = re.compile(r"\d{1,6}[smh]")  # passed on unchanged


def has_quiet_heartbeat(agent: Agent, *, is_paused: bool) -> bool:
    """Return whether an agent's heartbeats must not call a model: unless it is set otherwise."""
    return is_paused or (agent.heartbeat_config or {}).get("quiet") is not False


def heartbeat_interval(agent: Agent) -> str:
    """Return the interval of an agent's heartbeats in the gateway's syntax; `0m` is never."""
    setting = (agent.heartbeat_config or {}).get("every")
    text = setting.strip() if isinstance(setting, str) else DEFAULT_INTERVAL
    interval = parse_duration(text)
    if interval is None:
        return DEFAULT_INTERVAL
    if not interval:
        return NEVER
    is_valid = GATEWAY_INTERVAL.fullmatch(text)
    return text if is_valid else f"{max(1, round(interval.total_seconds()))}s"


def desired_heartbeat(agent: Agent) -> dict[str, str]:
    """Return the heartbeat of an agent as an entry of a gateway's config.

    Without a target the gateway would skip every turn of an agent that has no channel.
    """
    return {"every": heartbeat_interval(agent), "target": "none"}


def build_changed_entries(
    agents: Sequence[Agent], config: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the entries that change the names and heartbeats of these agents, by their ids."""
    present = agent_entries(config)
    entries = {
        agent.gateway_key or "": _build_entry(agent, _mapping_at(present, agent.gateway_key or ""))
        for agent in agents
    }
    return {key: entry for key, entry in entries.items() if entry}


def is_configured(agent: Agent, config: Mapping[str, Any]) -> bool:
    """Return whether a gateway's config has an entry for an agent."""
    return agent.gateway_key in agent_entries(config)


def build_patch(agents: Sequence[Agent], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the change of a gateway's config that sets names and heartbeats of configured agents.

    It is empty if they are set.
    """
    entries = build_changed_entries(agents, config)
    return format_entries(entries, as_list=has_agent_list(config)) if entries else {}


def has_agent_list(config: Mapping[str, Any]) -> bool:
    """Return whether the agents are a list in a config, as on older gateways."""
    return not _mapping_at(_mapping_at(config, "agents"), "entries")


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
    return _build_entry(agent, {"identity": {"name": None}})


def agent_entries(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the agents in a gateway's config by their ids."""
    agents = _mapping_at(config, "agents")
    rows = agents.get("list")
    listed = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return _mapping_at(agents, "entries") or {str(row.get("id")): row for row in listed}


def _build_entry(agent: Agent, present: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs: a heartbeat, and a name, also where the gateway repeats it."""
    entry: dict[str, Any] = {}
    heartbeat, desired = _mapping_at(present, "heartbeat"), desired_heartbeat(agent)
    if any(heartbeat.get(name) != value for name, value in desired.items()):
        entry["heartbeat"] = desired
    if present.get("name") != agent.name:
        entry["name"] = agent.name
        if _mapping_at(present, "identity"):
            entry["identity"] = {"name": agent.name}
    return entry


def _mapping_at(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = value.get(name)
    return part if isinstance(part, Mapping) else {}
