"""What a sync changes in the configuration of a gateway: names and heartbeats of our agents."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.security.secrets import hide_tokens
from models import Agent
from openclaw.answers import get_mapping
from services.gateways import provisioning

CONFIG_FILE = "openclaw.json"
MAX_CONFIG_DIFF_LENGTH = 50_000  # characters


@dataclass(frozen=True)
class ConfigChange:
    """The change as a unified diff, which is empty if nothing changes.

    `stops_others`: agents without an entry of their own lose their heartbeat, because a gateway
    that has one such entry ignores the default interval.
    """

    diff: str = ""
    stops_others: bool = False


def plan_config_change(agents: Sequence[Agent], config: Mapping[str, Any]) -> ConfigChange:
    """Return what provisioning these agents changes in a configuration.

    The rest of the configuration is not part of the difference: it is not ours to show.
    """
    present = provisioning.agent_entries(config)
    wanted = provisioning.build_changed_entries(agents, config)
    if not wanted:
        return ConfigChange()
    before = {
        key: _select_parts(get_mapping(present, key), entry)
        for key, entry in wanted.items()
        if key in present
    }
    after = {key: _merge(before.get(key, {}), entry) for key, entry in wanted.items()}
    lines = difflib.unified_diff(
        _format(before, config), _format(after, config), CONFIG_FILE, CONFIG_FILE, lineterm="", n=4
    )
    text = "\n".join(lines)
    shown = text if len(text) <= MAX_CONFIG_DIFF_LENGTH else f"{text[:MAX_CONFIG_DIFF_LENGTH]}\n…"
    has_heartbeat = any("heartbeat" in entry for entry in wanted.values())
    return ConfigChange(shown, has_heartbeat and _stops_others(config, present))


def _select_parts(present: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    return {part: present[part] for part in entry if part in present}


def _merge(before: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Merge an entry of a patch as the gateway does: other settings of a heartbeat are kept."""
    return {
        part: {**get_mapping(before, part), **value} if isinstance(value, dict) else value
        for part, value in entry.items()
    }


def _stops_others(config: Mapping[str, Any], entries: Mapping[str, Any]) -> bool:
    if any("heartbeat" in get_mapping(entries, key) for key in entries):
        return False
    defaults = get_mapping(get_mapping(config, "agents"), "defaults")
    every = get_mapping(defaults, "heartbeat").get("every")
    return every != provisioning.NEVER


def _format(entries: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    part = provisioning.format_entries(entries, config)
    return hide_tokens(json.dumps(part, indent=2, ensure_ascii=False, sort_keys=True)).split("\n")
