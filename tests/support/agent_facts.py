"""Facts of agents, from which their files are rendered."""

from typing import Any
from uuid import uuid4

from services.gateways.files import AgentFacts, AgentRole, BoardFacts

BASE_URL = "https://control.example"


TOKEN = "mc_agent_of-its-own"


def make_board_facts(**fields: Any) -> BoardFacts:
    defaults: dict[str, Any] = {
        "id": uuid4(),
        "name": "Launch",
        "lead_name": "Ada",
        "max_agents": 2,
    }
    return BoardFacts(**{**defaults, **fields})


def make_facts(role: AgentRole = AgentRole.WORKER, **fields: Any) -> AgentFacts:
    defaults: dict[str, Any] = {
        "agent_id": uuid4(),
        "name": "Grace",
        "base_url": BASE_URL,
        "token": TOKEN,
        "workspace": "~/.openclaw/workspace-mc-1",
        "session_key": "agent:mc-1:main",
        "board": None if role is AgentRole.MAIN else make_board_facts(),
    }
    return AgentFacts(role=role, **{**defaults, **fields})


END_OF_OUR_PART = (
    "<!-- Mission Control writes all above this line anew. What you write below it is kept. -->"
)
