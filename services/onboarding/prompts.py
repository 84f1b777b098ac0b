"""The messages to the interviewing agent: its task, the API to use, and the user's answers."""

import json
from collections.abc import Sequence

from models import Board, OnboardingMessage, OnboardingRole
from services import messages

BRIEFING_MARKER = messages.templates.MessageMarker.ONBOARDING_REQUEST

EXAMPLE_QUESTION = {
    "question": "What should be true when this board is done?",
    "options": [
        {"id": "1", "label": "A product is launched"},
        {"id": "2", "label": "I'll type it"},
    ],
}
EXAMPLE_DRAFT = {
    "status": "complete",
    "board_type": "goal",
    "objective": "Launch the new site before summer.",
    "success_metrics": {"visitors": "1,000 in the first week"},
    "target_date": "2027-06-01",
    "user_profile": {"preferred_name": "Sam", "timezone": "Europe/Lisbon"},
    "lead_agent": {
        "name": "Ada",
        "identity_profile": {"role": "Board Lead", "communication_style": "direct"},
        "autonomy_level": "balanced",
        "verbosity": "concise",
        "output_format": "bullets",
        "update_cadence": "daily",
    },
}

INTERVIEW_RULES = """\
You are the gateway's agent. A person wants this board to have a goal and a lead; ask them what you
need to know, then send a draft.
- Ask 6 to 10 questions in all, one in each call: 3 to 6 about the goal, 1 for the name of the lead
  (a first name that no other lead has), 2 to 4 about how the lead should work: style of
  communication, autonomy, how often it reports, and the form of its reports.
- The very last question, once, is whether there is anything else; give it an option to type freely.
- Elsewhere add such an option only where it is needed, and label it "I'll type it".
- Plain sentences: no lists and no markdown in a question.
- An answer "Additional context" that comes after your draft is to be worked into it: send the
  draft again.
- An answer that begins with "Correction to" replaces the one that was given to that question. A
  question of yours that waits for its answer meanwhile stays open: don't ask it again.
- Never ask or answer in OpenClaw's chat: the person reads only what you send to the API."""

DRAFT_FIELD_VALUES = """\
autonomy_level: ask_first, balanced or autonomous. verbosity: concise, balanced or detailed.
output_format: bullets, mixed or narrative. update_cadence: asap, hourly, daily or weekly.
A draft has a board_type; if that is "goal", also an objective and success_metrics. Send
user_profile and lead_agent with it."""


def render_briefing(board: Board, base_url: str) -> str:
    """Render the message that starts a conversation."""
    head = messages.templates.format_labels({"Board": board.name, "Board ID": board.id})
    about = messages.templates.fence_text(
        board.description.strip() or "(The board has no description yet.)"
    )
    return "\n\n".join(
        [
            f"{BRIEFING_MARKER}\n{head}",
            about,
            INTERVIEW_RULES,
            _api_instructions(board, base_url),
            DRAFT_FIELD_VALUES,
        ]
    )


def render_reminder(board: Board, history: Sequence[OnboardingMessage], base_url: str) -> str:
    """Render the whole conversation, for an agent that may have lost it."""
    lines = [f"{_speaker(one)}: {one.content}" for one in history[1:]]
    body = messages.templates.fence_text("\n".join(lines) or "(Nobody has said anything yet.)")
    return "\n\n".join(
        [render_briefing(board, base_url), "What was said so far:", body, "Go on from here."]
    )


def render_answer(board: Board, text: str) -> str:
    """Render the answer of the user."""
    head = messages.templates.format_labels({"Board": board.name, "Board ID": board.id})
    marker = messages.templates.MessageMarker.ONBOARDING_ANSWER
    return "\n\n".join([f"{marker}\n{head}", messages.templates.fence_text(text)])


def _api_instructions(board: Board, base_url: str) -> str:
    address = f"{base_url.rstrip('/')}/api/v1/agent/boards/{board.id}/onboarding"
    return (
        f"Base URL: {base_url}\n"
        "Authenticate with the AUTH_TOKEN of your workspace, as the header X-Agent-Token.\n"
        f"Ask, and send the draft: POST {address}\n"
        f"A question: {json.dumps(EXAMPLE_QUESTION)}\n"
        f"A draft: {json.dumps(EXAMPLE_DRAFT)}"
    )


def _speaker(message: OnboardingMessage) -> str:
    return "Person" if message.role is OnboardingRole.USER else "You"
