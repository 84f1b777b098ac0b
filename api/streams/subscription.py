"""Streams of server-sent events.

A stream holds no database connection and costs no statement while it waits. When the rights of the
subscriber may have changed, they are read again before anything is sent (services/streams.py).
The frame of an event is written once for all subscribers.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID
from weakref import WeakKeyDictionary

from pydantic import BaseModel, Field
from sse_starlette import ServerSentEvent
from starlette.datastructures import State
from starlette.requests import HTTPConnection
from starlette.responses import Response

from api.framework.auth import authenticate
from api.framework.fields import ResponseModel, StreamQuery
from api.framework.request_context import RequestContext
from core.clock import to_utc
from core.errors import AppError, NotFound
from core.http.caller import get_agent_token, get_bearer_token
from core.http.event_stream import PING, PING_INTERVAL, EventStreamResponse
from core.http.request import (
    UNKNOWN_EVENT,
    Session,
    count_open_stream,
    get_last_event_id,
    open_transaction,
)
from models import Actor, Agent, Board, Event, EventType, Member, User
from services import boards, events, organizations
from services.events import EventBatch
from services.streams import Readable, SharedRights

MAX_CACHED_EVENTS = 512  # of each process

FrameWriter = Callable[[Session, Sequence[Event]], Awaitable[Mapping[int, bytes]]]
"""Returns frames by event number. Events without a frame are left out."""

Key = tuple[str, int]


class _FrameJob:
    """Frames that are written once for all subscribers that wait for them.

    An event wakes many waiters in linear time; `asyncio.shield` would take quadratic time.
    """

    def __init__(self, task: asyncio.Task[Mapping[int, bytes]]) -> None:
        self._task = task
        self._is_done = asyncio.Event()
        task.add_done_callback(lambda _: self._is_done.set())

    async def get_frames(self) -> Mapping[int, bytes]:
        """Wait until the frames are written, and return them. Raises the error of the writer."""
        await self._is_done.wait()
        return self._task.result()


class FrameCache:
    """The frames of the latest events, by kind and number. The first request formats them."""

    def __init__(self, request: HTTPConnection) -> None:
        self._begin_transaction = request.state.transaction_factory
        self._jobs: dict[Key, _FrameJob] = {}

    async def get_frames(
        self, kind: str, events: Sequence[Event], write: FrameWriter
    ) -> list[bytes]:
        """Return the frames of these events, in order."""
        missing = [event for event in events if (kind, event.seq) not in self._jobs]
        if missing:
            self._start_writing(kind, missing, write)
        jobs = [(event.seq, self._jobs[kind, event.seq]) for event in events]
        while len(self._jobs) > MAX_CACHED_EVENTS:
            del self._jobs[next(iter(self._jobs))]
        found = [(await job.get_frames()).get(seq) for seq, job in jobs]
        return [frame for frame in found if frame is not None]

    def _start_writing(self, kind: str, missing: Sequence[Event], write: FrameWriter) -> None:
        """Write in a separate task: the first subscriber may disconnect while others wait."""

        async def write_frames() -> Mapping[int, bytes]:
            async with self._begin_transaction() as session:
                return await write(session, missing)

        task = asyncio.create_task(write_frames())
        keys = [(kind, event.seq) for event in missing]
        job = _FrameJob(task)
        self._jobs |= dict.fromkeys(keys, job)

        def remove_failed(done: asyncio.Task[Mapping[int, bytes]]) -> None:
            if done.cancelled() or done.exception():
                for key in keys:
                    if self._jobs.get(key) is job:
                        del self._jobs[key]

        task.add_done_callback(remove_failed)


_caches_by_feed: WeakKeyDictionary[object, FrameCache] = WeakKeyDictionary()
"""The cache that all subscribers of this process share."""


def format_frame(name: str, seq: int | None, payload: BaseModel) -> bytes:
    """Format a stream message; its id lets the subscriber continue later.

    Without an id, the subscriber continues after the last message that had one.
    """
    id = None if seq is None else str(seq)
    event = ServerSentEvent(payload.model_dump_json(), event=name, id=id)
    return event.encode()


AllowedIds = frozenset[UUID | None]
"""Boards or groups whose events the subscriber may receive; None: events without one."""

LoadAllowedIds = Callable[[Session], Awaitable[AllowedIds]]
"""Loads the allowed ids; raises an AppError if there is no access at all."""


def get_board_id(event: Event) -> UUID | None:
    """Return the board of an event."""
    return event.board_id


class PeriodicReport(Protocol):
    """What a stream reports beside events, for one subscriber."""

    async def get_frames(self, allowed_ids: AllowedIds, received: Sequence[Event]) -> bytes:
        """Return the frames that are due.

        It is called with the events that the stream has received, and at least every PING_INTERVAL.
        """


class ResetMessage(ResponseModel):
    """The first message of a stream that cannot continue where the subscriber stopped."""

    reason: Literal["unknown_event", "deleted_events"] = Field(
        default="unknown_event",
        description="unknown_event: Last-Event-ID is newer than all events, as after a backup was"
        " restored. deleted_events: later events were deleted because of their age.",
    )


@dataclass(frozen=True)
class StreamDefinition:
    """Which events a stream contains, and how their frames are written."""

    kind: str
    event_types: Sequence[EventType]
    write_frames: FrameWriter
    scope_id: UUID | None = None  # of a stream about one board or group
    agent_id: UUID | None = None  # of a stream about one agent
    get_scope_id: Callable[[Event], UUID | None] = get_board_id  # compared with the allowed ids
    matches_query: Callable[[Event], bool] = lambda _: True  # the subscriber's filter
    changes_rights: Callable[[Event], bool] = lambda _: False  # events that may change the rights
    start_report: Callable[[], PeriodicReport | None] = lambda: None

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
    """Answer with a stream of an organization's events, limited to the allowed ids.

    It begins with a ResetMessage, and continues with new events, if the subscriber has received
    events that do not exist any more, or would miss events that were deleted.
    """
    stored = await events.get_stored_events(context.session, organization_id)
    received = after_seq = get_last_event_id(context.request)
    reset = None
    if received == UNKNOWN_EVENT:
        after_seq = stored.last_seq
        if query.since is not None:
            after_seq = await events.get_last_seq_before(
                context.session, organization_id, query.since
            )
            if stored.deleted_at is not None and to_utc(query.since) <= stored.deleted_at:
                reset = ResetMessage(reason="deleted_events")
    elif not stored.has_all_after(received):
        is_ahead = received > stored.last_seq
        reset = ResetMessage(reason="unknown_event" if is_ahead else "deleted_events")
    if reset is not None:
        after_seq = stored.last_seq
    first_frame = format_frame("reset", after_seq, reset) if reset else b""
    await load_allowed_ids(context.session)  # raises the errors of a caller without access
    release = await count_open_stream(context.request, f"actor {context.actor.id}")
    source = _StreamSource(context, definition, load_allowed_ids)
    request = context.request
    credential = get_agent_token(request), get_bearer_token(request)
    # what streams have in common that share their rights
    key = (context.allowed_caller, *credential, request.url.path, request.url.query)
    return EventStreamResponse(
        _stream_frames(request.state, key, source, organization_id, after_seq, first_frame), release
    )


async def open_board_stream(
    context: RequestContext, definition: StreamDefinition, board: Board, query: StreamQuery
) -> Response:
    """Answer with a stream about a board, while the caller may read it."""

    async def load_allowed_ids(session: Session) -> AllowedIds:
        return frozenset({(await boards.get_board(session, context.actor, board.id)).id})

    return await open_stream(context, definition, board.organization_id, query, load_allowed_ids)


async def get_current_membership(session: Session, user: User, organization_id: UUID) -> Member:
    """Return a user's membership in an organization. Raises NotFound if it has ended."""
    member = await organizations.find_membership(session, user, organization_id)
    if member is None:
        raise NotFound("organization_not_found", "You do not belong to this organization.")
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


