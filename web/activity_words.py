"""What happened, told in the feed: who, what they did, and where it leads."""

from dataclasses import dataclass
from datetime import date, tzinfo
from uuid import UUID

from kit.clock import now
from models import Event, EventType, Member, RequestKind, Status
from services.activity import Entry
from web.telling import because_of_another

REQUESTS = (
    EventType.GATEWAY_REQUEST_ASKED,
    EventType.GATEWAY_REQUEST_ANSWERED,
    EventType.GATEWAY_REQUEST_LOST,
    EventType.GATEWAY_REQUEST_EXPIRED,
    EventType.GATEWAY_REQUEST_CANCELLED,
)
"""What agents ask on their gateways. Who may not see a command reads its hash."""

KINDS: dict[str, tuple[str, tuple[EventType, ...]]] = {
    "questions": (
        "Questions",
        (
            EventType.APPROVAL_REQUESTED,
            EventType.APPROVAL_APPROVED,
            EventType.APPROVAL_REJECTED,
            EventType.APPROVAL_REOPENED,
            EventType.APPROVAL_ASKED_BACK,
            *REQUESTS,
        ),
    ),
    "tasks": (
        "Tasks",
        (
            EventType.TASK_CREATED,
            EventType.TASK_UPDATED,
            EventType.TASK_STATUS_CHANGED,
            EventType.TASK_DELETED,
            EventType.TASK_RESTORED,
        ),
    ),
    "comments": ("Comments", (EventType.TASK_COMMENT,)),
    "agents": (
        "Agents",
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
            EventType.NUDGE_SENT,
            EventType.ASK_USER_SENT,
        ),
    ),
    "boards": (
        "Boards",
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
"""The kinds of things in the feed. An answer that can still be taken back is none yet."""

EVERYTHING = tuple(type for _, types in KINDS.values() for type in types)

MOVES = {
    Status.INBOX: "put back to the inbox",
    Status.IN_PROGRESS: "started",
    Status.REVIEW: "moved to review",
    Status.DONE: "finished",
}

DEEDS = {
    EventType.TASK_CREATED: "created",
    EventType.TASK_UPDATED: "changed",
    EventType.TASK_COMMENT: "commented on",
    EventType.TASK_DELETED: "deleted",
    EventType.TASK_RESTORED: "brought back",
    EventType.APPROVAL_REQUESTED: "asks:",
    EventType.APPROVAL_APPROVED: "approved",
    EventType.APPROVAL_REJECTED: "rejected",
    EventType.APPROVAL_REOPENED: "reopened",
    EventType.APPROVAL_ASKED_BACK: "asked back about",
    EventType.AGENT_CREATED: "added the agent",
    EventType.AGENT_UPDATED: "changed the agent",
    EventType.AGENT_DELETED: "removed the agent",
    EventType.AGENT_TOKEN_ISSUED: "made a token for",
    EventType.AGENT_SOUL_UPDATED: "changed the soul of",
    EventType.AGENT_PROVISION_FAILED: "cannot come to its gateway",
    EventType.AGENT_UPDATE_FAILED: "cannot be brought up to date on its gateway",
    EventType.AGENT_DELETE_FAILED: "cannot be removed from its gateway",
    EventType.AGENT_LOST: "was lost by its gateway, and is made anew",
    EventType.NUDGE_SENT: "nudged",
    EventType.ASK_USER_SENT: "has a question for a person",
    EventType.GATEWAY_REQUEST_ASKED: "asks for",
    EventType.GATEWAY_REQUEST_LOST: "was not answered here:",
    EventType.GATEWAY_REQUEST_EXPIRED: "had no answer in time:",
    EventType.GATEWAY_REQUEST_CANCELLED: "asks no more for",
    EventType.BOARD_CREATED: "made the board",
    EventType.BOARD_UPDATED: "changed the board",
    EventType.BOARD_PAUSED: "paused the agents of",
    EventType.BOARD_RESUMED: "let the agents go on:",
    EventType.ONBOARDING_STARTED: "began to set up",
    EventType.ONBOARDING_CONFIRMED: "confirmed the goal of",
}

OF_ITSELF = (
    EventType.AGENT_STATUS_CHANGED,
    EventType.AGENT_PROVISION_FAILED,
    EventType.AGENT_UPDATE_FAILED,
    EventType.AGENT_DELETE_FAILED,
    EventType.AGENT_LOST,
    EventType.ASK_USER_SENT,
)
"""What tells of the agent that it happened to, and of nothing else."""


@dataclass(frozen=True)
class Line:
    """A row of the feed."""

    entry: Entry
    who: str  # "" if nobody did it
    by_agent: UUID | None
    deed: str
    about: str
    href: str
    body: str = ""
    sure: int | None = None  # of 100, if somebody asked

    @property
    def event(self) -> Event:
        """What happened."""
        return self.entry.event


def line(entry: Entry, viewer: Member) -> Line:
    """Tell an event."""
    event = entry.event
    by_person = event.user_id is not None
    itself = event.type in OF_ITSELF
    who = "You" if event.user_id == viewer.user_id else entry.actor_name or "Somebody"
    because = because_of_another(event)
    return Line(
        entry=entry,
        who="" if because else who,
        by_agent=None if by_person else event.agent_id,
        deed=_deed(event, because),
        about="" if itself else _about(entry),
        href="" if itself else _href(event, viewer),
        body=_body(entry),
        sure=_sure(event),
    )


def days(lines: list[Line], zone: tzinfo) -> list[tuple[str, list[Line]]]:
    """Put lines under the days on which it happened, where the person is."""
    under: dict[date, list[Line]] = {}
    for one in lines:
        under.setdefault(one.event.created_at.astimezone(zone).date(), []).append(one)
    today = now().astimezone(zone).date()
    return [(_day(day, today), some) for day, some in under.items()]


def _day(day: date, today: date) -> str:
    ago = (today - day).days
    if ago in (0, 1):
        return ("Today", "Yesterday")[ago]
    words = f"{day:%A} {day.day} {day:%B}"
    return words if day.year == today.year else f"{words} {day.year}"


def _deed(event: Event, because: str) -> str:
    if because:
        return f"{because}:"
    if event.type is EventType.TASK_STATUS_CHANGED:
        entered = event.data.get("entered")
        return MOVES[Status(entered)] if entered in set(Status) else "moved"
    if event.type is EventType.AGENT_STATUS_CHANGED:
        return f"is {str(event.data.get('to', 'changed')).replace('_', ' ')}"
    if event.type is EventType.APPROVAL_REQUESTED and event.user_id:
        return "asked:"
    if event.type is EventType.GATEWAY_REQUEST_ANSWERED:
        return f"{event.data.get('answer') or 'answered'}:"
    return DEEDS.get(event.type, "did something")


def _about(entry: Entry) -> str:
    data = entry.event.data
    if entry.event.type in REQUESTS:
        return _asked(entry.event)
    found = data.get("question") or data.get("title") or data.get("name") or entry.board_name
    return str(found or "")


def _asked(event: Event) -> str:
    data = event.data
    if event.type is not EventType.GATEWAY_REQUEST_ANSWERED:
        return f"{data.get('asked')} ({data.get('hash')})"
    if data.get("kind") == RequestKind.QUESTION:
        return f"a question of {data.get('name')}"
    return f"{data.get('asked')} ({data.get('hash')}), for {data.get('name')}"


def _href(event: Event, viewer: Member) -> str:
    """Return the page of what it is about, "" if the reader has none (any more)."""
    if event.type in REQUESTS:
        sees = viewer.is_admin or viewer.all_boards_write
        return f"/approvals/requests/{event.data.get('request_id')}" if sees else ""
    if event.approval_id:
        return f"/approvals/{event.approval_id}"
    if event.type.startswith("agent."):
        gone = event.type is EventType.AGENT_DELETED
        return "" if gone or not event.agent_id else f"/agents/{event.agent_id}"
    if event.task_id:
        gone = event.type is EventType.TASK_DELETED
        return "" if gone else f"/boards/{event.board_id}/tasks/{event.task_id}"
    return f"/boards/{event.board_id}" if event.board_id else ""


def _body(entry: Entry) -> str:
    if entry.event.type is EventType.TASK_COMMENT:
        title = f"Comment on a task: {entry.task_title or ''}"
        return "" if entry.message == title else entry.message
    data = entry.event.data
    note = data.get("note") or data.get("reason") or data.get("error")
    return note if isinstance(note, str) else ""


def _sure(event: Event) -> int | None:
    sure = event.data.get("confidence")
    asked = event.type is EventType.APPROVAL_REQUESTED and event.user_id is None
    return round(sure) if asked and isinstance(sure, int | float) else None
