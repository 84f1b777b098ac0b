"""When agents were last seen, for the stream of agents.

A call of an agent is no event unless it changes its status. While a stream of agents is open, the
agents of its organization that have called are read every REPORT_INTERVAL, once for all its streams
in this process.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import UUID
from weakref import WeakKeyDictionary, WeakValueDictionary

from starlette.requests import Request

from api.streams.subscription import AllowedIds
from core.clock import now
from core.http.request import open_reader
from models import Agent
from services import agents

REPORT_INTERVAL = 15.0  # seconds between two reports about an agent
WRITE_DELAY = timedelta(seconds=5)  # a call is written later than it was made

FrameBuilder = Callable[[Agent], bytes]


class _SeenAgents:
    """The agents of an organization that have called while a stream was open."""

    def __init__(self, organization_id: UUID) -> None:
        self.number = 0  # of the last read
        self.frames: dict[UUID, tuple[int, UUID | None, bytes]] = {}
        self._organization_id = organization_id
        self._since = now()
        self._read_at = asyncio.get_running_loop().time()
        self._times: Mapping[UUID, datetime | None] = {}
        self._lock = asyncio.Lock()

    async def refresh(self, request: Request, build_frame: FrameBuilder) -> None:
        """Read the agents that have called, unless it was done within the interval."""
        async with self._lock:
            time = asyncio.get_running_loop().time()
            if time - self._read_at < REPORT_INTERVAL:
                return
            self._read_at, started_at = time, now()
            async with open_reader(request) as source:
                seen = await agents.list_agents_seen_since(
                    source, self._organization_id, self._since
                )
            self.number += 1
            for agent in seen:
                if self._times.get(agent.id) != agent.last_seen_at:
                    self.frames[agent.id] = self.number, agent.board_id, build_frame(agent)
            self._times = {agent.id: agent.last_seen_at for agent in seen}
            self._since = max(self._since, started_at - WRITE_DELAY)


class SeenAgentsReport:
    """Reports to one subscriber when agents were last seen."""

    def __init__(self, request: Request, organization_id: UUID, build_frame: FrameBuilder) -> None:
        self._request = request
        self._build_frame = build_frame
        self._seen = _get_seen_agents(request, organization_id)
        self._number = self._seen.number
        self._reported_at = asyncio.get_running_loop().time()

    async def get_frames(self, allowed_ids: AllowedIds) -> bytes:
        """Return the frames of agents on allowed boards that have called since the last report."""
        time = asyncio.get_running_loop().time()
        if time - self._reported_at < REPORT_INTERVAL:
            return b""
        self._reported_at = time
        await self._seen.refresh(self._request, self._build_frame)
        known, self._number = self._number, self._seen.number
        return b"".join(
            frame
            for number, board_id, frame in self._seen.frames.values()
            if number > known and board_id in allowed_ids
        )


_seen_by_feed: WeakKeyDictionary[object, WeakValueDictionary[UUID, _SeenAgents]] = (
    WeakKeyDictionary()
)


def _get_seen_agents(request: Request, organization_id: UUID) -> _SeenAgents:
    """Return what all streams of an organization in this process share while one is open."""
    by_organization = _seen_by_feed.setdefault(request.state.event_feed, WeakValueDictionary())
    seen = by_organization.get(organization_id)
    if seen is None:
        seen = by_organization[organization_id] = _SeenAgents(organization_id)
    return seen
