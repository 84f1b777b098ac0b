"""Onboarding: a conversation that turns a goal into a board with a lead."""

from services.onboarding.confirming import Confirmed, Goal, Seen, confirm, confirm_alone
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
from services.onboarding.finding import Asker, Conversation, asker, find, get
from services.onboarding.previewing import Preview, preview
from services.onboarding.reminding import letter, remind
from services.onboarding.transcripts import CONTEXT, Exchange, Option, Transcript
from services.onboarding.understanding import is_typed, understood
from services.onboarding.waiting import Waiting, waiting, waiting_by_board

__all__ = [
    "CONTEXT",
    "Asker",
    "Confirmed",
    "Conversation",
    "Exchange",
    "Goal",
    "Option",
    "Preview",
    "Seen",
    "Transcript",
    "Waiting",
    "answer",
    "ask",
    "asker",
    "confirm",
    "confirm_alone",
    "correct",
    "find",
    "get",
    "give_up",
    "is_autonomous",
    "is_typed",
    "letter",
    "preview",
    "propose",
    "remind",
    "restart",
    "start",
    "understood",
    "waiting",
    "waiting_by_board",
]
