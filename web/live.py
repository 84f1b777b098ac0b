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
from web.stale_parts import SINGLE_BOARD_PARTS, combine_cards, list_stale_parts
from web.stream_rights import RECHECK_INTERVAL, ReadableBoards, StreamRights
from web.ui import forms


@dataclass(frozen=True)
class _PageSubscription:
    """An open page: its viewer, and the board that it shows, if any."""

    viewer: Viewer
    organization_id: UUID
    board_id: UUID | None

    def stale_parts(self, batch: Iterable[Event], readable: Collection[UUID]) -> list[str]:
        """Return the parts of the page that a batch of events makes out of date."""
        visible = [event for event in batch if event.board_id is None or event.board_id in readable]
        names = {
            name
            for event in visible
            for name in list_stale_parts(event)
            if self._shows_part(name, event)
        }
        return sorted(combine_cards(names))

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
    checked_at, changed_by = 0.0, last_seen
    visit = BoardVisit(subscription.viewer.user, subscription.board_id)
    yield ServerSentEvent(
        event="hello", data=str(last_seen), id=str(last_seen), retry=choose_retry_delay()
    )
    feed = request.state.event_feed.subscribe(
        subscription.organization_id, last_seen, every=RECHECK_INTERVAL
    )
    async with aclosing(feed) as batches:
        async for batch in batches:
            change = _find_change(subscription, batch)
            if change or time.monotonic() - checked_at >= RECHECK_INTERVAL:
                changed_by = change or changed_by
                readable = await _load_readable_boards(request, subscription, changed_by)
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


def _find_change(subscription: _PageSubscription, batch: Iterable[Event]) -> int:
    """Return the number of the last event that may have changed the viewer's rights, or 0."""
    user = subscription.viewer.user
    return max(
        (
            event.seq
            for event in batch
            if event.type in (EventType.BOARD_CREATED, EventType.BOARD_DELETED)
            or boards.may_change_access(event, user)
        ),
        default=0,
    )


async def _load_readable_boards(
    request: Request, subscription: _PageSubscription, changed_by: int
) -> ReadableBoards:
    """Return the boards that the viewer can read; all pages of a session share the queries.

    They are read after the event with the number `changed_by`.
    """

    async def load() -> ReadableBoards:
        async with open_transaction(request) as session:
            return await _list_readable_boards(session, subscription)

    rights: StreamRights = request.state.stream_rights
    key = (subscription.viewer.sign_in.id, subscription.organization_id)
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
