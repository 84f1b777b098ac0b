"""What people read while a board is set up: what is waited for, and what is known so far. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any

from models import Message, MessageState
from services.onboarding import Conversation, Exchange, Transcript
from web.board_forms import as_text

SLOW, SILENT = 20, 60  # seconds after which it is told, and after which another way is offered

OBJECTIVE, MEASURES, DATE = "Objective", "Measures", "Target date"
LEAD, WORK, ALSO = "Board lead", "How it works with you", "Also"
HEADINGS = (OBJECTIVE, MEASURES, DATE, LEAD, WORK)

ABOUT: Sequence[tuple[str, re.Pattern[str]]] = (
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
"""What a question is about, by the first pattern that is found in it."""

WISHES: dict[str, tuple[str, list[tuple[str, str]]]] = {
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
"""What can be chosen of how a lead works: its name, and each value in words."""

Known = list[tuple[str, list[str]]]
"""Headings, each with what is known under it."""


@dataclass(frozen=True)
class Wait:
    """An answer that the agent owes: since when, and what has become of the message to it."""

    since: datetime
    seconds: int
    sent: str

    @property
    def is_slow(self) -> bool:
        """Whether it takes longer than usual."""
        return self.seconds >= SLOW

    @property
    def is_silent(self) -> bool:
        """Whether it takes so long that one may want to go on without it."""
        return self.seconds >= SILENT


def wait(
    found: Conversation, letter: Message | None, name: str, moment: datetime, zone: tzinfo
) -> Wait | None:
    """Return what is waited for, if the agent of this name is to speak next."""
    since = found.waiting_since
    if found.waiting_for != "agent" or since is None:
        return None
    seconds = max(0, int((moment - since).total_seconds()))
    return Wait(since, seconds, sent(letter, name, zone))


def sent(letter: Message | None, name: str, zone: tzinfo) -> str:
    """Say what has become of a message to an agent."""
    if letter is None:
        return ""
    if letter.state is MessageState.FAILED:
        return f"The message could not be delivered: {letter.last_error}"
    if letter.state is MessageState.QUEUED:
        return f"{name} has not taken the message yet."
    taken = letter.acknowledged_at or letter.sent_at or letter.created_at
    return f"{name} has had the message since {taken.astimezone(zone):%H:%M}."


def brief(transcript: Transcript, draft: Mapping[str, Any], zone: tzinfo) -> Known:
    """Return what is known so far: what the draft says, or else the answers by what they are to."""
    known = _drafted(draft, zone) if draft else _answered(transcript.answered)
    return [(heading, known.get(heading, [])) for heading in HEADINGS] + [
        (ALSO, known[ALSO]) for _ in known.get(ALSO, [])[:1]
    ]


def about(question: str) -> str:
    """Return the heading under which the answer to a question belongs."""
    words = question.lower()
    return next((heading for heading, said in ABOUT if said.search(words)), OBJECTIVE)


def _answered(exchanges: Sequence[Exchange]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for one in exchanges:
        heading = about(one.question)
        if heading == OBJECTIVE and OBJECTIVE in known:
            heading = ALSO
        known.setdefault(heading, []).append(one.answer or "")
    return known


def _drafted(draft: Mapping[str, Any], zone: tzinfo) -> dict[str, list[str]]:
    metrics, lead = part(draft, "success_metrics"), part(draft, "lead_agent")
    profile = part(lead, "identity_profile")
    who = filter(None, [as_text(lead.get("name") or ""), as_text(profile.get("role") or "")])
    wishes = [_wish(name, lead[name]) for name in WISHES if lead.get(name)]
    wishes += [as_text(lead["custom_instructions"])] if lead.get("custom_instructions") else []
    day = drafted_day(draft.get("target_date"), zone)
    return {
        OBJECTIVE: [as_text(draft["objective"])] if draft.get("objective") else [],
        MEASURES: [f"{name}: {as_text(target)}" for name, target in metrics.items()],
        DATE: [f"{day.day} {day:%B %Y}"] if day else [],
        LEAD: [", ".join(who)] if lead else [],
        WORK: wishes,
    }


def _wish(name: str, value: object) -> str:
    """Say a wish in the words in which it can be chosen."""
    said = as_text(value)
    return dict(WISHES[name][1]).get(said, said)


def part(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object within a draft; an empty one if there is something else."""
    found = whole.get(name)
    return found if isinstance(found, Mapping) else {}


def drafted_day(said: object, zone: tzinfo) -> date | None:
    """Return the day that a draft names, where the person is. Midnight in UTC is just a day."""
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    midnight = at.astimezone(UTC).time() == time()
    return at.astimezone(UTC if midnight else zone).date()
