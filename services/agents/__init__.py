"""Agents: they come and go, are known by tokens, and are there or not."""

from services.agents.bringing import bring
from services.agents.cadences import set_cadence
from services.agents.departures import delete, let_go
from services.agents.edits import Home, arrive, change, create, link
from services.agents.fields import AgentDraft
from services.agents.finding import get, hold, hold_all, seen, several
from services.agents.leads import created, free_name, misses_lead, new_lead
from services.agents.lists import AgentCard, card, cards, for_agent, listed, named, newest, of_board
from services.agents.mains import add_main, remove_main, rename_main
from services.agents.presence import heartbeat, mark_offline, touch
from services.agents.rules import (
    OFFLINE_AFTER,
    Evidence,
    Sign,
    State,
    cadence,
    evidence,
    is_late,
    offline_after,
    status,
)
from services.agents.souls import on_board, soul, write_soul
from services.agents.telling import happened
from services.agents.tokens import add_token, issue_token

__all__ = [
    "OFFLINE_AFTER",
    "AgentCard",
    "AgentDraft",
    "Evidence",
    "Home",
    "Sign",
    "State",
    "add_main",
    "add_token",
    "arrive",
    "bring",
    "cadence",
    "card",
    "cards",
    "change",
    "create",
    "created",
    "delete",
    "evidence",
    "for_agent",
    "free_name",
    "get",
    "happened",
    "heartbeat",
    "hold",
    "hold_all",
    "is_late",
    "issue_token",
    "let_go",
    "link",
    "listed",
    "mark_offline",
    "misses_lead",
    "named",
    "new_lead",
    "newest",
    "of_board",
    "offline_after",
    "on_board",
    "remove_main",
    "rename_main",
    "seen",
    "set_cadence",
    "several",
    "soul",
    "status",
    "touch",
    "write_soul",
]
