"""Boards: who sees which, how to hold one still, and how they come, change and go."""

from services.boards.access import (
    Access,
    access,
    get,
    hold,
    hold_as_admin,
    hold_of_agent,
    hold_several,
    readable,
    readable_ids,
    seen_by,
    writable,
    writable_ids,
)
from services.boards.edits import change, create, delete
from services.boards.goals import set_goal
from services.boards.lists import BoardSummary, by_slug, listed, listed_for_agent, summaries
from services.boards.rules import RULES, BoardDraft

__all__ = [
    "RULES",
    "Access",
    "BoardDraft",
    "BoardSummary",
    "access",
    "by_slug",
    "change",
    "create",
    "delete",
    "get",
    "hold",
    "hold_as_admin",
    "hold_of_agent",
    "hold_several",
    "listed",
    "listed_for_agent",
    "readable",
    "readable_ids",
    "seen_by",
    "set_goal",
    "summaries",
    "writable",
    "writable_ids",
]
