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
        self._remove_oldest()
        found = [(await job.get_frames()).get(seq) for seq, job in jobs]
        return [frame for frame in found if frame is not None]

    def _start_writing(self, kind: str, missing: Sequence[Event], write: FrameWriter) -> None:
        """Write in a separate task: the first subscriber may disconnect while others wait."""
        task = asyncio.create_task(self._write(missing, write))
        keys = [(kind, event.seq) for event in missing]
        job = _FrameJob(task)
        self._jobs |= dict.fromkeys(keys, job)
        task.add_done_callback(lambda done: self._remove_failed(done, job, keys))

    async def _write(self, missing: Sequence[Event], write: FrameWriter) -> Mapping[int, bytes]:
        async with self._begin_transaction() as session:
            return await write(session, missing)

    def _remove_failed(
        self, done: asyncio.Task[Mapping[int, bytes]], job: _FrameJob, keys: Sequence[Key]
    ) -> None:
        if done.cancelled() or done.exception():
            for key in keys:
                if self._jobs.get(key) is job:
                    del self._jobs[key]

    def _remove_oldest(self) -> None:
        while len(self._jobs) > MAX_CACHED_EVENTS:
            del self._jobs[next(iter(self._jobs))]


_caches_by_feed: WeakKeyDictionary[object, FrameCache] = WeakKeyDictionary()


def get_frame_cache(request: HTTPConnection) -> FrameCache:
    """Return the frame cache that all subscribers of this process share."""
    feed = request.state.event_feed
    if feed not in _caches_by_feed:
        _caches_by_feed[feed] = FrameCache(request)
    return _caches_by_feed[feed]


def format_frame(name: str, seq: int | None, payload: BaseModel) -> bytes:
    """Format a stream message; its id lets the subscriber continue later.

    Without an id, the subscriber continues after the last message that had one.
    """
    id = None if seq is None else str(seq)
    event = ServerSentEvent(payload.model_dump_json(), event=name, id=id)
    return event.encode()
