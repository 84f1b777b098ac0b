"""Rules for leads, and the creation of onboarding sessions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from core.errors import Conflict
from core.text import N_
from models import (
    Board,
    OnboardingSession,
    OnboardingStatus,
    new_id,
)
from services.onboarding.queries import (
    Conversation,
)

DEFAULT_LEAD_NAME = "Lead Agent"
DEFAULT_LEAD_PROFILE = {
    "role": "Board Lead",
    "communication_style": "direct, concise, practical",
    "emoji": ":gear:",
}
PREFERENCE_FIELDS = (
    "autonomy_level",
    "verbosity",
    "output_format",
    "update_cadence",
    "custom_instructions",
)
AUTONOMOUS_LEVELS = {"autonomous", "fully-autonomous", "full-autonomy"}


def choose_lead_name(lead: Mapping[str, Any]) -> str:
    """Return the proposed name of the lead, or the default."""
    return (lead.get("name") or "").strip() or DEFAULT_LEAD_NAME


def build_lead_profile(lead: Mapping[str, Any]) -> dict[str, str]:
    """Return the profile of the lead: the defaults, the proposed profile, and the preferences."""
    preferences = {name: lead.get(name) for name in PREFERENCE_FIELDS}
    values = DEFAULT_LEAD_PROFILE | (lead.get("identity_profile") or {}) | preferences
    texts = {
        name.strip(): str(value).strip() for name, value in values.items() if value is not None
    }
    return {name: text for name, text in texts.items() if name and text}


def is_autonomous(lead: Mapping[str, Any]) -> bool:
    """Return whether the lead may finish tasks without approval (contract, agents 10.5)."""
    profile = lead.get("identity_profile") or {}
    words = [lead.get("autonomy_level"), *map(profile.get, ("autonomy_level", "autonomy", "mode"))]
    levels = [str(word).strip().lower().replace("_", "-") for word in words if word]
    return any(
        level in AUTONOMOUS_LEVELS or ("fully" in level and "autonom" in level) for level in levels
    )


def build_session(board: Board, at: datetime, *, session_key: str = "") -> OnboardingSession:
    """Build an active onboarding session, with the key of the gateway session if an agent asks."""
    return OnboardingSession(
        id=new_id(),
        board_id=board.id,
        session_key=session_key,
        status=OnboardingStatus.ACTIVE,
        created_at=at,
        updated_at=at,
    )


def ensure_open(conversation: Conversation) -> None:
    """Raise Conflict if the conversation is closed."""
    if not conversation.is_open:
        reason = N_("This onboarding is over. Start another to continue.")
        raise Conflict("onboarding_over", reason, status=conversation.session.status.value)


def ensure_unanswered(conversation: Conversation, question_id: UUID | None) -> None:
    """Raise Conflict if the question that the user has read is no longer open."""
    question = conversation.transcript.open_question
    if question_id is None or (question is not None and question.id == question_id):
        return
    exchange = conversation.transcript.find_answered(question_id)
    if exchange is None:
        raise Conflict(
            "onboarding_question_over", N_("The agent has continued with another question.")
        )
    reason = N_("It was answered meanwhile: “%(answer)s”.")
    raise Conflict("onboarding_question_answered", reason, answer=exchange.answer)
