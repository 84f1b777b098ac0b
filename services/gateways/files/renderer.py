"""Render the files of an agent. Templates are ours; texts of users and agents are only data.

Templates get sanitized values. OpenClaw passes AGENTS.md, SOUL.md, IDENTITY.md, USER.md and
MEMORY.md to the agent's model: 20,000 characters of each (USER.md: 4,000) and 60,000 of all. So
every text has a limit here.

At the end are texts about agents: what they may do, what a board requires, and how they should
work. Pages have their own texts for what a lead may do.
"""

import json
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.gateways.files.facts import (
    AgentFacts,
    AgentRole,
    BoardFacts,
    PersonFacts,
    quote_path,
)
from services.gateways.files.former_files import FORMER_FILES
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

DEFAULT_TRAITS = {
    "role": "Generalist",
    "communication_style": "direct, concise, practical",
    "emoji": ":gear:",
    "purpose": "",
    "personality": "",
}
"""The traits of an agent without a profile."""

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
    files |= {"USER.md": truncate(files["USER.md"], MAX_USER_FILE_LENGTH)}
    return files | (FORMER_FILES if facts.is_imported else {})


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
        "id": str(facts.agent_id or "(comes with the agent)"),
        "name": to_line(facts.name),
        "base_url": facts.base_url.rstrip("/"),
        "token": to_line(facts.token),
        "keep": END_OF_MANAGED_PART,
        "workspace": to_line(facts.workspace, 1_200),
        "workspace_quoted": quote_path(to_line(facts.workspace, 1_200)),
        "every": to_line(facts.heartbeat_interval, 20),
        "gets_heartbeats": facts.gets_heartbeats,
        "gateway": to_line(facts.gateway_name),
        "profile": {
            name: to_line(facts.profile.get(name, ""), TRAIT) or usual
            for name, usual in DEFAULT_TRAITS.items()
        },
        "instructions": to_fenced_block(facts.profile.get("custom_instructions"), INSTRUCTIONS),
        "soul": to_fenced_block(facts.soul, SOUL),
        "identity": to_fenced_block(facts.identity, IDENTITY),
        "preferences": describe_preferences(facts.profile, board.lead_profile if board else {}),
        "board": _board_context(board) if board else None,
        "boards": [
            {
                "id": str(one.id),
                "name": to_line(one.name, SHORT),
                "lead": to_line(one.lead_name or "", SHORT),
            }
            for one in facts.boards[:MAX_BOARDS]
        ],
        "more_boards": max(len(facts.boards) - MAX_BOARDS, 0),
        "person": _person_context(facts.person or PersonFacts()),
        "may": list_permissions(facts.role, rules, max_agents=max_agents),
        "may_not": list_prohibitions(facts.role),
    }


def _board_context(board: BoardFacts) -> dict[str, Any]:
    metrics = []
    for name, value in (board.success_metrics or {}).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        metrics.append(f"{to_line(name)}: {to_line(text, METRIC)}")
    return {
        "id": str(board.id),
        "name": to_line(board.name),
        "type": to_line(board.board_type, 50),
        "description": to_fenced_block(board.description, DESCRIPTION),
        "objective": to_fenced_block(board.objective, OBJECTIVE),
        "metrics": to_fenced_block("\n".join(metrics), METRICS),
        "date": board.target_date.date().isoformat() if board.target_date else "",
        "is_confirmed": board.goal_confirmed,
        "is_paused": board.is_paused,
        "asks": [
            *(text for name, text in ENABLED_RULES.items() if name in board.rules),
            *(text for name, text in DISABLED_RULES.items() if name not in board.rules),
        ],
        "rules": board.rules,
        "lead": to_line(board.lead_name or ""),
        "max_agents": board.max_agents,
    }


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


