"""Event stream of a page: it names the parts of the page that are out of date."""

import time
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from sse_starlette import ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from core.http.request import (
    UNKNOWN_EVENT,
    Session,
    choose_retry_delay,
    count_open_stream,
    create_event_stream,
    get_last_event_id,
    open_transaction,
)
from models import Event, EventType, User
from services import boards, events, identity, organizations, presence
from web.auth.viewer import Viewer, current_member
from web.stream_rights import RECHECK_INTERVAL, ReadableBoards, StreamRights
from web.ui import forms

BOARD = ("boards", "rail", "activity")
PAUSED = (*BOARD, "pauses", "agents")
STOPPED = ("organization", "rail", "agents")
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
HELD = (*AGENT, "pauses")
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
ACTIVITY_ONLY = ("activity",)

STALE_PARTS_BY_EVENT: dict[EventType, tuple[str, ...]] = {
    EventType.ORGANIZATION_CREATED: ("organization", "activity"),
    EventType.ORGANIZATION_UPDATED: ("organization", "rail", "activity"),
    EventType.ORGANIZATION_STOPPED: STOPPED,
    EventType.ORGANIZATION_RESUMED: STOPPED,
    EventType.MEMBER_JOINED: PEOPLE,
    EventType.MEMBER_UPDATED: PEOPLE,
    EventType.MEMBER_REMOVED: PEOPLE,
    EventType.MEMBER_PASSWORD_LINKED: PEOPLE,
    EventType.MEMBER_PASSWORD_CHANGED: PEOPLE,
    EventType.INVITE_CREATED: PEOPLE,
    EventType.INVITE_REVOKED: PEOPLE,
    EventType.APPROVAL_POLICY_UPDATED: ("board", "activity"),
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
    EventType.BOARD_LEAD_NOTIFIED: ACTIVITY_ONLY,
    EventType.BOARD_LEAD_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.GROUP_JOIN_NOTIFIED: ACTIVITY_ONLY,
    EventType.GROUP_JOIN_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.GROUP_LEAVE_NOTIFIED: ACTIVITY_ONLY,
    EventType.GROUP_LEAVE_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.ONBOARDING_STARTED: ONBOARDING,
    EventType.ONBOARDING_UPDATED: ONBOARDING,
    EventType.ONBOARDING_CONFIRMED: ONBOARDING,
    EventType.TASK_CREATED: TASK,
    EventType.TASK_UPDATED: TASK,
    EventType.TASK_STATUS_CHANGED: TASK,
    EventType.TASK_COMMENT: ("comments-{task}", "tasks", "news", "activity"),
    EventType.TASK_DELETED: (*TASK, "approvals"),
    EventType.TASK_RESTORED: (*TASK, "approvals"),
    EventType.TASK_LEAD_NOTIFIED: ACTIVITY_ONLY,
    EventType.TASK_LEAD_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.TASK_LEAD_UNASSIGNED_NOTIFIED: ACTIVITY_ONLY,
    EventType.TASK_LEAD_UNASSIGNED_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.TASK_ASSIGNEE_NOTIFIED: ACTIVITY_ONLY,
    EventType.TASK_ASSIGNEE_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.TASK_REWORK_NOTIFIED: ACTIVITY_ONLY,
    EventType.TASK_REWORK_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.APPROVAL_REQUESTED: APPROVAL,
    EventType.APPROVAL_REQUESTS_HELD: APPROVAL,
    EventType.APPROVAL_DECIDED: APPROVAL,
    EventType.APPROVAL_FIRST_APPROVED: APPROVAL,
    EventType.APPROVAL_UNDONE: APPROVAL,
    EventType.APPROVAL_APPROVED: APPROVAL,
    EventType.APPROVAL_REJECTED: APPROVAL,
    EventType.APPROVAL_REOPENED: APPROVAL,
    EventType.APPROVAL_CLARIFICATION_REQUESTED: APPROVAL,
    EventType.APPROVAL_LEAD_NOTIFIED: ACTIVITY_ONLY,
    EventType.APPROVAL_LEAD_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.AGENT_CREATED: AGENT,
    EventType.AGENT_UPDATED: AGENT,
    EventType.AGENT_DELETED: (*AGENT, "tasks"),
    EventType.AGENT_STATUS_CHANGED: (*STATE, "rail"),
    EventType.AGENT_HELD: HELD,
    EventType.AGENT_RELEASED: HELD,
    EventType.AGENT_TOKEN_ISSUED: ("agent-{agent}", "activity"),
    EventType.AGENT_SOUL_UPDATED: ("agent-{agent}", "activity"),
    EventType.AGENT_PROVISIONED: AGENT,
    EventType.AGENT_PROVISION_FAILED: AGENT,
    EventType.AGENT_SYNCED: STATE,
    EventType.AGENT_UPDATE_FAILED: AGENT,
    EventType.AGENT_WOKEN: ("agent-{agent}", "activity"),
    EventType.AGENT_LOST: AGENT,
    EventType.AGENT_DELETE_FAILED: AGENT,
    EventType.NUDGE_SENT: ACTIVITY_ONLY,
    EventType.NUDGE_FAILED: ACTIVITY_ONLY,
    EventType.ASK_USER_SENT: ACTIVITY_ONLY,
    EventType.ASK_USER_FAILED: ACTIVITY_ONLY,
    EventType.LEAD_MESSAGE_SENT: ACTIVITY_ONLY,
    EventType.LEAD_MESSAGE_FAILED: ACTIVITY_ONLY,
    EventType.LEAD_BROADCAST_SENT: ACTIVITY_ONLY,
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
"""The parts of pages that an event makes out of date. Parts reload on these names."""


SINGLE_BOARD_PARTS = {"board", "memory", "pauses", "tasks", "onboarding"}
"""Parts that show one board. They are not sent to pages of another board."""


@dataclass(frozen=True)
class _PageSubscription:
    """An open page: its viewer, and the board that it shows, if any."""

    viewer: Viewer
    organization_id: UUID
    board_id: UUID | None

    def stale_parts(self, batch: Iterable[Event], readable: Collection[UUID]) -> list[str]:
        """Return the parts of the page that a batch of events makes out of date."""
        visible = [event for event in batch if event.board_id is None or event.board_id in readable]
        return sorted(
            {
                name
                for event in visible
                for name in list_stale_parts(event)
                if self._shows_part(name, event)
            }
        )

    def _shows_part(self, name: str, event: Event) -> bool:
        if event.board_id is None or self.board_id is None:
            return True
        return name not in SINGLE_BOARD_PARTS or self.board_id == event.board_id


async def stream_events(request: Request) -> Response:
    """Stream the names of stale parts, starting after the last event that the page has seen."""
    last_seen = get_last_event_id(request)
    organization_id = current_member(request).organization_id
    async with request.state.stream_rights.openings, open_transaction(request) as session:
        latest = await events.get_last_seq(session, organization_id)
    # After a backup was restored, the page may have seen newer events than there are.
    last_seen = latest if last_seen == UNKNOWN_EVENT else min(last_seen, latest)
    board_id = forms.parse_id(request.query_params.get("board"))
    subscription = _PageSubscription(request.auth, organization_id, board_id)
    release = count_open_stream(request, f"session {request.auth.sign_in.id}")
    return create_event_stream(_generate_messages(request, subscription, last_seen), release)


async def _generate_messages(
    request: Request, subscription: _PageSubscription, last_seen: int
) -> AsyncGenerator[ServerSentEvent, None]:
    readable: ReadableBoards = None
    checked_at = 0.0
    visit = BoardVisit(subscription.viewer.user, subscription.board_id)
    yield ServerSentEvent(
        event="hello", data=str(last_seen), id=str(last_seen), retry=choose_retry_delay()
    )
    feed = request.state.event_feed.subscribe(
        subscription.organization_id, last_seen, every=RECHECK_INTERVAL
    )
    async with aclosing(feed) as batches:
        async for batch in batches:
            if time.monotonic() - checked_at >= RECHECK_INTERVAL or _may_change_rights(batch):
                readable = await _load_readable_boards(request, subscription, batch)
                checked_at = time.monotonic()
                if readable and await _update_visit(request, visit, readable):
                    yield ServerSentEvent(event="presence", data="")
            if readable is None:
                return
            for message in _build_messages(subscription.stale_parts(batch, readable), batch):
                yield message


def _build_messages(names: Sequence[str], batch: Sequence[Event]) -> Iterator[ServerSentEvent]:
    """Build the messages of a batch.

    Only the last message has the event number, so that a page that loses some receives all again.
    """
    for name in names[:-1]:
        yield ServerSentEvent(event=name, data="")
    for name in names[-1:]:
        yield ServerSentEvent(event=name, data="", id=str(batch[-1].seq))


def list_stale_parts(event: Event) -> Iterable[str]:
    """Return the names of the parts that an event makes out of date."""
    ids = {"task": event.task_id, "approval": event.approval_id, "agent": event.agent_id}
    return [name.format(**ids) for name in STALE_PARTS_BY_EVENT[event.type]]


def _may_change_rights(batch: Iterable[Event]) -> bool:
    return any(event.type in (EventType.BOARD_CREATED, EventType.BOARD_DELETED) for event in batch)


async def _load_readable_boards(
    request: Request, subscription: _PageSubscription, batch: Sequence[Event]
) -> ReadableBoards:
    """Return the boards that the viewer can read; all pages of a session share the queries."""

    async def load() -> ReadableBoards:
        async with open_transaction(request) as session:
            return await _list_readable_boards(session, subscription)

    rights: StreamRights = request.state.stream_rights
    key = (subscription.viewer.sign_in.id, subscription.organization_id)
    changed_by = batch[-1].seq if _may_change_rights(batch) else 0
    return await rights.load(key, load, changed_by=changed_by)


async def _update_visit(request: Request, visit: "BoardVisit", readable: Collection[UUID]) -> bool:
    """Record the presence on the board of the page, and return whether other viewers changed."""
    if visit.board_id is None or visit.board_id not in readable:
        return False
    rights: StreamRights = request.state.stream_rights
    async with rights.slots, open_transaction(request) as session:
        return await visit.update(session, visit.board_id)


async def _list_readable_boards(
    session: Session, subscription: _PageSubscription
) -> ReadableBoards:
    """Return the boards that the viewer can read, or None if the stream has to end."""
    viewer, organization_id = subscription.viewer, subscription.organization_id
    if not await identity.is_session_active(session, viewer.sign_in.id):
        return None
    member = await organizations.find_membership(session, viewer.user, organization_id)
    if member is None:
        return None
    return set(await boards.list_readable_board_ids(session, viewer.user, organization_id))


class BoardVisit:
    """The presence of a viewer on a board while the page is open."""

    def __init__(self, user: User, board_id: UUID | None) -> None:
        self._user = user
        self.board_id = board_id
        self._recorded_at = -presence.RECORD_INTERVAL
        self._others: Collection[UUID] | None = None  # None before the first message

    async def update(self, session: Session, board_id: UUID) -> bool:
        """Record the presence periodically, and return whether other viewers came or left."""
        if time.monotonic() - self._recorded_at >= presence.RECORD_INTERVAL:
            await presence.record_viewer(session, self._user, board_id)
            self._recorded_at = time.monotonic()
        previous, current = self._others, await presence.list_viewer_ids(session, board_id)
        self._others = current - {self._user.id}
        return self._others != previous
