"""Writing the files of an agent. Templates are ours; what people and agents wrote is only data.

A template gets values that are plain already: see plain.py. OpenClaw puts AGENTS.md, SOUL.md,
IDENTITY.md, USER.md and MEMORY.md into what the agent's model reads, 20,000 characters of each and
60,000 of all; of USER.md, 4,000. So every text has its limit here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.agent_files import rights
from services.agent_files.facts import BoardFacts, Facts, Neighbour, Person
from services.agent_files.places import quoted
from services.agent_files.plain import KEEP, cut, fenced, line
from services.agent_files.wishes import wishes

NAMES = ("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "MEMORY.md")
LARGEST_USER = 4_000  # characters
MOST_BOARDS = 30  # that the agent of a gateway is told of by name

SOUL, IDENTITY = 18_000, 6_000  # characters
OBJECTIVE, METRICS, DESCRIPTION, INSTRUCTIONS = 3_000, 2_000, 1_000, 2_000
METRIC, TRAIT, SHORT, ABOUT = 500, 400, 80, 1_400

NOT_YET = "(comes with the agent)"
TEMPLATES = Path(__file__).parent.parent.parent / "templates" / "agent_files"

_environment = ImmutableSandboxedEnvironment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=False,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(facts: Facts) -> dict[str, str]:
    """Return the files of an agent by their names. The same facts give the same files."""
    files = {name: _written(name, facts) for name in NAMES}
    return files | {"USER.md": cut(files["USER.md"], LARGEST_USER)}


def scratch(facts: Facts) -> str:
    """Return what an agent is told each time it is woken by its heartbeat."""
    return _written("scratch.md", facts)


def first_message(facts: Facts) -> str:
    """Return what an agent is told when its files have been written, to begin with its work."""
    return _written("first_message.md", facts)


def handover(facts: Facts) -> str:
    """Return what somebody puts into the AGENTS.md of an agent whose files are not ours."""
    return _written("linked.md", facts)


def _written(name: str, facts: Facts) -> str:
    template = _environment.select_template([f"{facts.role.value}/{name}", name])
    return template.render(_context(facts)).strip() + "\n"


def _context(facts: Facts) -> dict[str, Any]:
    """Return the values that templates may use. Each is one line, or stands between fences."""
    board = facts.board
    rules = board.rules if board else frozenset()
    most = board.max_agents if board else 0
    return {
        "role": facts.role.value,
        "id": str(facts.agent_id or NOT_YET),
        "name": line(facts.name),
        "base_url": facts.base_url.rstrip("/"),
        "token": line(facts.token),
        "keep": KEEP,
        "workspace": line(facts.workspace, 1_200),
        "workspace_quoted": quoted(line(facts.workspace, 1_200)),
        "every": line(facts.every, 20),
        "is_quiet": facts.is_quiet,
        "gateway": line(facts.gateway),
        "profile": _profile(facts.profile),
        "instructions": fenced(facts.profile.get("custom_instructions"), INSTRUCTIONS),
        "soul": fenced(facts.soul, SOUL),
        "identity": fenced(facts.identity, IDENTITY),
        "wishes": wishes(facts.profile, board.lead_profile if board else {}),
        "board": _board(board) if board else None,
        "boards": [_neighbour(one) for one in facts.boards[:MOST_BOARDS]],
        "more_boards": max(len(facts.boards) - MOST_BOARDS, 0),
        "person": _person(facts.person or Person()),
        "may": rights.may(facts.role, rules, max_agents=most),
        "may_not": rights.may_not(facts.role),
    }


def _profile(profile: Mapping[str, str]) -> dict[str, str]:
    traits = {name: line(profile.get(name, ""), TRAIT) for name in TRAITS}
    return traits | {name: traits[name] or usual for name, usual in USUAL.items()}


TRAITS = ("role", "communication_style", "emoji", "purpose", "personality")
USUAL = {
    "role": "Generalist",
    "communication_style": "direct, concise, practical",
    "emoji": ":gear:",
}
"""Who an agent is where nobody has said it (contract, agents 15.2)."""


def _board(board: BoardFacts) -> dict[str, Any]:
    return {
        "id": str(board.id),
        "name": line(board.name),
        "type": line(board.board_type, 50),
        "description": fenced(board.description, DESCRIPTION),
        "objective": fenced(board.objective, OBJECTIVE),
        "metrics": fenced(_metrics(board.success_metrics or {}), METRICS),
        "date": board.target_date.date().isoformat() if board.target_date else "",
        "is_confirmed": board.goal_confirmed,
        "is_paused": board.is_paused,
        "asks": rights.asked(board.rules),
        "rules": board.rules,
        "lead": line(board.lead or ""),
        "max_agents": board.max_agents,
    }


def _metrics(metrics: Mapping[str, Any]) -> str:
    """Write each measure in a line of its own."""
    return "\n".join(f"{line(name)}: {_measure(value)}" for name, value in metrics.items())


def _measure(value: object) -> str:
    return line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), METRIC)


def _person(person: Person) -> dict[str, str]:
    name = line(person.name or "")
    return {
        "name": name,
        "called": line(person.preferred_name or "") or name,
        "pronouns": line(person.pronouns or "", 60),
        "timezone": line(person.timezone or "", 60),
        "notes": fenced(person.notes, ABOUT),
        "context": fenced(person.context, ABOUT),
    }


def _neighbour(one: Neighbour) -> dict[str, str]:
    return {"id": str(one.id), "name": line(one.name, SHORT), "lead": line(one.lead or "", SHORT)}
