"""Keeping an open page true: it is told which of its parts are out of date, and asks for them."""

import time
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from sse_starlette import ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from kit.http import UNKNOWN_EVENT, Session, event_stream, last_event_id, transaction
from models import Event, EventType
from services import boards, events, identity, organizations
from web import forms
from web.auth import Viewer, member_of
from web.presence import Visit

LOOK_AGAIN = 2.0  # seconds; twice that is the longest that a listener without rights stays

BOARD = ("boards", "rail", "activity")
PAUSED = (*BOARD, "pauses", "agents")
TASK = ("tasks", "task-{task}", "boards", "agents", "activity")
APPROVAL = (
    "approvals",
    "approval-{approval}",
    "tasks",
    "task-{task}",
    "boards",
    "rail",
    "activity",
)
STATE = ("agents", "agent-{agent}")
AGENT = (*STATE, "boards", "rail", "activity")
PEOPLE = ("members", "activity")
TAGS = ("tags", "tasks", "activity")
FIELDS = ("custom-fields", "tasks", "activity")
GROUP = ("board-groups", "boards", "rail", "activity")
GROUP_MEMORY = ("group-memory", "activity")
MEMORY = ("memory", "activity")
ONBOARDING = ("onboarding", "board", "boards", "rail", "activity")
GATEWAY = ("gateways", "agents", "boards", "rail", "activity")
MESSAGE = ("messages", "agent-{agent}")
REQUEST = ("gateway-requests", "agent-{agent}", "rail", "activity")
RUN = ("runs-{agent}", "runs-{task}")
TOLD = ("activity",)

