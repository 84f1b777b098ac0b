"""Texts of the onboarding: the wait for the agent, and what is known so far."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any

from models import Message, MessageState
from services.onboarding import Conversation, Exchange, Transcript
from web.boards.forms import format_metric

SLOW, SILENT = 20, 60  # seconds until the wait is mentioned, and until another way is offered

OBJECTIVE, MEASURES, DATE = "Objective", "Measures", "Target date"
LEAD, WORK, ALSO = "Board lead", "How it works with you", "Also"
HEADINGS = (OBJECTIVE, MEASURES, DATE, LEAD, WORK)

HEADING_PATTERNS: Sequence[tuple[str, re.Pattern[str]]] = (
    (LEAD, re.compile(r"\b(name|named|called)\b")),
    (
        WORK,
        re.compile(
            r"\b(lead|agent|autonom\w*|decide|asking|reports?|reporting|updates?|style|tone|format"
            r"|verbos\w*|detail\w*|how often|communicat\w*|concise)\b"
        ),
    ),
    (MEASURES, re.compile(r"\b(measur\w*|metrics?|know|success\w*|kpis?|numbers?)\b")),
    (DATE, re.compile(r"^(by )?when\b|\b(dates?|deadlines?|how soon|timeline)\b")),
)
"""Heading of a question by the first matching pattern."""

LEAD_OPTIONS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "autonomy_level": (
        "What it decides",
        [
            ("ask_first", "Asks before it does anything"),
            ("balanced", "Decides what is small"),
            ("autonomous", "Decides on its own"),
        ],
    ),
    "verbosity": (
        "How much it writes",
        [
            ("concise", "A few sentences"),
            ("balanced", "With reasons"),
            ("detailed", "With all details"),
        ],
    ),
    "output_format": (
        "How it writes",
        [
            ("bullets", "Lists of points"),
            ("mixed", "Paragraphs and lists"),
            ("narrative", "Connected paragraphs"),
        ],
    ),
    "update_cadence": (
        "When it reports",
        [
            ("asap", "As soon as something changes"),
            ("hourly", "Every hour"),
            ("daily", "Every day"),
            ("weekly", "Every week"),
        ],
    ),
}
"""Options for the behaviour of a lead: label, and each value with its label."""

BriefSections = list[tuple[str, list[str]]]
"""Headings with what is known under each."""


@dataclass(frozen=True)
class AgentWait:
    """The wait for a reply of the agent."""

    since: datetime
    seconds: int
    delivery_status: str

    @property
    def is_slow(self) -> bool:
        """Return whether the reply takes longer than usual."""
        return self.seconds >= SLOW

    @property
    def is_silent(self) -> bool:
        """Return whether the wait is so long that another way is offered."""
        return self.seconds >= SILENT


def build_wait(
    conversation: Conversation, message: Message | None, name: str, moment: datetime, zone: tzinfo
) -> AgentWait | None:
    """Return the wait for the agent, or None if it is not its turn."""
    since = conversation.waiting_since
    if conversation.waiting_for != "agent" or since is None:
        return None
    seconds = max(0, int((moment - since).total_seconds()))
    return AgentWait(since, seconds, describe_delivery(message, name, zone))


def describe_delivery(message: Message | None, name: str, zone: tzinfo) -> str:
    """Describe the delivery status of a message to an agent."""
    if message is None:
        return ""
    if message.state is MessageState.FAILED:
        return f"The message could not be delivered: {message.last_error}"
    if message.state is MessageState.QUEUED:
        return f"{name} has not taken the message yet."
    received_at = message.acknowledged_at or message.sent_at or message.created_at
    return f"{name} has had the message since {received_at.astimezone(zone):%H:%M}."


def build_brief(transcript: Transcript, draft: Mapping[str, Any], zone: tzinfo) -> BriefSections:
    """Return what is known so far: from the draft, or else from the answers."""
    known = _brief_from_draft(draft, zone) if draft else _brief_from_answers(transcript.answered)
    return [(heading, known.get(heading, [])) for heading in HEADINGS] + [
        (ALSO, known[ALSO]) for _ in known.get(ALSO, [])[:1]
    ]


def find_heading(question: str) -> str:
    """Return the heading for the answer to a question."""
    words = question.lower()
    return next(
        (heading for heading, pattern in HEADING_PATTERNS if pattern.search(words)), OBJECTIVE
    )


def _brief_from_answers(exchanges: Sequence[Exchange]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for one in exchanges:
        heading = find_heading(one.question)
        if heading == OBJECTIVE and OBJECTIVE in known:
            heading = ALSO
        known.setdefault(heading, []).append(one.answer or "")
    return known


def _brief_from_draft(draft: Mapping[str, Any], zone: tzinfo) -> dict[str, list[str]]:
    metrics, lead = get_mapping(draft, "success_metrics"), get_mapping(draft, "lead_agent")
    profile = get_mapping(lead, "identity_profile")
    who = filter(
        None, [format_metric(lead.get("name") or ""), format_metric(profile.get("role") or "")]
    )
    options = [_option_label(name, lead[name]) for name in LEAD_OPTIONS if lead.get(name)]
    options += (
        [format_metric(lead["custom_instructions"])] if lead.get("custom_instructions") else []
    )
    day = parse_draft_date(draft.get("target_date"), zone)
    return {
        OBJECTIVE: [format_metric(draft["objective"])] if draft.get("objective") else [],
        MEASURES: [f"{name}: {format_metric(target)}" for name, target in metrics.items()],
        DATE: [f"{day.day} {day:%B %Y}"] if day else [],
        LEAD: [", ".join(who)] if lead else [],
        WORK: options,
    }


def _option_label(name: str, value: object) -> str:
    """Return the label of an option."""
    said = format_metric(value)
    return dict(LEAD_OPTIONS[name][1]).get(said, said)


def get_mapping(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object of a draft; empty if the value is no object."""
    found = whole.get(name)
    return found if isinstance(found, Mapping) else {}


def parse_draft_date(said: object, zone: tzinfo) -> date | None:
    """Parse a date of a draft in the user's time zone. Midnight UTC is a date without a time."""
    if not isinstance(said, str):
        return None
    try:
        moment = datetime.fromisoformat(said)
        at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        midnight = at.astimezone(UTC).time() == time()
        return at.astimezone(UTC if midnight else zone).date()
    except (ValueError, OverflowError):  # not a date, or one that no time zone can express
        return None
