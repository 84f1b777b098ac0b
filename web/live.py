"""Event stream of the open pages of a user: it names the parts of pages that are out of date."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sse_starlette import ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from core.errors import Conflict, Unauthorized
from core.http.event_stream import PING, PING_INTERVAL, EventStreamResponse
from core.http.request import (
    UNKNOWN_EVENT,
    choose_retry_delay,
    count_open_stream,
    get_last_event_id,
    get_settings,
    open_transaction,
)
from models import Event, EventType
from services import boards, events, identity, notifications, organizations, presence
from services.events import EventBatch, EventSubscription
from services.identity import Viewer
from services.streams import Readable, SharedRights
from web.auth.viewer import current_member, format_stream_key
from web.stale_parts import is_single_board, limit_single_cards, list_stale_parts
from web.ui import forms
from web.ui.translation import N_

RIGHTS = "rights"  # the rights of the user have changed, also where no part reloads
RESET = "reset"  # the page has missed events, and reloads all its parts
BOARD_EVENTS = (EventType.BOARD_CREATED, EventType.BOARD_DELETED)
RIGHTS_EVENTS = (*BOARD_EVENTS, *boards.MEMBER_EVENTS)


@dataclass(frozen=True)
class _PageSubscription:
    """The open pages of a viewer: the boards that they show, and None for pages of no board."""

    viewer: Viewer
    organization_id: UUID
    board_ids: frozenset[UUID | None]

    def format_stale_parts(self, batch: EventBatch, readable: Readable) -> bytes:
        """Return the messages about a batch, which are formatted once for all such pages.

        Only the last message has the event number, so that a page that loses some receives all
        again.
        """
        if not (batch.events or batch.has_gap):
            return b""
        key = (self.board_ids, readable)
        if key not in batch.derived:
            parts = {RESET: ""} if batch.has_gap else self._list_parts(batch.events, readable or ())
            seqs = [None] * (len(parts) - 1) + [batch.last_seq]
            messages = [
                _format_message(name, parts[name], seq)
                for name, seq in zip(parts, seqs, strict=False)
            ]
            batch.derived[key] = b"".join(messages)
        return batch.derived[key]

    def _list_parts(
        self, batch: Iterable[Event], readable: Collection[UUID | None]
    ) -> Mapping[str, str]:
        """Return the parts of pages that are out of date, with the boards whose pages show them."""
        found: defaultdict[str, set[UUID | None]] = defaultdict(set)
        for event in batch:
            if event.board_id is None or event.board_id in readable:
                shows_all = event.board_id is None or not self.board_ids.isdisjoint(
                    {None, event.board_id}
                )
                for name in list_stale_parts(event):
                    if shows_all or not is_single_board(name):
                        found[name].add(event.board_id if is_single_board(name) else None)
        limited = limit_single_cards(found)
        return {
            # no boards: a part that is shown by the pages of all boards
            name: "" if None in limited[name] else " ".join(sorted(map(str, limited[name])))
            for name in sorted(limited)
        }


async def stream_events(request: Request) -> Response:
    """Stream the names of stale parts, starting after the last event that the pages have seen.

    Raises Unauthorized or Conflict if the pages belong to another user or organization.
    """
    last_seen = get_last_event_id(request)
    _check_stream_key(request)
    organization_id = current_member(request).organization_id
    async with request.state.stream_rights.openings, open_transaction(request) as session:
        stored = await events.get_stored_events(session, organization_id)
    # After a backup was restored, the page may have seen newer events than there are. And what it
    # has missed may have been deleted because of its age.
    is_continued = stored.has_all_after(last_seen)
    must_reset = last_seen != UNKNOWN_EVENT and not is_continued
    last_seen = last_seen if is_continued else stored.last_seq
    board_ids = frozenset(map(forms.parse_id, request.query_params.getlist("board") or [""]))
    subscription = _PageSubscription(request.auth, organization_id, board_ids)
    has_missed = must_reset or last_seen < stored.last_seq
    release = await count_open_stream(request, f"session {request.auth.sign_in.id}")
    return EventStreamResponse(
        _PageStream(request, subscription).generate(last_seen, has_missed, must_reset), release
    )


def _check_stream_key(request: Request) -> None:
    """Check that the pages were shown to the user, in the organization that is open now."""
    expected = format_stream_key(current_member(request))
    given = request.query_params.get("for", expected)
    if given.partition(".")[0] != expected.partition(".")[0]:
        raise Unauthorized(N_("Another user has signed in in this browser."), "other_user")
    if given != expected:
        raise Conflict("other_organization", N_("Another organization was opened in this browser."))


class _PageStream:
    """The stream of the open pages of a viewer in one browser."""

    def __init__(self, request: Request, subscription: _PageSubscription) -> None:
        self._request = request
        self._subscription = subscription
        self._user = subscription.viewer.user
        self.actor_id = self._user.id
        self._visits: dict[UUID, presence.OpenVisit] = {}  # by board
        self._changes: notifications.NotificationChanges | None = None
        self._changed_by = 0  # the last event that may have changed the viewer's rights

    async def generate(
        self, last_seen: int, has_missed: bool, must_reset: bool
    ) -> AsyncGenerator[bytes, None]:
        """Yield messages until the viewer loses access; the pages may have missed some before.

        With `must_reset` they reload all their parts.
        """
        state, organization_id = self._request.state, self._subscription.organization_id
        sign_in = self._subscription.viewer.sign_in
        self._changed_by = last_seen
        yield _format_message("hello", str(last_seen), last_seen, retry=choose_retry_delay())
        if must_reset:
            yield _format_message(RESET, "")
        feed = state.event_feed.subscribe(organization_id, last_seen, may_skip=True)
        rights = state.stream_rights.join(
            (sign_in.id, organization_id), self, expires_at=sign_in.expires_at, wake=feed.wake
        )
        streams = state.notification_streams
        self._changes = changes = streams.join(self.actor_id, feed.wake, may_have_missed=has_missed)
        try:
            message = await self._build_message(events.NOTHING, feed, rights)
            while message is not None:
                if message:
                    yield message
                batch = await feed.next(PING_INTERVAL)
                message = await self._build_message(batch, feed, rights)
        finally:
            self._update_visits(frozenset(), feed)
            streams.leave(self.actor_id, changes)
            rights.leave(feed.wake)
            feed.close()

    async def _build_message(
        self, batch: EventBatch, feed: EventSubscription, rights: SharedRights
    ) -> bytes | None:
        """Return what the page has to know after some events, or None if it has no access."""
        if batch.has_gap:
            rights.invalidate()  # the events that were dropped may have changed them
        self._changed_by = max(self._changed_by, self._find_change(batch))
        readable = rights.get_known(self._changed_by) or await rights.get(self._changed_by)
        if readable is None:
            return None
        self._update_visits(readable, feed)
        message = b""
        for board_id, visit in self._visits.items():
            if visit.has_change:
                visit.has_change = False
                message += _format_message("presence", str(board_id))
        if self._changes is not None and self._changes.has_change:
            self._changes.has_change = False  # of notifications of the user
            message += _format_message("notifications", "")
        message += self._subscription.format_stale_parts(batch, readable)
        if any(boards.may_change_access(one, self._user) for one in self._list_changes(batch)):
            message += _format_message(RIGHTS, "")
        return message or (PING if batch is events.TIMED_OUT else b"")

    def _find_change(self, batch: EventBatch) -> int:
        """Return the number of the last event that may have changed the viewer's rights, or 0."""
        return max(
            (
                event.seq
                for event in self._list_changes(batch)
                if event.type in BOARD_EVENTS or boards.may_change_access(event, self._user)
            ),
            default=0,
        )

    def _list_changes(self, batch: EventBatch) -> Sequence[Event]:
        """Return the events that may have changed the rights of users."""
        if "rights" not in batch.derived:
            batch.derived["rights"] = [one for one in batch.events if one.type in RIGHTS_EVENTS]
        return batch.derived["rights"]

    def _update_visits(self, readable: Readable, feed: EventSubscription) -> None:
        """Begin or end the visits of the boards that the pages show."""
        allowed = readable or frozenset()
        shown = {id for id in self._subscription.board_ids if id is not None and id in allowed}
        visits = self._request.state.board_visits
        for board_id in self._visits.keys() - shown:
            visits.end(self._visits.pop(board_id))
        for board_id in shown - self._visits.keys():
            visit = presence.Visit(board_id, self.actor_id)
            self._visits[board_id] = visits.begin(visit, feed.wake)

    async def load_rights(self) -> Readable:
        """Return the boards that the viewer can read, or None if the stream has to end."""
        viewer, organization_id = self._subscription.viewer, self._subscription.organization_id
        idle_days = get_settings(self._request).session_idle_days
        async with open_transaction(self._request) as session:
            if not await identity.is_session_active(
                session, viewer.sign_in.id, idle_days=idle_days
            ):
                return None
            if await organizations.find_membership(session, viewer.user, organization_id) is None:
                return None
            found = await boards.list_readable_board_ids(session, viewer.user, organization_id)
        return frozenset(found)


def _format_message(
    name: str, data: str, seq: int | None = None, *, retry: int | None = None
) -> bytes:
    id = None if seq is None else str(seq)
    return ServerSentEvent(event=name, data=data, id=id, retry=retry).encode()
