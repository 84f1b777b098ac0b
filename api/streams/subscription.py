"""Streams of server-sent events (contract, people-and-boards 1.8).

A stream holds no database connection while it waits. It checks every few seconds whether the
subscriber still has access, and at once after an event that may have changed that; it ends
otherwise. The frame of an event is written once for all
subscribers.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from sse_starlette import ServerSentEvent
from starlette.responses import Response

from api.framework.auth import authenticate
from api.framework.fields import StreamQuery
from api.framework.operation import RequestContext
from api.streams.sse_cache import FrameCache, FrameWriter, get_frame_cache
from core.errors import AppError, NotFound
from core.http.request import (
    UNKNOWN_EVENT,
    Session,
    count_open_stream,
    create_event_stream,
    get_last_event_id,
    open_transaction,
)
from models import Actor, Agent, Event, EventType, Member, User
from services import boards, events, organizations

RIGHTS_CHECK_INTERVAL = 2.0  # seconds; a subscriber without access stays at most twice as long

AllowedIds = frozenset[UUID | None]
"""Boards or groups whose events the subscriber may receive; None: events without one."""

LoadAllowedIds = Callable[[Session], Awaitable[AllowedIds]]
"""Loads the allowed ids; raises an AppError if there is no access at all."""


def get_board_id(event: Event) -> UUID | None:
    """Return the board of an event."""
    return event.board_id


def accept_all(_event: Event) -> bool:
    """Return True for every event."""
    return True


def accept_none(_event: Event) -> bool:
    """Return False for every event."""
    return False


@dataclass(frozen=True)
class StreamDefinition:
    """Which events a stream contains, and how their frames are written."""

    kind: str
    event_types: frozenset[EventType]
    write_frames: FrameWriter
    scope_id: UUID | None = None  # of a stream about one board or group
    agent_id: UUID | None = None  # of a stream about one agent
    get_scope_id: Callable[[Event], UUID | None] = get_board_id  # compared with the allowed ids
    matches_query: Callable[[Event], bool] = accept_all  # the subscriber's filter
    changes_rights: Callable[[Event], bool] = accept_none  # events that may change the rights

    def includes(self, event: Event) -> bool:
        """Return whether an event belongs to this stream."""
        if event.type not in self.event_types or self.agent_id not in (None, event.agent_id):
            return False
        return self.scope_id in (None, self.get_scope_id(event)) and self.matches_query(event)


async def open_stream(
    context: RequestContext,
    definition: StreamDefinition,
    organization_id: UUID,
    query: StreamQuery,
    load_allowed_ids: LoadAllowedIds,
) -> Response:
    """Answer with a stream of an organization's events, limited to the allowed ids."""
    after_seq = await _get_start_seq(context, organization_id, query)
    allowed_ids = await load_allowed_ids(context.session)
    subscriber = _Subscriber(context, definition, load_allowed_ids, allowed_ids)
    release = count_open_stream(context.request, f"actor {context.actor.id}")
    return create_event_stream(subscriber.stream_frames(organization_id, after_seq), release)


async def _get_start_seq(context: RequestContext, organization_id: UUID, query: StreamQuery) -> int:
    """Return the number of the event after which the stream starts.

    That is the last event that the subscriber received, or the last one before `since`, or the
    latest event.
    """
    latest = await events.get_last_seq(context.session, organization_id)
    received = get_last_event_id(context.request)
    if received != UNKNOWN_EVENT:
        return min(received, latest)
    if query.since is not None:
        return await events.get_last_seq_before(context.session, organization_id, query.since)
    return latest


async def get_current_membership(session: Session, user: User, organization_id: UUID) -> Member:
    """Return a user's membership in an organization. Raises NotFound if it has ended."""
    member = await organizations.find_membership(session, user, organization_id)
    if member is None:
        raise NotFound("organization_not_found", "You belong to no such organization.")
    return member


async def list_readable_board_ids(
    session: Session, member: Member, board_id: UUID | None
) -> AllowedIds:
    """Return the boards that a member may read, or only the given one. Raises NotFound."""
    if board_id is not None:
        return frozenset({(await boards.get_board(session, member.user, board_id)).id})
    return frozenset(
        await boards.list_readable_board_ids(session, member.user, member.organization_id)
    )


def _actor_identity(actor: Actor) -> tuple[UUID | None, ...]:
    """Return what identifies the subscriber; an agent that moves must connect again."""
    if isinstance(actor, Agent):
        return (actor.id, actor.board_id, actor.gateway_id)
    return (actor.id,)


class _Subscriber:
    """A subscriber and its access rights."""

    def __init__(
        self,
        context: RequestContext,
        definition: StreamDefinition,
        load_allowed_ids: LoadAllowedIds,
        allowed_ids: AllowedIds,
    ) -> None:
        self._request = context.request
        self._caller = context.allowed_caller
        self._actor = context.actor
        self._identity = _actor_identity(context.actor)
        self._definition = definition
        self._load_allowed_ids = load_allowed_ids
        self._allowed_ids = allowed_ids
        self._denied_ids: set[UUID | None] = set()  # ids without access
        self._checked_at = time.monotonic()
        self._frames: FrameCache = get_frame_cache(context.request)

    async def stream_frames(
        self, organization_id: UUID, after_seq: int
    ) -> AsyncGenerator[ServerSentEvent | bytes, None]:
        """Yield frames until the subscriber loses access."""
        feed = self._request.state.event_feed
        async with aclosing(
            feed.subscribe(organization_id, after_seq, every=RIGHTS_CHECK_INTERVAL)
        ) as batches:
            async for batch in batches:
                events_to_send = [event for event in batch if self._definition.includes(event)]
                if any(self._may_change_rights(event) for event in batch):
                    self._checked_at = -RIGHTS_CHECK_INTERVAL
                if not await self._refresh_rights(
                    {self._definition.get_scope_id(event) for event in events_to_send}
                ):
                    return
                for frame in await self._get_frames(events_to_send):
                    yield frame

    def _may_change_rights(self, event: Event) -> bool:
        return boards.may_change_access(event, self._actor) or self._definition.changes_rights(
            event
        )

    async def _get_frames(self, events_to_send: Sequence[Event]) -> Sequence[bytes]:
        received = [
            event
            for event in events_to_send
            if self._definition.get_scope_id(event) in self._allowed_ids
        ]
        return await self._frames.get_frames(
            self._definition.kind, received, self._definition.write_frames
        )

    async def _refresh_rights(self, places: set[UUID | None]) -> bool:
        """Load the rights again after some seconds, and at once for an unknown id."""
        unknown = places - self._allowed_ids - self._denied_ids
        if not unknown and time.monotonic() - self._checked_at < RIGHTS_CHECK_INTERVAL:
            return True
        try:
            async with open_transaction(self._request) as session:
                caller = await authenticate(session, self._request, self._caller)
                if caller is None or _actor_identity(caller) != self._identity:
                    return False
                self._allowed_ids = await self._load_allowed_ids(session)
        except AppError:
            return False
        self._denied_ids = unknown - self._allowed_ids
        self._checked_at = time.monotonic()
        return True