@dataclass(frozen=True, slots=True)
class _StreamPart:
    """What a batch of events means for streams with the same rights."""

    events: Sequence[Event]  # that belong to the stream
    scope_ids: frozenset[UUID | None]  # of these events
    changed_by: int  # the last event that may have changed the rights


NO_PART = _StreamPart((), frozenset(), 0)


class _StreamSource:
    """What all streams with the same credential and address have in common."""

    def __init__(
        self,
        context: RequestContext,
        definition: StreamDefinition,
        load_allowed_ids: LoadAllowedIds,
    ) -> None:
        self.actor_id = context.actor.id
        self._request = context.request
        self._caller = context.allowed_caller
        self._actor = context.actor
        self._definition = definition
        self._load_allowed_ids = load_allowed_ids
        feed = context.request.state.event_feed
        if feed not in _caches_by_feed:
            _caches_by_feed[feed] = FrameCache(context.request)
        self._frames = _caches_by_feed[feed]

    async def load_rights(self) -> Readable:
        """Return the allowed ids, or None if the streams have to end."""
        try:
            async with open_transaction(self._request) as session:
                caller = await authenticate(session, self._request, self._caller)
                if caller is None or _actor_identity(caller) != _actor_identity(self._actor):
                    return None
                return await self._load_allowed_ids(session)
        except AppError:
            return None

    def select_part(self, batch: EventBatch) -> _StreamPart:
        """Return what a batch means for these streams."""
        if not batch.events:
            return NO_PART
        if self not in batch.derived:
            included = [event for event in batch.events if self._definition.includes(event)]
            changes = [
                event.seq
                for event in batch.events
                if boards.may_change_access(event, self._actor)
                or self._definition.changes_rights(event)
            ]
            batch.derived[self] = _StreamPart(
                included,
                frozenset(self._definition.get_scope_id(event) for event in included),
                max(changes, default=0),
            )
        part: _StreamPart = batch.derived[self]
        return part

    def start_report(self) -> PeriodicReport | None:
        """Start what the streams report beside events, for one of them."""
        return self._definition.start_report()

    async def get_frames(self, part: _StreamPart, allowed_ids: AllowedIds) -> bytes:
        """Return the frames of the events with allowed ids."""
        definition, to_send = self._definition, part.events
        if not part.scope_ids <= allowed_ids:
            to_send = [one for one in to_send if definition.get_scope_id(one) in allowed_ids]
        return b"".join(
            await self._frames.get_frames(definition.kind, to_send, definition.write_frames)
        )


