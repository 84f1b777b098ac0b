"""A cache of frames: each event is formatted once per process for all subscribers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from weakref import WeakKeyDictionary

from pydantic import BaseModel
from sse_starlette import ServerSentEvent
from starlette.requests import HTTPConnection

from core.http.request import Session
from models import Event

MAX_CACHED_EVENTS = 512  # of each process

FrameWriter = Callable[[Session, Sequence[Event]], Awaitable[Mapping[int, bytes]]]
"""Returns frames by event number. Events without a frame are left out."""

Key = tuple[str, int]


class FrameCache:
    """The frames of the latest events, by kind and number. The first request formats them."""

    def __init__(self, request: HTTPConnection) -> None:
        self._begin_transaction = request.state.transaction_factory
        self._tasks: dict[Key, asyncio.Task[Mapping[int, bytes]]] = {}

    async def get_frames(
        self, kind: str, events: Sequence[Event], write: FrameWriter
    ) -> list[bytes]:
        """Return the frames of these events, in order."""
        missing = [event for event in events if (kind, event.seq) not in self._tasks]
        if missing:
            self._start_writing(kind, missing, write)
        tasks = [(event.seq, self._tasks[kind, event.seq]) for event in events]
        self._remove_oldest()
        found = [(await asyncio.shield(task)).get(seq) for seq, task in tasks]
        return [frame for frame in found if frame is not None]

    def _start_writing(self, kind: str, missing: Sequence[Event], write: FrameWriter) -> None:
        """Write in a separate task: the first subscriber may disconnect while others wait."""
        task = asyncio.create_task(self._write(missing, write))
        keys = [(kind, event.seq) for event in missing]
        self._tasks |= dict.fromkeys(keys, task)
        task.add_done_callback(lambda done: self._remove_failed(done, keys))

    async def _write(self, missing: Sequence[Event], write: FrameWriter) -> Mapping[int, bytes]:
        async with self._begin_transaction() as session:
            return await write(session, missing)

    def _remove_failed(self, done: asyncio.Task[Mapping[int, bytes]], keys: Sequence[Key]) -> None:
        if done.cancelled() or done.exception():
            for key in keys:
                if self._tasks.get(key) is done:
                    del self._tasks[key]

    def _remove_oldest(self) -> None:
        while len(self._tasks) > MAX_CACHED_EVENTS:
            del self._tasks[next(iter(self._tasks))]


_caches_by_feed: WeakKeyDictionary[object, FrameCache] = WeakKeyDictionary()


def get_frame_cache(request: HTTPConnection) -> FrameCache:
    """Return the frame cache that all subscribers of this process share."""
    feed = request.state.event_feed
    if feed not in _caches_by_feed:
        _caches_by_feed[feed] = FrameCache(request)
    return _caches_by_feed[feed]


def format_frame(name: str, seq: int, payload: BaseModel) -> bytes:
    """Format a stream message; its id lets the subscriber continue later."""
    event = ServerSentEvent(payload.model_dump_json(), event=name, id=str(seq))
    return event.encode()
