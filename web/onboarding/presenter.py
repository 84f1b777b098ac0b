"""Texts of the onboarding: the wait for the agent, and what is known so far."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any

from models import Message, MessageState
from services.gateways import sync
from services.onboarding import Conversation, Exchange, OnboardingPreview, Transcript
from web.boards.forms import BOARD_RULES
from web.ui.locale_format import format_date
from web.ui.text_display import format_value
from web.ui.translation import N_, _, translate
from web.ui.unified_diff import parse_diff

SLOW, SILENT = 20, 60  # seconds until the wait is mentioned, and until another way is offered

OBJECTIVE, MEASURES, DATE = N_("Objective"), N_("Measures"), N_("Target date")
LEAD, WORK, ALSO = N_("Board lead"), N_("How it works with you"), N_("Other answers")

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

LEAD_OPTIONS: dict[str, list[tuple[str, str]]] = {
    "autonomy_level": [
        ("ask_first", N_("Asks before it does anything")),
        ("balanced", N_("Decides small things on its own")),
        ("autonomous", N_("Decides on its own")),
    ],
    "verbosity": [
        ("concise", N_("A few sentences")),
        ("balanced", N_("With reasons")),
        ("detailed", N_("With all details")),
    ],
    "output_format": [
        ("bullets", N_("Lists of points")),
        ("mixed", N_("Paragraphs and lists")),
        ("narrative", N_("Connected paragraphs")),
    ],
    "update_cadence": [
        ("asap", N_("As soon as something changes")),
        ("hourly", N_("Every hour")),
        ("daily", N_("Every day")),
        ("weekly", N_("Every week")),
    ],
}
"""Options for the behaviour of a lead, by the field: each value with its label."""

LEAD_RIGHTS: Mapping[str, str] = {
    "manage_tasks": N_("Creates, assigns, orders and deletes tasks on this board."),
    "accept_reviews": N_("Accepts tasks in review, or sends them back."),
    "request_approvals": N_("Requests approvals, but never decides them."),
    "write_notes": N_("Writes to the chat and the notes of the board and its group."),
    "instruct_workers": N_("Sends messages to its workers, and changes their souls."),
    "ask_people": N_("Asks people questions, through the agent of the gateway or the chat."),
    "pause_agents": N_("Pauses and resumes the agents of this board."),
}
"""What a lead may do, by the keys of the sentences in its files."""

LEAD_LIMITS: Mapping[str, str] = {
    "work_on_tasks": N_(
        "Does not work on tasks of workers, and moves tasks only out of review or to In progress."
    ),
    "change_board": N_(
        "Does not change the objective or the rules of the board, and sees only a summary of the"
        " other boards in its group."
    ),
}
"""What a lead may not do, by the keys of the sentences in its files."""

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
        return _("The message could not be delivered: %(error)s", error=message.last_error)
    if message.state is MessageState.QUEUED:
        return _("%(agent)s has not received the message yet.", agent=name)
    received_at = message.acknowledged_at or message.sent_at or message.created_at
    at = f"{received_at.astimezone(zone):%H:%M}"
    return _("%(agent)s received the message at %(time)s.", agent=name, time=at)


def build_brief(transcript: Transcript, draft: Mapping[str, Any], zone: tzinfo) -> BriefSections:
    """Return what is known so far: from the draft, or else from the answers."""
    known = _brief_from_draft(draft, zone) if draft else _brief_from_answers(transcript.answered)
    headings = (OBJECTIVE, MEASURES, DATE, LEAD, WORK)
    sections = [(heading, known.get(heading, [])) for heading in headings]
    return [*sections, (ALSO, known[ALSO])] if ALSO in known else sections


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
        None, [format_value(lead.get("name") or ""), format_value(profile.get("role") or "")]
    )
    options = []
    for name, labels in LEAD_OPTIONS.items():
        if lead.get(name):
            text = format_value(lead[name])
            options.append(translate(dict(labels).get(text, "")) or text)
    if lead.get("custom_instructions"):
        options.append(format_value(lead["custom_instructions"]))
    day = parse_draft_date(draft.get("target_date"), zone)
    return {
        OBJECTIVE: [format_value(draft["objective"])] if draft.get("objective") else [],
        MEASURES: [f"{name}: {format_value(target)}" for name, target in metrics.items()],
        DATE: [format_date(day, "yMMMMd")] if day else [],
        LEAD: [", ".join(who)] if lead else [],
        WORK: options,
    }


def list_lead_options() -> dict[str, list[tuple[str, str]]]:
    """Return the options of each select field for the behaviour of a lead."""
    return {
        name: [("", _("Default")), *((value, translate(text)) for value, text in options)]
        for name, options in LEAD_OPTIONS.items()
    }


def build_preview_context(preview: OnboardingPreview) -> dict[str, Any]:
    """Return what onboarding/_preview.html needs: what a lead may do, and how a diff is read."""
    active, most = preview.agent_files.rules, preview.agent_files.max_agents
    rights, limits = map(translate, LEAD_RIGHTS.values()), map(translate, LEAD_LIMITS.values())
    workers = (
        _("Adds and removes workers, at most %(number)d at a time.", number=most)
        if most
        else _("Adds no workers, because the board allows none.")
    )
    rules = [translate(text) for name, _label, text in BOARD_RULES if name in active]
    if "require_approval_for_done" not in active:
        rules.append(_("A task can be done without an approval."))
    return {
        "rights": [*rights, workers],
        "limits": [*limits],
        "rules": rules,
        "parse_diff": parse_diff,
        "config_file": sync.CONFIG_FILE,
    }


def get_mapping(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object of a draft; empty if the value is not an object."""
    found = whole.get(name)
    return found if isinstance(found, Mapping) else {}


def parse_draft_date(value: object, zone: tzinfo) -> date | None:
    """Parse a date of a draft in the user's time zone. Midnight UTC is a date without a time."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        midnight = at.astimezone(UTC).time() == time()
        return at.astimezone(UTC if midnight else zone).date()
    except (ValueError, OverflowError):  # not a date, or one that no time zone can express
        return None