class _Subscriber:
    """A subscriber and its access rights."""

    __slots__ = ("_allowed_ids", "_changed_by", "_denied_ids", "_report", "_rights", "_source")

    def __init__(self, rights: SharedRights, source: _StreamSource, after_seq: int) -> None:
        self._rights = rights
        self._source = source
        self._report = source.start_report()
        self._allowed_ids: Readable = None
        self._denied_ids: AllowedIds = frozenset()  # ids without access
        self._changed_by = after_seq  # the last event that may have changed the rights

    async def get_frames(self, batch: EventBatch) -> bytes | None:
        """Return the frames of a batch, or None if the subscriber has no access any more."""
        part = self._source.select_part(batch)
        self._changed_by = max(self._changed_by, part.changed_by)
        allowed_ids = self._rights.get_known(self._changed_by)
        if allowed_ids is None or not part.scope_ids <= allowed_ids:
            allowed_ids = await self._refresh_rights(part.scope_ids, batch)
        if allowed_ids is None:
            return None
        frames = await self._source.get_frames(part, allowed_ids) if part.events else b""
        if self._report is not None:
            frames += await self._report.get_frames(allowed_ids, batch.events)
        return PING if batch is events.TIMED_OUT and not frames else frames

    async def _refresh_rights(self, scope_ids: AllowedIds, batch: EventBatch) -> Readable:
        """Return the rights, read again for an unknown id such as that of a new board."""
        allowed_ids = await self._rights.get(self._changed_by)
        if allowed_ids is not self._allowed_ids:
            self._denied_ids = frozenset()
        if allowed_ids is not None and scope_ids - self._denied_ids - allowed_ids:
            self._changed_by = batch.last_seq
            allowed_ids = await self._rights.get(self._changed_by)
            self._denied_ids |= scope_ids - (allowed_ids or frozenset())
        self._allowed_ids = allowed_ids
        return allowed_ids


async def _stream_frames(
    state: State,
    key: Hashable,
    source: _StreamSource,
    organization_id: UUID,
    after_seq: int,
    first_frame: bytes,
) -> AsyncGenerator[bytes, None]:
    """Yield frames until the subscriber loses access."""
    subscription = state.event_feed.subscribe(organization_id, after_seq)
    expires_at = getattr(state, "credential_expires_at", None)
    rights = state.stream_rights.join(key, source, expires_at=expires_at, wake=subscription.wake)
    source = rights.source  # of the first of these streams, so that the others take no memory
    try:
        subscriber = _Subscriber(rights, source, after_seq)
        frames = await subscriber.get_frames(events.NOTHING)
        if frames is not None and first_frame:
            yield first_frame
        while frames is not None:
            if frames:
                yield frames
            frames = await subscriber.get_frames(await subscription.next(PING_INTERVAL))
    finally:
        rights.leave(subscription.wake)
        subscription.close()
