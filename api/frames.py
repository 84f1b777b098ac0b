"""What is sent of an event, written once in this process, however many listen."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from weakref import WeakKeyDictionary

from pydantic import BaseModel
from sse_starlette import ServerSentEvent
from starlette.requests import HTTPConnection

from kit.http import Session
from models import Event

KEPT = 512  # of each process

Writer = Callable[[Session, Sequence[Event]], Awaitable[Mapping[int, bytes]]]
"""Writes frames for events, by their numbers. What there is nothing to tell of is left out."""

Key = tuple[str, int]


class Frames:
    """The frames of the last events, by kind and number. Whoever asks first has them written."""

    def __init__(self, request: HTTPConnection) -> None:
        self._open = request.state.transaction
        self._written: dict[Key, asyncio.Task[Mapping[int, bytes]]] = {}

    async def of(self, kind: str, heard: Sequence[Event], write: Writer) -> list[bytes]:
        """Return the frames of these events, in order."""
        fresh = [event for event in heard if (kind, event.seq) not in self._written]
        if fresh:
            self._begin(kind, fresh, write)
        tasks = [(event.seq, self._written[kind, event.seq]) for event in heard]
        self._forget_oldest()
        found = [(await asyncio.shield(task)).get(seq) for seq, task in tasks]
        return [frame for frame in found if frame is not None]

    def _begin(self, kind: str, fresh: Sequence[Event], write: Writer) -> None:
        """Write in a task of its own: who asked may go away, and others wait for it too."""
        task = asyncio.create_task(self._write(fresh, write))
        keys = [(kind, event.seq) for event in fresh]
        self._written |= dict.fromkeys(keys, task)
        task.add_done_callback(lambda done: self._forget_if_failed(done, keys))

    async def _write(self, fresh: Sequence[Event], write: Writer) -> Mapping[int, bytes]:
        async with self._open() as session:
            return await write(session, fresh)

    def _forget_if_failed(
        self, done: asyncio.Task[Mapping[int, bytes]], keys: Sequence[Key]
    ) -> None:
        if done.cancelled() or done.exception():
            for key in keys:
                if self._written.get(key) is done:
                    del self._written[key]

    def _forget_oldest(self) -> None:
        while len(self._written) > KEPT:
            del self._written[next(iter(self._written))]


_of_feeds: WeakKeyDictionary[object, Frames] = WeakKeyDictionary()


def frames_of(request: HTTPConnection) -> Frames:
    """Return the frames that all listeners of this process's feed share."""
    feed = request.state.feed
    if feed not in _of_feeds:
        _of_feeds[feed] = Frames(request)
    return _of_feeds[feed]


def frame(name: str, seq: int, payload: BaseModel) -> bytes:
    """Write one message of a stream, with the number by which a listener can come back."""
    event = ServerSentEvent(payload.model_dump_json(), event=name, id=str(seq))
    return event.encode()