LEAD_MAY = {
    "manage_tasks": "Creates tasks on this board, hands them to its workers, orders and deletes"
    " them.",
    "accept_reviews": "Accepts what is in review, or sends it back.",
    "request_approvals": "Asks people for approvals; it never decides one.",
    "write_notes": "Writes to the board's chat and memory, and to its group's.",
    "instruct_workers": "Writes to its workers, and says what they are like.",
    "ask_people": "Has a person asked, by the gateway's agent or in the board's chat.",
    "pause_agents": "Pauses and resumes the agents of this board.",
}
NO_WORKERS = "Adds no workers: the board allows none."
WORKERS = "Adds workers to this board, {most} at most at any time, and lets them go."
LEAD_MAY_NOT = {
    "work_on_tasks": "Does no worker's task itself, and moves tasks only out of review or into"
    " work.",
    "change_board": "Changes neither the board's goal nor its rules, and sees no other board's"
    " tasks beyond its group's summary.",
}
WORKER_MAY = (
    "Claims tasks of this board that nobody has, and moves its own on.",
    "Comments on every task of this board.",
    "Asks people for approvals; it never decides one.",
    "Writes to the board's chat and memory, and to its group's.",
)
RESTRICTED_WORKER_MAY = (
    "Moves no task: on this board only the lead and people do.",
    *WORKER_MAY[1:],
)
WORKER_MAY_NOT = ("Creates, deletes and hands out no tasks, and moves none that another has.",)
MAIN_MAY = (
    "Reads the boards that this gateway serves, and the agents on them.",
    "Writes to the leads of these boards, one by one or to all.",
    "Asks people what leads want to know, and brings their answers back.",
    "Asks the questions of a new board's onboarding, and sends the draft of its goal.",
    "Reads and writes the memory of these boards.",
)
MAIN_MAY_NOT = ("Claims no task and moves none, and creates no board.",)

ENABLED_RULES: Mapping[str, str] = {
    "require_approval_for_done": "A task is done only once a person has approved it.",
    "require_review_before_done": "A task goes through review before it is done.",
    "comment_required_for_review": "A task comes to review with a comment about what was done.",
    "block_status_changes_with_pending_approval": "While an approval waits for a task, the task"
    " stays where it is.",
    "only_lead_can_change_status": "Among agents only the lead moves tasks.",
}
DISABLED_RULES: Mapping[str, str] = {
    "require_approval_for_done": "A task may be done without a person's approval.",
}


def list_permissions(
    role: AgentRole, rules: Set[str] = frozenset(), *, max_agents: int = 0
) -> list[str]:
    """Return the permissions of an agent, one sentence each."""
    if role is AgentRole.MAIN:
        return list(MAIN_MAY)
    if role is AgentRole.WORKER:
        return list(RESTRICTED_WORKER_MAY if "only_lead_can_change_status" in rules else WORKER_MAY)
    return [*LEAD_MAY.values(), WORKERS.format(most=max_agents) if max_agents else NO_WORKERS]


def list_prohibitions(role: AgentRole) -> list[str]:
    """Return the prohibitions of an agent, one sentence each."""
    return list(
        {
            AgentRole.MAIN: MAIN_MAY_NOT,
            AgentRole.LEAD: LEAD_MAY_NOT.values(),
            AgentRole.WORKER: WORKER_MAY_NOT,
        }[role]
    )


AUTONOMY = {
    "ask_first": "Ask before each step that changes anything beyond a task's comments.",
    "balanced": "Decide what is small and can be undone; ask before all else.",
    "autonomous": "Decide by yourself within the board's rules; ask only where they want it, or"
    " before what leaves the system or cannot be undone.",
}
VERBOSITY = {
    "concise": "Say what matters in a few sentences.",
    "balanced": "Say what matters, and the reasons that somebody may ask for.",
    "detailed": "Give the reasons, the alternatives and the evidence.",
}
OUTPUT_FORMAT = {
    "bullets": "Write lists of short points.",
    "mixed": "Write short paragraphs, and lists where they help.",
    "narrative": "Write connected paragraphs.",
}
UPDATE_CADENCE = {
    "asap": "Report as soon as something changes.",
    "hourly": "Report once an hour while you work.",
    "daily": "Report once a day.",
    "weekly": "Report once a week.",
}
PREFERENCES: Mapping[str, tuple[str, Mapping[str, str], str]] = {
    "autonomy_level": ("Autonomy", AUTONOMY, "balanced"),
    "verbosity": ("Verbosity", VERBOSITY, "concise"),
    "output_format": ("Output format", OUTPUT_FORMAT, "mixed"),
    "update_cadence": ("Update cadence", UPDATE_CADENCE, "asap"),
}
"""Each preference: its name, the meanings of its values, and its default."""


def describe_preferences(own: Mapping[str, str], board: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return name and sentence of each preference: the agent's own, or else its lead's.

    Values that the onboarding does not offer are quoted.
    """
    found = []
    for key, (name, meanings, usual) in PREFERENCES.items():
        word = to_line(own.get(key) or board.get(key) or usual, 300)
        meaning = meanings.get(word.lower().replace("-", "_").replace(" ", "_"))
        found.append((name, f"{word}. {meaning}" if meaning else word))
    return found
