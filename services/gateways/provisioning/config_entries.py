"""The entries of our agents in the configuration of their gateway, and how they are to change.

Pure functions. Our entries have a name and no heartbeat: as soon as one entry has a heartbeat, a
gateway ignores `agents.defaults.heartbeat`, also for the agents of others. See
docs/decisions/provisioning.md.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from core.clock import parse_duration
from core.security.secrets import hide_tokens
from models import Agent
from openclaw.api import get_mapping

CONFIG_FILE = "openclaw.json"
DEFAULT_INTERVAL = "30m"  # of a gateway whose defaults name none
HEARTBEAT_PARTS = ("every", "target")  # what Mission Control has written of a heartbeat
MAX_CONFIG_DIFF_LENGTH = 50_000  # characters
MAX_DIFFED_ENTRIES = 100  # the time of a difference grows with the square of its length


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


@dataclass(frozen=True)
class ConfigChange:
    """The change as a unified diff, which is empty if nothing changes.

    `inherited_heartbeat` is the interval of the heartbeats that the defaults of the gateway give
    all its agents, also ours; "" if they give none.
    """

    diff: str = ""
    inherited_heartbeat: str = ""


def plan_config_change(agents: Sequence[Agent], config: Mapping[str, Any]) -> ConfigChange:
    """Return what provisioning these agents changes in a configuration.

    The rest of the configuration is not part of the difference: it is not ours to show.
    """
    present = agent_entries(config)
    wanted = build_changed_entries(agents, config)
    inherited = find_inherited_heartbeat(agents, config)
    if not wanted:
        return ConfigChange(inherited_heartbeat=inherited)
    before = {
        key: {part: present[key][part] for part in entry if part in get_mapping(present, key)}
        for key, entry in wanted.items()
        if key in present
    }
    after = {key: _merge(before.get(key, {}), entry) for key, entry in wanted.items()}
    diff = compare_entries(before, after, as_list=has_agent_list(config))
    return ConfigChange(diff, inherited)


def describe_write(agent: Agent, config: Mapping[str, Any]) -> str:
    """Return the values that provisioning an agent changes in its entry, as a unified diff.

    Unlike `plan_config_change` without other settings of a removed heartbeat, which are not stored:
    a prompt on a gateway may contain secrets.
    """
    key = agent.gateway_key or ""
    wanted = build_changed_entries([agent], config).get(key, {})
    present = get_mapping(agent_entries(config), key)
    before, after = _select_differences(present, wanted)
    as_list = has_agent_list(config)
    return compare_entries({key: before}, {key: after}, as_list=as_list)


def _select_differences(
    present: Mapping[str, Any], wanted: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values that differ, as they are and as they are wanted."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name, value in wanted.items():
        if value is None:
            removed = get_mapping(present, name)
            shown = {part: removed[part] for part in HEARTBEAT_PARTS if part in removed}
            before[name] = {part: _hide_structure(old) for part, old in shown.items()}
        elif isinstance(value, Mapping):
            old, new = _select_differences(get_mapping(present, name), value)
            before |= {name: old} if old else {}
            after |= {name: new} if new else {}
        elif present.get(name) != value:
            before |= {name: _hide_structure(present[name])} if name in present else {}
            after[name] = value
    return before, after


def _hide_structure(value: object) -> object:
    """Return a value of a setting; one of an unexpected type is not shown."""
    return value if value is None or isinstance(value, str | int | float) else "…"


def plan_agent_change(before: Agent | None, after: Agent | None, *, as_list: bool = False) -> str:
    """Return what a change of an agent changes in its gateway's configuration, as a unified diff.

    None stands for an agent that the gateway does not have. Before the change the gateway is
    assumed to have what provisioning has written. `as_list`: it is an older gateway.
    """
    old, new = _build_entries(before), _build_entries(after)
    if after is not None and old.keys() == new.keys():
        config = format_entries(old, as_list=as_list)
        return plan_config_change([after], config).diff
    return compare_entries(old, new, as_list=as_list)


def _build_entries(agent: Agent | None) -> dict[str, dict[str, Any]]:
    if agent is None:
        return {}
    return {agent.gateway_key or "": build_provisioned_entry(agent)}


def _merge(before: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Merge an entry of a patch as the gateway does: other settings of a part are kept."""
    return {
        part: {**get_mapping(before, part), **value} if isinstance(value, dict) else value
        for part, value in entry.items()
        if value is not None
    }


def compare_entries(
    before: Mapping[str, Any], after: Mapping[str, Any], *, as_list: bool = False
) -> str:
    """Return the difference between entries as a unified diff; "" if there is none.

    A long one ends with "…" after the first MAX_DIFFED_ENTRIES entries or MAX_CONFIG_DIFF_LENGTH.
    """
    keys = list({**before, **after})
    shown = keys[:MAX_DIFFED_ENTRIES]
    old, new = (
        _format({key: entries[key] for key in shown if key in entries}, as_list=as_list)
        for entries in (before, after)
    )
    lines = difflib.unified_diff(old, new, CONFIG_FILE, CONFIG_FILE, lineterm="", n=4)
    text = "\n".join(lines)
    is_complete = len(text) <= MAX_CONFIG_DIFF_LENGTH and len(shown) == len(keys)
    return text if is_complete else f"{text[:MAX_CONFIG_DIFF_LENGTH]}\n…"


def _format(entries: Mapping[str, Any], *, as_list: bool) -> list[str]:
    part = format_entries(entries, as_list=as_list)
    text = hide_tokens(json.dumps(part, indent=2, ensure_ascii=False, sort_keys=True))
    if not entries:  # there are others, which are not shown
        text = text.replace("{}", "{\n    }").replace("[]", "[\n    ]")
    return text.split("\n")
