"""Render the files of an agent. Templates are ours; texts of users and agents are only data.

Templates get sanitized values. OpenClaw passes AGENTS.md, SOUL.md, IDENTITY.md, USER.md and
MEMORY.md to the agent's model: 20,000 characters of each (USER.md: 4,000) and 60,000 of all. So
every text has a limit here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.gateways.files import instructions
from services.gateways.files.facts import (
    AgentFacts,
    BoardFacts,
    PersonFacts,
    ServedBoard,
    quote_path,
)
from services.gateways.files.instructions import describe_preferences
from services.gateways.files.sanitizer import (
    END_OF_MANAGED_PART,
    to_fenced_block,
    to_line,
    truncate,
)

FILE_NAMES = ("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "MEMORY.md")
MAX_USER_FILE_LENGTH = 4_000  # characters
MAX_BOARDS = 30  # that are named for the agent of a gateway

SOUL, IDENTITY = 18_000, 6_000  # characters
OBJECTIVE, METRICS, DESCRIPTION, INSTRUCTIONS = 3_000, 2_000, 1_000, 2_000
METRIC, TRAIT, SHORT, ABOUT = 500, 400, 80, 1_400

ID_PLACEHOLDER = "(comes with the agent)"
TEMPLATES = Path(__file__).parents[3] / "templates" / "agent_files"

_environment = ImmutableSandboxedEnvironment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=False,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render_files(facts: AgentFacts) -> dict[str, str]:
    """Return the files of an agent by name. The same facts give the same files."""
    files = {name: _render_template(name, facts) for name in FILE_NAMES}
    return files | {"USER.md": truncate(files["USER.md"], MAX_USER_FILE_LENGTH)}


def render_heartbeat(facts: AgentFacts) -> str:
    """Return the text of the heartbeat messages to an agent."""
    return _render_template("heartbeat.md", facts)


def render_first_message(facts: AgentFacts) -> str:
    """Return the message that starts an agent after its files were written."""
    return _render_template("first_message.md", facts)


def render_handover(facts: AgentFacts) -> str:
    """Return the text that a user adds to the AGENTS.md of a linked agent."""
    return _render_template("linked.md", facts)


def _render_template(name: str, facts: AgentFacts) -> str:
    template = _environment.select_template([f"{facts.role.value}/{name}", name])
    return template.render(_template_context(facts)).strip() + "\n"


def _template_context(facts: AgentFacts) -> dict[str, Any]:
    """Return the values for templates: each is one line, or enclosed in fences."""
    board = facts.board
    rules = board.rules if board else frozenset()
    max_agents = board.max_agents if board else 0
    return {
        "role": facts.role.value,
        "id": str(facts.agent_id or ID_PLACEHOLDER),
        "name": to_line(facts.name),
        "base_url": facts.base_url.rstrip("/"),
        "token": to_line(facts.token),
        "keep": END_OF_MANAGED_PART,
        "workspace": to_line(facts.workspace, 1_200),
        "workspace_quoted": quote_path(to_line(facts.workspace, 1_200)),
        "every": to_line(facts.heartbeat_interval, 20),
        "gets_heartbeats": facts.gets_heartbeats,
        "gateway": to_line(facts.gateway_name),
        "profile": _profile_context(facts.profile),
        "instructions": to_fenced_block(facts.profile.get("custom_instructions"), INSTRUCTIONS),
        "soul": to_fenced_block(facts.soul, SOUL),
        "identity": to_fenced_block(facts.identity, IDENTITY),
        "preferences": describe_preferences(facts.profile, board.lead_profile if board else {}),
        "board": _board_context(board) if board else None,
        "boards": [_neighbour_context(one) for one in facts.boards[:MAX_BOARDS]],
        "more_boards": max(len(facts.boards) - MAX_BOARDS, 0),
        "person": _person_context(facts.person or PersonFacts()),
        "may": instructions.list_permissions(facts.role, rules, max_agents=max_agents),
        "may_not": instructions.list_prohibitions(facts.role),
    }


def _profile_context(profile: Mapping[str, str]) -> dict[str, str]:
    traits = {name: to_line(profile.get(name, ""), TRAIT) for name in TRAITS}
    return traits | {name: traits[name] or usual for name, usual in DEFAULT_TRAITS.items()}


TRAITS = ("role", "communication_style", "emoji", "purpose", "personality")
DEFAULT_TRAITS = {
    "role": "Generalist",
    "communication_style": "direct, concise, practical",
    "emoji": ":gear:",
}
"""The traits of an agent without a profile (contract, agents 15.2)."""


def _board_context(board: BoardFacts) -> dict[str, Any]:
    return {
        "id": str(board.id),
        "name": to_line(board.name),
        "type": to_line(board.board_type, 50),
        "description": to_fenced_block(board.description, DESCRIPTION),
        "objective": to_fenced_block(board.objective, OBJECTIVE),
        "metrics": to_fenced_block(_metrics_text(board.success_metrics or {}), METRICS),
        "date": board.target_date.date().isoformat() if board.target_date else "",
        "is_confirmed": board.goal_confirmed,
        "is_paused": board.is_paused,
        "asks": instructions.list_board_requirements(board.rules),
        "rules": board.rules,
        "lead": to_line(board.lead_name or ""),
        "max_agents": board.max_agents,
    }


def _metrics_text(metrics: Mapping[str, Any]) -> str:
    """Return each metric on its own line."""
    return "\n".join(f"{to_line(name)}: {_metric_text(value)}" for name, value in metrics.items())


def _metric_text(value: object) -> str:
    return to_line(
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), METRIC
    )


def _person_context(person: PersonFacts) -> dict[str, str]:
    name = to_line(person.name or "")
    return {
        "name": name,
        "display_name": to_line(person.preferred_name or "") or name,
        "pronouns": to_line(person.pronouns or "", 60),
        "timezone": to_line(person.timezone or "", 60),
        "notes": to_fenced_block(person.notes, ABOUT),
        "context": to_fenced_block(person.context, ABOUT),
    }


def _neighbour_context(one: ServedBoard) -> dict[str, str]:
    return {
        "id": str(one.id),
        "name": to_line(one.name, SHORT),
        "lead": to_line(one.lead_name or "", SHORT),
    }
