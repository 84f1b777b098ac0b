"""What the stream of agents reports beside the events about agents: calls, and changes by time.

A call of an agent is not an event unless it changes its status. An agent can also become offline
without an event of its own: its gateway is unreachable, or it has been silent for too long. While a
stream of agents is open, these agents of its organization are read every REPORT_INTERVAL, and when
a gateway has changed, once for all its streams in this process.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID
from weakref import WeakKeyDictionary, WeakValueDictionary

from starlette.requests import Request

from api.streams.subscription import AllowedIds
from core.clock import now
from core.http.request import get_settings, open_reader
from models import Agent, Event, EventType, Gateway
from services import agents

REPORT_INTERVAL = 15.0  # seconds between two reports about an agent
WRITE_DELAY = timedelta(seconds=5)  # a call is written later than it was made

FrameBuilder = Callable[[Agent, Gateway | None], bytes]


class _SeenAgents:
    """The agents of an organization that have called or changed while a stream was open."""

    def __init__(self, organization_id: UUID) -> None:
        self.number = 0  # of the last read
        self.frames: dict[UUID, tuple[int, UUID | None, bytes]] = {}
        self._organization_id = organization_id
        self._since = now()
        self._read_at = asyncio.get_running_loop().time()
        self._seq = 0  # of the last event about a gateway that was considered
        self._states: Mapping[UUID, object] = {}  # as they were reported by the last read
        self._lock = asyncio.Lock()

    async def refresh(self, request: Request, build_frame: FrameBuilder, seq: int) -> None:
        """Read the agents that have called or changed, unless it was done within the interval.

        `seq` is the number of an event about a gateway after which they must be read, or 0.
        """
        async with self._lock:
            time = asyncio.get_running_loop().time()
            if time - self._read_at < REPORT_INTERVAL and seq <= self._seq:
                return
            self._read_at, self._seq, at = time, max(self._seq, seq), now()
            offline_after = get_settings(request).offline_after
            async with open_reader(request) as source:
                found = await agents.list_changed_presences(
                    source, self._organization_id, self._since, at, offline_after=offline_after
                )
            self.number += 1
            states = {}
            for agent, gateway in found:
                status = agents.compute_status(agent, gateway, at, offline_after)
                away_since = agents.find_away_since(agent, gateway, at)
                states[agent.id] = agent.last_seen_at, status, away_since
                if self._states.get(agent.id) != states[agent.id]:
                    frame = build_frame(agent, gateway)
                    self.frames[agent.id] = self.number, agent.board_id, frame
            self._states = states
            self._since = max(self._since, at - WRITE_DELAY)


_seen_by_feed: WeakKeyDictionary[object, WeakValueDictionary[UUID, _SeenAgents]] = (
    WeakKeyDictionary()
)
"""What all streams of an organization in this process share while one is open."""


class SeenAgentsReport:
    """Reports to one subscriber when agents were last seen, and when their gateway is lost."""

    def __init__(self, request: Request, organization_id: UUID, build_frame: FrameBuilder) -> None:
        self._request = request
        self._build_frame = build_frame
        feed = request.state.event_feed
        by_organization = _seen_by_feed.setdefault(feed, WeakValueDictionary())
        seen = by_organization.get(organization_id)
        if seen is None:
            seen = by_organization[organization_id] = _SeenAgents(organization_id)
        self._seen = seen
        self._number = self._seen.number
        self._reported_at = asyncio.get_running_loop().time()

    async def get_frames(self, allowed_ids: AllowedIds, received: Sequence[Event]) -> bytes:
        """Return the frames of agents on allowed boards that were read since the last report."""
        time = asyncio.get_running_loop().time()
        of_gateways = [one.seq for one in received if one.type == EventType.GATEWAY_UPDATED]
        if time - self._reported_at < REPORT_INTERVAL and not of_gateways:
            return b""
        self._reported_at = time
        await self._seen.refresh(self._request, self._build_frame, max(of_gateways, default=0))
        known, self._number = self._number, self._seen.number
        return b"".join(
            frame
            for number, board_id, frame in self._seen.frames.values()
            if number > known and board_id in allowed_ids
        )
