"""Differences of the configurations of gateways: the entries of our agents."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.security.secrets import hide_tokens
from models import Agent
from openclaw.api import get_mapping
from services.gateways.provisioning import config_entries

CONFIG_FILE = "openclaw.json"
MAX_CONFIG_DIFF_LENGTH = 50_000  # characters
HEARTBEAT_PARTS = ("every", "target")  # what Mission Control has written of a heartbeat
MAX_DIFFED_ENTRIES = 100  # the time of a difference grows with the square of its length


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
    present = config_entries.agent_entries(config)
    wanted = config_entries.build_changed_entries(agents, config)
    inherited = config_entries.find_inherited_heartbeat(agents, config)
    if not wanted:
        return ConfigChange(inherited_heartbeat=inherited)
    before = {
        key: _select_parts(get_mapping(present, key), entry)
        for key, entry in wanted.items()
        if key in present
    }
    after = {key: _merge(before.get(key, {}), entry) for key, entry in wanted.items()}
    diff = compare_entries(before, after, as_list=config_entries.has_agent_list(config))
    return ConfigChange(diff, inherited)


def describe_write(agent: Agent, config: Mapping[str, Any]) -> str:
    """Return the values that provisioning an agent changes in its entry, as a unified diff.

    Unlike `plan_config_change` without other settings of a removed heartbeat, which are not stored:
    a prompt on a gateway may contain secrets.
    """
    key = agent.gateway_key or ""
    wanted = config_entries.build_changed_entries([agent], config).get(key, {})
    present = get_mapping(config_entries.agent_entries(config), key)
    before, after = _select_differences(present, wanted)
    as_list = config_entries.has_agent_list(config)
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
        config = config_entries.format_entries(old, as_list=as_list)
        return plan_config_change([after], config).diff
    return compare_entries(old, new, as_list=as_list)


def _build_entries(agent: Agent | None) -> dict[str, dict[str, Any]]:
    if agent is None:
        return {}
    return {agent.gateway_key or "": config_entries.build_provisioned_entry(agent)}


def _select_parts(present: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    return {part: present[part] for part in entry if part in present}


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
    part = config_entries.format_entries(entries, as_list=as_list)
    text = hide_tokens(json.dumps(part, indent=2, ensure_ascii=False, sort_keys=True))
    if not entries:  # there are others, which are not shown
        text = text.replace("{}", "{\n    }").replace("[]", "[\n    ]")
    return text.split("\n")
