"""Agents: they come and go, are known by tokens, and are there or not."""

from services.agents.edits import change, create, delete
from services.agents.fields import AgentDraft
from services.agents.finding import get, hold, hold_all, seen, several
from services.agents.lists import AgentCard, card, cards, for_agent, listed, named, of_board
from services.agents.presence import heartbeat, mark_offline, touch
from services.agents.rules import OFFLINE_AFTER, State, cadence, offline_after, status
from services.agents.tokens import issue_token

__all__ = [
    "OFFLINE_AFTER",
    "AgentCard",
    "AgentDraft",
    "State",
    "cadence",
    "card",
    "cards",
    "change",
    "create",
    "delete",
    "for_agent",
    "get",
    "heartbeat",
    "hold",
    "hold_all",
    "issue_token",
    "listed",
    "mark_offline",
    "named",
    "of_board",
    "offline_after",
    "seen",
    "several",
    "status",
    "touch",
]
