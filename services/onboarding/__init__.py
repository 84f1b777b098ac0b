"""Onboarding: a conversation that turns a goal into a board with a lead."""

from services.onboarding.confirming import Confirmed, Goal, confirm, confirm_alone
from services.onboarding.conversations import (
    answer,
    ask,
    correct,
    give_up,
    propose,
    restart,
    start,
)
from services.onboarding.drafts import is_autonomous
from services.onboarding.finding import Conversation, find, get
from services.onboarding.reminding import letter, remind
from services.onboarding.transcripts import CONTEXT, Exchange, Option, Transcript
from services.onboarding.understanding import understood

__all__ = [
    "CONTEXT",
    "Confirmed",
    "Conversation",
    "Exchange",
    "Goal",
    "Option",
    "Transcript",
    "answer",
    "ask",
    "confirm",
    "confirm_alone",
    "correct",
    "find",
    "get",
    "give_up",
    "is_autonomous",
    "letter",
    "propose",
    "remind",
    "restart",
    "start",
    "understood",
]
