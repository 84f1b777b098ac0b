"""Onboarding: a conversation that turns a goal into a board with a lead."""

from services.onboarding.confirming import Goal, confirm
from services.onboarding.conversations import answer, ask, propose, restart, start
from services.onboarding.finding import Conversation, get

__all__ = [
    "Conversation",
    "Goal",
    "answer",
    "ask",
    "confirm",
    "get",
    "propose",
    "restart",
    "start",
]
