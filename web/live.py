"""Keeping an open page true: it is told which of its parts are out of date, and asks for them."""

import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from uuid import UUID

from sse_starlette import ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from kit.http import UNKNOWN_EVENT, event_stream, last_event_id, transaction
from models import Event, EventType
from services import boards, events, identity, organizations
from web.auth import Viewer, member_of

LOOK_AGAIN = 3.0  # seconds between two looks whether this person still may listen

BOARD = ("boards", "rail", "activity")
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
AGENT = ("agents", "agent-{agent}", "boards", "rail", "activity")

STALE_PARTS: dict[EventType, tuple[str, ...]] = {
    EventType.ORGANIZATION_CREATED: ("organization", "activity"),
    EventType.ORGANIZATION_UPDATED: ("organization", "rail", "activity"),
    EventType.BOARD_CREATED: BOARD,
    EventType.BOARD_UPDATED: (*BOARD, "board", "tasks"),
    EventType.BOARD_DELETED: (*BOARD, "board", "approvals", "agents"),
    EventType.TASK_CREATED: TASK,
    EventType.TASK_UPDATED: TASK,
    EventType.TASK_STATUS_CHANGED: TASK,
    EventType.TASK_COMMENT: ("comments-{task}", "tasks", "activity"),
    EventType.TASK_DELETED: (*TASK, "approvals"),
    EventType.TASK_RESTORED: (*TASK, "approvals"),
    EventType.APPROVAL_REQUESTED: APPROVAL,
    EventType.APPROVAL_DECIDED: APPROVAL,
    EventType.APPROVAL_UNDONE: APPROVAL,
    EventType.APPROVAL_APPROVED: APPROVAL,
    EventType.APPROVAL_REJECTED: APPROVAL,
    EventType.APPROVAL_REOPENED: APPROVAL,
    EventType.APPROVAL_ASKED_BACK: APPROVAL,
    EventType.AGENT_CREATED: AGENT,
    EventType.AGENT_UPDATED: AGENT,
    EventType.AGENT_DELETED: (*AGENT, "tasks"),
    EventType.AGENT_STATUS_CHANGED: ("agents", "agent-{agent}", "rail"),
    EventType.AGENT_TOKEN_ISSUED: ("agent-{agent}", "activity"),
}
"""Which parts of pages an event puts out of date. Parts listen for these names."""


@dataclass(frozen=True)
class _Rights:
    """What a listener may hear of: the boards that they read."""

    boards: frozenset[UUID]

    def hears(self, event: Event) -> bool:
        return event.board_id is None or event.board_id in self.boards


async def stream(request: Request) -> Response:
    """Stream the names of parts as they go out of date, from the last event the page has seen."""
    seen = last_event_id(request)
    organization_id = member_of(request).organization_id
    if seen == UNKNOWN_EVENT:
        async with transaction(request) as session:
            seen = await events.latest(session, organization_id)
    return event_stream(_names(request, request.auth, organization_id, seen))


async def _names(
    request: Request, viewer: Viewer, organization_id: UUID, seen: int
) -> AsyncIterator[ServerSentEvent]:
    rights: _Rights | None = None
    looked = 0.0
    yield ServerSentEvent(event="hello", data=str(seen), id=str(seen))
    async for batch in request.state.feed.follow(organization_id, seen, every=LOOK_AGAIN):
        if time.monotonic() - looked >= LOOK_AGAIN or _may_change_rights(batch):
            rights = await _look(request, viewer, organization_id)
            looked = time.monotonic()
        if rights is None:
            return
        names = {name for event in batch if rights.hears(event) for name in stale(event)}
        for name in sorted(names):
            yield ServerSentEvent(event=name, data=str(batch[-1].seq), id=str(batch[-1].seq))


def stale(event: Event) -> Iterable[str]:
    """Return the names of the parts that an event puts out of date."""
    ids = {"task": event.task_id, "approval": event.approval_id, "agent": event.agent_id}
    return [name.format(**ids) for name in STALE_PARTS[event.type]]


def _may_change_rights(batch: Iterable[Event]) -> bool:
    return any(event.type in (EventType.BOARD_CREATED, EventType.BOARD_DELETED) for event in batch)


async def _look(request: Request, viewer: Viewer, organization_id: UUID) -> _Rights | None:
    async with transaction(request) as session:
        if not await identity.still_signed_in(session, viewer.sign_in.id):
            return None
        member = await organizations.membership(session, viewer.user, organization_id)
        if member is None:
            return None
        read = await boards.readable_ids(session, viewer.user, organization_id)
        return _Rights(frozenset(read))
