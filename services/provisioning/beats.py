"""How often an agent is woken by its gateway, and what it is told then. Pure.

Where nothing waits, no model is asked: the gateway skips a turn whose scratch has headings only.
"""

import re
from typing import Any

from models import Agent

QUIET = "# Mission Control writes to this agent when something waits for it\n"

USUAL = "10m"
AS_IT_IS = re.compile(r"\d{1,6}[smh]")
EVERY = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST = 7 * 86400  # seconds


def is_quiet(agent: Agent, *, is_paused: bool) -> bool:
    """Say whether an agent's heartbeats are to cost nothing: always, unless it is set otherwise."""
    return is_paused or (agent.heartbeat_config or {}).get("quiet") is not False


def every(agent: Agent) -> str:
    """Return how often an agent beats, as a gateway takes it; `0m` is not at all."""
    said = (agent.heartbeat_config or {}).get("every")
    text = said.strip() if isinstance(said, str) else USUAL
    parts = EVERY.findall(text)
    if "".join(number + unit for number, unit in parts) != text or not parts:
        return USUAL
    seconds = min(sum(float(number) * SECONDS[unit] for number, unit in parts), LONGEST)
    if seconds == 0:
        return "0m"
    return text if AS_IT_IS.fullmatch(text) else f"{max(1, round(seconds))}s"


def wanted(agent: Agent) -> dict[str, str]:
    """Return the heartbeat of an agent, as it stands in a gateway's config.

    Without a target the gateway would skip every turn of an agent that has no channel.
    """
    return {"every": every(agent), "target": "none"}


def has(agent: Agent, config: Any) -> bool:
    """Say whether a gateway's config has an agent."""
    return agent.gateway_key in _part(_part(config, "agents"), "entries")


def differs(agent: Agent, config: Any) -> bool:
    """Say whether a gateway's config has another heartbeat for an agent."""
    entry = _part(_part(_part(config, "agents"), "entries"), agent.gateway_key or "")
    known = _part(entry, "heartbeat")
    return any(known.get(name) != value for name, value in wanted(agent).items())


def _part(value: Any, name: str) -> dict[str, Any]:
    part = value.get(name) if isinstance(value, dict) else None
    return part if isinstance(part, dict) else {}
