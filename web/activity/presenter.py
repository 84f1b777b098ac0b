"""Lines of the activity feed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, tzinfo
from uuid import UUID

from core.clock import now
from models import Event, EventType, Member
from services import organizations
from services.activity import ActivityEntry
from web.activity.event_texts import (
    build_values,
    describe_request,
    find_feed_text,
    is_caused_by_dependency,
    name_missing_actor,
)
from web.approvals.sentences import translate_question
from web.boards.query_parameters import build_comment_path
from web.ui.locale_format import format_date
from web.ui.text_display import describe_confidence
from web.ui.translation import N_, _, pgettext

GATEWAY_REQUEST_TYPES = (
    EventType.GATEWAY_REQUEST_ASKED,
    EventType.GATEWAY_REQUEST_ANSWERED,
    EventType.GATEWAY_REQUEST_LOST,
    EventType.GATEWAY_REQUEST_EXPIRED,
    EventType.GATEWAY_REQUEST_CANCELLED,
)
"""Events of gateway requests. Members who may not see the command see its hash."""

EVENT_KINDS: dict[str, tuple[str, tuple[EventType, ...]]] = {
    "questions": (
        N_("Approvals"),
        (
            EventType.APPROVAL_REQUESTED,
            EventType.APPROVAL_LAPSED,
            EventType.APPROVAL_APPROVED,
            EventType.APPROVAL_REJECTED,
            EventType.APPROVAL_REOPENED,
            EventType.APPROVAL_CLARIFICATION_REQUESTED,
            *GATEWAY_REQUEST_TYPES,
        ),
    ),
    "tasks": (
        N_("Tasks"),
        (
            EventType.TASK_CREATED,
            EventType.TASK_UPDATED,
            EventType.TASK_STATUS_CHANGED,
            EventType.TASK_DELETED,
            EventType.TASK_RESTORED,
        ),
    ),
    "comments": (N_("Comments"), (EventType.TASK_COMMENT,)),
    "agents": (
        N_("Agents"),
        (
            EventType.AGENT_CREATED,
            EventType.AGENT_UPDATED,
            EventType.AGENT_DELETED,
            EventType.AGENT_STATUS_CHANGED,
            EventType.AGENT_TOKEN_ISSUED,
            EventType.AGENT_SOUL_UPDATED,
            EventType.AGENT_PROVISION_FAILED,
            EventType.AGENT_UPDATE_FAILED,
            EventType.AGENT_DELETE_FAILED,
            EventType.AGENT_LOST,
            EventType.AGENT_HELD,
            EventType.AGENT_RELEASED,
            EventType.AGENT_PAUSED,
            EventType.AGENT_RESUMED,
            EventType.APPROVAL_REQUESTS_HELD,
            EventType.ORGANIZATION_STOPPED,
            EventType.ORGANIZATION_RESUMED,
            EventType.NUDGE_SENT,
            EventType.ASK_USER_SENT,
            EventType.QUESTION_ASKED,
            EventType.QUESTION_ANSWERED,
        ),
    ),
    "boards": (
        N_("Boards"),
        (
            EventType.BOARD_CREATED,
            EventType.BOARD_UPDATED,
            EventType.BOARD_PAUSED,
            EventType.BOARD_RESUMED,
            EventType.ONBOARDING_STARTED,
            EventType.ONBOARDING_CONFIRMED,
        ),
    ),
}
"""Filters of the feed: label and event types. A decision that can be undone is not included."""

ALL_TYPES = tuple(type for _, types in EVENT_KINDS.values() for type in types)

AGENT_SELF_TYPES = (
    EventType.AGENT_STATUS_CHANGED,
    EventType.AGENT_PROVISION_FAILED,
    EventType.AGENT_UPDATE_FAILED,
    EventType.AGENT_DELETE_FAILED,
    EventType.AGENT_LOST,
    EventType.AGENT_HELD,
    EventType.APPROVAL_REQUESTS_HELD,
    EventType.ASK_USER_SENT,
)
"""Events whose line names only the agent that they are about."""


@dataclass(frozen=True)
class ActivityLine:
    """A line of the feed: a sentence with its values, not translated yet."""

    entry: ActivityEntry
    sentence: str
    values: Mapping[str, object]  # but the actor and the subject
    actor_name: str  # "" if the system did it
    agent_id: UUID | None  # of an actor that is an agent
    subject: str
    url: str
    board_name: str = ""  # if the line does not name it otherwise
    body: str = ""
    confidence: str = ""  # of a requested approval

    @property
    def opens_task(self) -> bool:
        """Whether the line leads to a task, which a board page shows beside itself."""
        return "/tasks/" in self.url

    @property
    def event(self) -> Event:
        """Return the event."""
        return self.entry.event


def build_activity_line(
    entry: ActivityEntry, viewer: Member, *, names_board: bool = True
) -> ActivityLine:
    """Build the line of an event."""
    event, board_name = entry.event, entry.board_name or ""
    by_user = event.user_id is not None
    is_about_actor = event.type in AGENT_SELF_TYPES
    subject = "" if is_about_actor else _describe_subject(entry)
    return ActivityLine(
        entry=entry,
        sentence=find_feed_text(event),
        values=build_values(event),
        actor_name="" if is_caused_by_dependency(event) else _describe_actor(entry, viewer),
        agent_id=None if by_user else event.agent_id,
        subject=subject,
        url="" if is_about_actor else _subject_url(entry, viewer),
        board_name=board_name if names_board and board_name != subject else "",
        body=_body(entry),
        confidence=_confidence(event),
    )


def group_by_day(lines: list[ActivityLine], zone: tzinfo) -> list[tuple[str, list[ActivityLine]]]:
    """Group lines by day in the user's time zone."""
    by_day: dict[date, list[ActivityLine]] = {}
    for line in lines:
        by_day.setdefault(line.event.created_at.astimezone(zone).date(), []).append(line)
    today = now().astimezone(zone).date()
    return [(_day_heading(day, today), day_lines) for day, day_lines in by_day.items()]


