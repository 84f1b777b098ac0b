"""The pages of boards that are open in this process, recorded together.

One statement every ten seconds records all of them. A visit that begins or ends is recorded at once
and announced with a notification, which makes every process look who is there.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from services.presence.viewers import TOPIC, Visit, end_visits, list_visits, record_visits

RECORD_INTERVAL = 10.0  # seconds, as long as a page is open
COLLECT_DELAY = 0.1  # seconds in which several changes become one statement
END_DELAY = 1.0  # seconds; a page that is opened again meanwhile continues the visit

log = logging.getLogger(__name__)


class OpenVisit:
    """An open page of a board. Its viewer may read the board."""

    __slots__ = ("_wake", "has_change", "visit")

    def __init__(self, visit: Visit, wake: Callable[[], None]) -> None:
        self.visit = visit
        self.has_change = True  # other viewers came or left, and the page does not know it yet
        self._wake = wake

    def notify(self, changed_user_ids: set[UUID]) -> None:
        """Wake the stream of the page if others than its viewer came or left."""
        if changed_user_ids - {self.visit.user_id}:
            self.has_change = True
            self._wake()


class BoardVisits:
    """All open pages of boards in this process."""

    def __init__(self, transaction: TransactionFactory, listener: PostgresListener) -> None:
        self._transaction = transaction
        self._by_board: defaultdict[UUID, set[OpenVisit]] = defaultdict(set)
        self._counts: Counter[Visit] = Counter()
        self._ended: dict[Visit, float] = {}  # when
        self._viewers: dict[UUID, set[UUID]] = {}
        self._must_record = False
        self._must_read = False
        self._recorded_at = 0.0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        listener.add_handler(TOPIC, self._on_notification)

    def begin(self, visit: Visit, wake: Callable[[], None]) -> OpenVisit:
        """Count an open page; `wake` is called when other viewers of its board come or leave."""
        opened = OpenVisit(visit, wake)
        self._by_board[visit.board_id].add(opened)
        self._counts[visit] += 1
        was_ended = self._ended.pop(visit, None) is not None
        if self._counts[visit] == 1 and not was_ended:
            self._must_record = True
            self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return opened

    def end(self, opened: OpenVisit) -> None:
        """Stop counting an open page."""
        visit = opened.visit
        self._by_board[visit.board_id].discard(opened)
        if not self._by_board[visit.board_id]:
            del self._by_board[visit.board_id]
            self._viewers.pop(visit.board_id, None)
        self._counts[visit] -= 1
        if not self._counts[visit]:
            del self._counts[visit]
            self._ended[visit] = asyncio.get_running_loop().time()
            self._changed.set()

    async def close(self) -> None:
        """Stop recording. Pages that are opened again in another process continue their visits."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _on_notification(self, board_id: str | None) -> None:
        if board_id is None or UUID(board_id) in self._by_board:
            self._must_read = True
            self._changed.set()

    async def _run(self) -> None:
        while self._counts or self._ended:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_at()):
                    await self._changed.wait()
            await asyncio.sleep(COLLECT_DELAY)
            self._changed.clear()
            try:
                await self._end_visits()
                await self._record_or_read()
            except (OSError, SQLAlchemyError) as error:
                log.warning("the viewers of boards cannot be recorded: %s", error)

    def _next_at(self) -> float:
        """Return when something has to be done even if nothing changes."""
        times = [ended_at + END_DELAY for ended_at in self._ended.values()]
        if self._counts:
            times.append(self._recorded_at + RECORD_INTERVAL)
        return min(times)

    async def _end_visits(self) -> None:
        latest = asyncio.get_running_loop().time() - END_DELAY
        due = [visit for visit, ended_at in self._ended.items() if ended_at <= latest]
        if not due:
            return
        for visit in due:
            del self._ended[visit]
        async with self._transaction() as session:
            await end_visits(session, due)

    async def _record_or_read(self) -> None:
        time = asyncio.get_running_loop().time()
        is_due = self._must_record or time >= self._recorded_at + RECORD_INTERVAL
        if not self._counts or not (is_due or self._must_read):
            return
        self._must_read = False
        board_ids = list(self._by_board)
        async with self._transaction() as session:
            if is_due:
                self._must_record, self._recorded_at = False, time
                found = await record_visits(session, list(self._counts))
            else:
                found = await list_visits(session, board_ids)
        self._set_viewers(board_ids, found)
        if not is_due and self._counts.keys() - found:
            self._must_record = True  # another process has ended a visit of the same user
            self._changed.set()

    def _set_viewers(self, board_ids: Collection[UUID], found: Collection[Visit]) -> None:
        """Notify the pages of the boards whose viewers changed."""
        current: defaultdict[UUID, set[UUID]] = defaultdict(set)
        for visit in found:
            current[visit.board_id].add(visit.user_id)
        for board_id in board_ids:
            known = self._viewers.get(board_id, set())
            self._viewers[board_id] = current[board_id]
            for opened in self._by_board.get(board_id, ()):
                opened.notify(known ^ current[board_id])
