"""Streams: what happens, told as it happens (contract, people-and-boards 1.8).

A stream holds no connection while it waits. It looks every few seconds whether its listener still
may listen, and ends when not. What is told of an event is written once for all who follow.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from sse_starlette import ServerSentEvent
from starlette.responses import Response

from api.auth import whoever_calls
from api.fields import Following
from api.frames import Frames, Writer, frames_of
from api.operations import Call
from kit.errors import NotFound, Refusal
from kit.http import UNKNOWN_EVENT, Session, event_stream, last_event_id, transaction
from models import Actor, Agent, Event, EventType, Member, User
from services import boards, events, organizations

LOOK_AGAIN = 2.0  # seconds; twice that is the longest that a listener without rights stays

Rights = frozenset[UUID | None]  # the boards, or groups, of which somebody may hear; None: neither
Look = Callable[[Session], Awaitable[Rights]]  # raises a Refusal where there is nothing left


def board_of(event: Event) -> UUID | None:
    """Return the board on which something happened."""
    return event.board_id


def always(_event: Event) -> bool:
    """Say yes."""
    return True


def never(_event: Event) -> bool:
    """Say no."""
    return False


@dataclass(frozen=True)
class Channel:
    """What a stream tells of, and how that is written."""

    kind: str
    types: frozenset[EventType]
    write: Writer
    only: UUID | None = None  # the one board, or group, that it is about, if it is about one
    agent_id: UUID | None = None  # the one agent
    place: Callable[[Event], UUID | None] = board_of  # of what one has to have the right to hear
    fits: Callable[[Event], bool] = always  # what of it the listener has asked for
    turns: Callable[[Event], bool] = never  # after what the rights may be others than before

    def tells_of(self, event: Event) -> bool:
        """Say whether an event is one for this channel."""
        if event.type not in self.types or self.agent_id not in (None, event.agent_id):
            return False
        return self.only in (None, self.place(event)) and self.fits(event)


async def follow(
    call: Call, channel: Channel, organization_id: UUID, query: Following, look: Look
) -> Response:
    """Answer with a stream of what happens in an organization, as far as `look` allows."""
    seq = await _start(call, organization_id, query)
    rights = await look(call.session)
    listener = _Listener(call, channel, look, rights)
    return event_stream(listener.hear(organization_id, seq))


async def _start(call: Call, organization_id: UUID, query: Following) -> int:
    """Return the number of the event after which to begin.

    That is what the listener has heard last, or the last before `since`, or the last of all.
    """
    latest = await events.latest(call.session, organization_id)
    heard = last_event_id(call.request)
    if heard != UNKNOWN_EVENT:
        return min(heard, latest)
    if query.since is not None:
        return await events.before(call.session, organization_id, query.since)
    return latest


async def member_still(session: Session, user: User, organization_id: UUID) -> Member:
    """Return somebody's membership in an organization. Raises NotFound if it has ended."""
    member = await organizations.membership(session, user, organization_id)
    if member is None:
        raise NotFound("organization_not_found", "You belong to no such organization.")
    return member


async def boards_read(session: Session, member: Member, board_id: UUID | None) -> Rights:
    """Return the boards that a member reads, or the one that is named. Raises as boards.get."""
    if board_id is not None:
        return frozenset({(await boards.get(session, member.user, board_id)).id})
    return frozenset(await boards.readable_ids(session, member.user, member.organization_id))


def _place(actor: Actor) -> tuple[UUID | None, ...]:
    """Return who listens, and where an agent works: one that is moved has to come again."""
    if isinstance(actor, Agent):
        return (actor.id, actor.board_id, actor.gateway_id)
    return (actor.id,)


class _Listener:
    """One who follows, with what they may hear."""

    def __init__(self, call: Call, channel: Channel, look: Look, rights: Rights) -> None:
        self._request = call.request
        self._caller = call.caller
        self._place = _place(call.actor)
        self._channel = channel
        self._look = look
        self._rights = rights
        self._refused: set[UUID | None] = set()  # places that were not among the rights
        self._looked = time.monotonic()
        self._frames: Frames = frames_of(call.request)

    async def hear(
        self, organization_id: UUID, seq: int
    ) -> AsyncGenerator[ServerSentEvent | bytes, None]:
        """Yield what is told, until the listener may not hear it any more."""
        feed = self._request.state.feed
        async with aclosing(feed.follow(organization_id, seq, every=LOOK_AGAIN)) as batches:
            async for batch in batches:
                told = [event for event in batch if self._channel.tells_of(event)]
                if any(self._channel.turns(event) for event in batch):
                    self._looked = -LOOK_AGAIN
                if not await self._may_still_listen({self._channel.place(event) for event in told}):
                    return
                for frame in await self._written(told):
                    yield frame

    async def _written(self, told: Sequence[Event]) -> Sequence[bytes]:
        heard = [event for event in told if self._channel.place(event) in self._rights]
        return await self._frames.of(self._channel.kind, heard, self._channel.write)

    async def _may_still_listen(self, places: set[UUID | None]) -> bool:
        """Look again after some seconds, and at once when a place is not known: it may be new."""
        unknown = places - self._rights - self._refused
        if not unknown and time.monotonic() - self._looked < LOOK_AGAIN:
            return True
        try:
            async with transaction(self._request) as session:
                known = await whoever_calls(session, self._request, self._caller)
                if known is None or _place(known) != self._place:
                    return False
                self._rights = await self._look(session)
        except Refusal:
            return False
        self._refused = unknown - self._rights
        self._looked = time.monotonic()
        return True