STALE_PARTS: dict[EventType, tuple[str, ...]] = {
    EventType.ORGANIZATION_CREATED: ("organization", "activity"),
    EventType.ORGANIZATION_UPDATED: ("organization", "rail", "activity"),
    EventType.MEMBER_JOINED: PEOPLE,
    EventType.MEMBER_UPDATED: PEOPLE,
    EventType.MEMBER_REMOVED: PEOPLE,
    EventType.MEMBER_PASSWORD_LINKED: PEOPLE,
    EventType.MEMBER_PASSWORD_CHANGED: PEOPLE,
    EventType.INVITE_CREATED: PEOPLE,
    EventType.INVITE_REVOKED: PEOPLE,
    EventType.TAG_CREATED: TAGS,
    EventType.TAG_UPDATED: TAGS,
    EventType.TAG_DELETED: TAGS,
    EventType.CUSTOM_FIELD_CREATED: FIELDS,
    EventType.CUSTOM_FIELD_UPDATED: FIELDS,
    EventType.CUSTOM_FIELD_DELETED: FIELDS,
    EventType.BOARD_GROUP_CREATED: GROUP,
    EventType.BOARD_GROUP_UPDATED: GROUP,
    EventType.BOARD_GROUP_DELETED: GROUP,
    EventType.GROUP_MEMORY_CREATED: GROUP_MEMORY,
    EventType.GROUP_MEMORY_UPDATED: GROUP_MEMORY,
    EventType.GROUP_MEMORY_DELETED: GROUP_MEMORY,
    EventType.GATEWAY_CREATED: GATEWAY,
    EventType.GATEWAY_UPDATED: GATEWAY,
    EventType.GATEWAY_DELETED: GATEWAY,
    EventType.BOARD_CREATED: BOARD,
    EventType.BOARD_UPDATED: (*BOARD, "board", "tasks"),
    EventType.BOARD_DELETED: (*BOARD, "board", "approvals", "agents"),
    EventType.BOARD_PAUSED: PAUSED,
    EventType.BOARD_RESUMED: PAUSED,
    EventType.BOARD_MEMORY_CREATED: MEMORY,
    EventType.BOARD_MEMORY_UPDATED: MEMORY,
    EventType.BOARD_MEMORY_DELETED: MEMORY,
    EventType.BOARD_LEAD_NOTIFIED: TOLD,
    EventType.BOARD_LEAD_NOTIFY_FAILED: TOLD,
    EventType.GROUP_JOIN_NOTIFIED: TOLD,
    EventType.GROUP_JOIN_NOTIFY_FAILED: TOLD,
    EventType.GROUP_LEAVE_NOTIFIED: TOLD,
    EventType.GROUP_LEAVE_NOTIFY_FAILED: TOLD,
    EventType.ONBOARDING_STARTED: ONBOARDING,
    EventType.ONBOARDING_UPDATED: ONBOARDING,
    EventType.ONBOARDING_CONFIRMED: ONBOARDING,
    EventType.TASK_CREATED: TASK,
    EventType.TASK_UPDATED: TASK,
    EventType.TASK_STATUS_CHANGED: TASK,
    EventType.TASK_COMMENT: ("comments-{task}", "tasks", "news", "activity"),
    EventType.TASK_DELETED: (*TASK, "approvals"),
    EventType.TASK_RESTORED: (*TASK, "approvals"),
    EventType.TASK_LEAD_NOTIFIED: TOLD,
    EventType.TASK_LEAD_NOTIFY_FAILED: TOLD,
    EventType.TASK_LEAD_UNASSIGNED_NOTIFIED: TOLD,
    EventType.TASK_LEAD_UNASSIGNED_NOTIFY_FAILED: TOLD,
    EventType.TASK_ASSIGNEE_NOTIFIED: TOLD,
    EventType.TASK_ASSIGNEE_NOTIFY_FAILED: TOLD,
    EventType.TASK_REWORK_NOTIFIED: TOLD,
    EventType.TASK_REWORK_NOTIFY_FAILED: TOLD,
    EventType.APPROVAL_REQUESTED: APPROVAL,
    EventType.APPROVAL_DECIDED: APPROVAL,
    EventType.APPROVAL_UNDONE: APPROVAL,
    EventType.APPROVAL_APPROVED: APPROVAL,
    EventType.APPROVAL_REJECTED: APPROVAL,
    EventType.APPROVAL_REOPENED: APPROVAL,
    EventType.APPROVAL_ASKED_BACK: APPROVAL,
    EventType.APPROVAL_LEAD_NOTIFIED: TOLD,
    EventType.APPROVAL_LEAD_NOTIFY_FAILED: TOLD,
    EventType.AGENT_CREATED: AGENT,
    EventType.AGENT_UPDATED: AGENT,
    EventType.AGENT_DELETED: (*AGENT, "tasks"),
    EventType.AGENT_STATUS_CHANGED: (*STATE, "rail"),
    EventType.AGENT_TOKEN_ISSUED: ("agent-{agent}", "activity"),
    EventType.AGENT_SOUL_UPDATED: ("agent-{agent}", "activity"),
    EventType.AGENT_PROVISIONED: AGENT,
    EventType.AGENT_PROVISION_FAILED: AGENT,
    EventType.AGENT_BROUGHT_UP_TO_DATE: STATE,
    EventType.AGENT_UPDATE_FAILED: AGENT,
    EventType.AGENT_WOKEN: ("agent-{agent}", "activity"),
    EventType.AGENT_LOST: AGENT,
    EventType.AGENT_DELETE_FAILED: AGENT,
    EventType.NUDGE_SENT: TOLD,
    EventType.NUDGE_FAILED: TOLD,
    EventType.ASK_USER_SENT: TOLD,
    EventType.ASK_USER_FAILED: TOLD,
    EventType.LEAD_MESSAGE_SENT: TOLD,
    EventType.LEAD_MESSAGE_FAILED: TOLD,
    EventType.LEAD_BROADCAST_SENT: TOLD,
    EventType.MESSAGE_QUEUED: MESSAGE,
    EventType.MESSAGE_SENT: MESSAGE,
    EventType.MESSAGE_ACKNOWLEDGED: MESSAGE,
    EventType.MESSAGE_FAILED: MESSAGE,
    EventType.GATEWAY_REQUEST_ASKED: REQUEST,
    EventType.GATEWAY_REQUEST_ANSWERED: REQUEST,
    EventType.GATEWAY_REQUEST_DELIVERED: ("gateway-requests",),
    EventType.GATEWAY_REQUEST_LOST: REQUEST,
    EventType.GATEWAY_REQUEST_EXPIRED: REQUEST,
    EventType.GATEWAY_REQUEST_CANCELLED: REQUEST,
    EventType.RUN_STARTED: (*RUN, *STATE),
    EventType.RUN_CHANGED: RUN,
    EventType.RUN_ENDED: (*RUN, *STATE),
}
"""Which parts of pages an event puts out of date. Parts listen for these names."""


