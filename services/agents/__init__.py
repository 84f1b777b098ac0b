"""Agents: they come and go, are known by tokens, and are there or not."""

from services.agents.cadences import set_cadence
from services.agents.edits import change, create, delete
from services.agents.fields import AgentDraft
from services.agents.finding import get, hold, hold_all, seen, several
from services.agents.leads import created, new_lead
from services.agents.lists import AgentCard, card, cards, for_agent, listed, named, of_board
from services.agents.mains import add_main, happened, remove_main, rename_main
from services.agents.presence import heartbeat, mark_offline, touch
from services.agents.rules import OFFLINE_AFTER, State, cadence, offline_after, status
from services.agents.tokens import issue_token

__all__ = [
    "OFFLINE_AFTER",
    "AgentCard",
    "AgentDraft",
    "State",
    "add_main",
    "cadence",
    "card",
    "cards",
    "change",
    "create",
    "created",
    "delete",
    "for_agent",
    "get",
    "happened",
    "heartbeat",
    "hold",
    "hold_all",
    "issue_token",
    "listed",
    "mark_offline",
    "named",
    "new_lead",
    "of_board",
    "offline_after",
    "remove_main",
    "rename_main",
    "seen",
    "set_cadence",
    "several",
    "status",
    "touch",
]
