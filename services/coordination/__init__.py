"""Coordination: leads nudge their workers and ask people, gateways' agents write to leads."""

from services.coordination.leads import Letter, Outcome, broadcast, message_lead
from services.coordination.questions import Question, ask_user
from services.coordination.workers import nudge

__all__ = [
    "Letter",
    "Outcome",
    "Question",
    "ask_user",
    "broadcast",
    "message_lead",
    "nudge",
]