def _day_heading(day: date, today: date) -> str:
    ago = (today - day).days
    if ago in (0, 1):
        return (_("Today"), _("Yesterday"))[ago]
    return format_date(day, "MMMMEEEEd" if day.year == today.year else "yMMMMEEEEd")


def _describe_actor(entry: ActivityEntry, viewer: Member) -> str:
    if entry.event.user_id == viewer.user_id:
        # Translators: the actor in sentences of the activity feed, for "%(actor)s"
        return pgettext("actor", "You")
    if entry.actor_name == organizations.COMMAND_LINE:
        return _("the command line")
    return entry.actor_name or name_missing_actor(entry.event)


def _describe_subject(entry: ActivityEntry) -> str:
    data = entry.event.data
    if entry.event.type in GATEWAY_REQUEST_TYPES:
        return describe_request(entry.event)
    if entry.event.type.startswith("approval.") and data.get("question"):
        return translate_question(str(data["question"]), data)
    subject = data.get("question") or data.get("title") or data.get("name") or entry.board_name
    return str(subject or "")


def _subject_url(entry: ActivityEntry, viewer: Member) -> str:
    """Return the page of the subject, or "" if the viewer has no access or it was deleted."""
    event = entry.event
    if event.type in GATEWAY_REQUEST_TYPES:
        can_see = viewer.is_admin or viewer.all_boards_write
        return f"/approvals/requests/{event.data.get('request_id')}" if can_see else ""
    if event.approval_id:
        return f"/approvals/{event.approval_id}"
    if event.type.startswith("agent."):
        is_deleted = event.type is EventType.AGENT_DELETED
        return "" if is_deleted or not event.agent_id else f"/agents/{event.agent_id}"
    if event.task_id:
        if entry.comment:
            return build_comment_path(event.board_id, event.task_id, event.id)
        is_deleted = event.type is EventType.TASK_DELETED
        return "" if is_deleted else f"/boards/{event.board_id}/tasks/{event.task_id}"
    return f"/boards/{event.board_id}" if event.board_id else ""


def _body(entry: ActivityEntry) -> str:
    if entry.event.type is EventType.TASK_COMMENT:
        return entry.comment or ""
    data = entry.event.data
    note = data.get("note") or data.get("reason") or data.get("error")
    return note if isinstance(note, str) else ""


def _confidence(event: Event) -> str:
    confidence = event.data.get("confidence")
    is_agent_request = event.type is EventType.APPROVAL_REQUESTED and event.user_id is None
    return describe_confidence(confidence) if is_agent_request and confidence is not None else ""
