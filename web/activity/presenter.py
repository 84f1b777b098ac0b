"""Lines of the activity feed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, tzinfo
from uuid import UUID

from core.clock import now
from models import Event, EventType, Member
from services import organizations
from services.activity import ActivityEntry
from services.events import EVENT_DEFINITIONS, find_feed_text, find_task_cause, list_types
from web.activity.event_texts import (
    build_values,
    name_missing_actor,
    translate_webhook_name,
)
from web.boards.query_parameters import build_comment_path
from web.ui.locale_format import format_date
from web.ui.text_display import describe_confidence
from web.ui.translation import N_, _, pgettext

KIND_LABELS = {
    "questions": N_("Approvals"),
    "tasks": N_("Tasks"),
    "comments": N_("Comments"),
    "agents": N_("Agents"),
    "boards": N_("Boards"),
}
"""The filters of the feed."""

ALL_TYPES = list_types(lambda entry: bool(entry.feed_kind))

TYPES_BY_KIND = {
    kind: tuple(type for type in ALL_TYPES if EVENT_DEFINITIONS[type].feed_kind == kind)
    for kind in KIND_LABELS
}


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
    sentence, values = find_feed_text(event), build_values(event)
    has_subject = "%(subject)s" in sentence
    subject = _describe_subject(entry, values) if has_subject else ""
    return ActivityLine(
        entry=entry,
        sentence=sentence,
        values=values,
        actor_name="" if find_task_cause(event) else _describe_actor(entry, viewer),
        agent_id=None if by_user else event.agent_id,
        subject=subject,
        url=_subject_url(entry, viewer) if has_subject else "",
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
    if entry.actor_name and not (entry.event.user_id or entry.event.agent_id):
        return translate_webhook_name(entry.actor_name)
    return entry.actor_name or name_missing_actor(entry.event)


def _describe_subject(entry: ActivityEntry, values: Mapping[str, object]) -> str:
    # Members who may not see the command of a gateway request see its hash.
    if entry.event.type.startswith("gateway_request."):
        return str(values["request"])
    names = (values["question"], values["title"], values["name"], entry.board_name)
    return next((str(name) for name in names if name), "")


def _subject_url(entry: ActivityEntry, viewer: Member) -> str:
    """Return the page of the subject, or "" if the viewer has no access or it was deleted."""
    event = entry.event
    if event.type.startswith("gateway_request."):
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