OF_ONE_BOARD = {"board", "memory", "pauses", "tasks", "onboarding"}
"""The parts that show one board: a page of another board has no use for their names."""


@dataclass(frozen=True)
class _Listener:
    """A page that listens: whose it is, and which board it shows, if it shows one."""

    viewer: Viewer
    organization_id: UUID
    board_id: UUID | None

    def names(self, batch: Iterable[Event], read: Collection[UUID]) -> list[str]:
        """Return the parts of the page that a batch of events puts out of date."""
        heard = [event for event in batch if event.board_id is None or event.board_id in read]
        return sorted(
            {name for event in heard for name in stale(event) if self._shows(name, event)}
        )

    def _shows(self, name: str, event: Event) -> bool:
        if event.board_id is None or self.board_id is None:
            return True
        return name not in OF_ONE_BOARD or self.board_id == event.board_id


async def stream(request: Request) -> Response:
    """Stream the names of parts as they go out of date, from the last event the page has seen."""
    seen = last_event_id(request)
    organization_id = member_of(request).organization_id
    async with transaction(request) as session:
        latest = await events.latest(session, organization_id)
    seen = latest if seen == UNKNOWN_EVENT else min(seen, latest)  # a backup may be restored
    shown = forms.id_in(request.query_params.get("board"))
    listener = _Listener(request.auth, organization_id, shown)
    return event_stream(_messages(request, listener, seen))


async def _messages(
    request: Request, listener: _Listener, seen: int
) -> AsyncGenerator[ServerSentEvent, None]:
    read: Collection[UUID] | None = None
    looked = 0.0
    visit = Visit(listener.viewer.user, listener.board_id)
    yield ServerSentEvent(event="hello", data=str(seen), id=str(seen))
    followed = request.state.feed.follow(listener.organization_id, seen, every=LOOK_AGAIN)
    async with aclosing(followed) as batches:
        async for batch in batches:
            if time.monotonic() - looked >= LOOK_AGAIN or _may_change_rights(batch):
                async with transaction(request) as session:
                    read = await _boards_read(session, listener)
                    has_changed = read is not None and await visit.go_on(session, read)
                looked = time.monotonic()
                if has_changed:
                    yield ServerSentEvent(event="presence", data="")
            if read is None:
                return
            for message in _told(listener.names(batch, read), batch):
                yield message


def _told(names: Sequence[str], batch: Sequence[Event]) -> Iterator[ServerSentEvent]:
    """Tell the names. Only the last has the number: who loses the others asks for them again."""
    for name in names[:-1]:
        yield ServerSentEvent(event=name, data="")
    for name in names[-1:]:
        yield ServerSentEvent(event=name, data="", id=str(batch[-1].seq))


def stale(event: Event) -> Iterable[str]:
    """Return the names of the parts that an event puts out of date."""
    ids = {"task": event.task_id, "approval": event.approval_id, "agent": event.agent_id}
    return [name.format(**ids) for name in STALE_PARTS[event.type]]


def _may_change_rights(batch: Iterable[Event]) -> bool:
    return any(event.type in (EventType.BOARD_CREATED, EventType.BOARD_DELETED) for event in batch)


async def _boards_read(session: Session, listener: _Listener) -> Collection[UUID] | None:
    """Return the boards that the page may hear of, or None if it may not listen any more."""
    viewer, organization_id = listener.viewer, listener.organization_id
    if not await identity.still_signed_in(session, viewer.sign_in.id):
        return None
    member = await organizations.membership(session, viewer.user, organization_id)
    if member is None:
        return None
    return set(await boards.readable_ids(session, viewer.user, organization_id))
