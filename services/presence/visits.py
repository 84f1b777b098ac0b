"""The users who are viewing boards.

One statement every ten seconds records all pages of boards that are open in this process. A visit
that begins or ends is recorded at once and announced with a notification, which makes every process
look who is there.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core.cancellation import cancel_task
from core.clock import now
from core.db.engine import TransactionFactory, is_temporary_error
from core.db.listen import CHANNEL, PostgresListener
from core.db.reads import Query, Source
from models import Board, Presence, User, new_id

TOPIC = "presence"  # of notifications, with the id of a board
ABSENT_AFTER = timedelta(seconds=25)  # since the last record
_ARRAYS = [bindparam(name, type_=ARRAY(Uuid())) for name in ("ids", "board_ids", "user_ids")]

RECORD_INTERVAL = 10.0  # seconds, as long as a page is open
COLLECT_DELAY = 0.1  # seconds in which several changes become one statement
END_DELAY = 1.0  # seconds; a page that is opened again meanwhile continues the visit

log = logging.getLogger(__name__)


class BoardViewer(NamedTuple):
    """A user, and since when they have had a page of the board open."""

    user: User
    since: datetime


class Visit(NamedTuple):
    """A user who has a page of a board open."""

    board_id: UUID
    user_id: UUID


_PRESENT = "presence.seen_at >= cast(:absent_since as timestamptz)"
_RECORD_VISITS = text(f"""
    with visits as (
        select visit.id, board.id as board_id, visitor.id as user_id
        from unnest(:ids, :board_ids, :user_ids) as visit (id, board_id, user_id)
        join boards as board on board.id = visit.board_id
        join users as visitor on visitor.id = visit.user_id
        order by board.id, visitor.id
        for key share of board, visitor skip locked
    ),
    arrivals as (
        select distinct visits.board_id from visits
        left join presences as presence
            on (presence.board_id, presence.user_id) = (visits.board_id, visits.user_id)
        where ({_PRESENT}) is not true
    ),
    notified as (
        select pg_notify(:channel, :topic || board_id) from arrivals
    ),
    recorded as (
        insert into presences as presence (id, board_id, user_id, since, seen_at)
        select id, board_id, user_id, :at, :at from visits
        on conflict (board_id, user_id) do update set
            since = case when {_PRESENT} then presence.since else excluded.since end,
            seen_at = excluded.seen_at
    )
    select presence.board_id, presence.user_id from presences as presence
    where presence.board_id = any(:board_ids) and {_PRESENT}
    and (select count(*) from notified) >= 0
    union
    select board_id, user_id from visits
""").bindparams(*_ARRAYS)  # noqa: S608 - the inserted text is a constant
"""Rows that are being deleted are skipped: nobody waits, and the next record includes the others.
The rows are in a fixed order, so that two processes do not wait for each other."""

_DELETE_VISITS = text("""
    with ended as (
        delete from presences where id in (
            select presence.id from presences as presence
            join unnest(:board_ids, :user_ids) as visit (board_id, user_id)
                on (presence.board_id, presence.user_id) = (visit.board_id, visit.user_id)
            order by presence.board_id, presence.user_id for update of presence
        )
        returning board_id
    )
    select pg_notify(:channel, :topic || board_id) from (select distinct board_id from ended) as one
""").bindparams(*_ARRAYS[1:])


async def record_visits(session: AsyncSession, visits: Collection[Visit]) -> set[Visit]:
    """Record that users are viewing boards, and return all users who are viewing these boards.

    The caller checks the read permissions. Arrivals are announced to all processes at the commit.
    No event is recorded. Nothing happens if a board or a user is deleted at the same time.
    """
    at = now()
    values = {
        "ids": [new_id() for _ in visits],
        "at": at,
        "absent_since": at - ABSENT_AFTER,
        **_notification_values(visits),
    }
    return {Visit(*row) for row in await session.execute(_RECORD_VISITS, values)}


def _notification_values(visits: Collection[Visit]) -> dict[str, object]:
    return {
        "board_ids": [visit.board_id for visit in visits],
        "user_ids": [visit.user_id for visit in visits],
        "channel": CHANNEL,
        "topic": f"{TOPIC}:",
    }


async def list_visits(session: AsyncSession, board_ids: Collection[UUID]) -> set[Visit]:
    """Return the users viewing these boards. The caller checks the read permissions."""
    query = select(Presence.board_id, Presence.user_id).where(
        Presence.board_id.in_(board_ids), Presence.seen_at >= now() - ABSENT_AFTER
    )
    return {Visit(*row) for row in await session.execute(query)}


async def list_viewers(source: Source, board: Board) -> Sequence[BoardViewer]:
    """Return the users who are viewing a board, in the order of their arrival."""
    return await VIEWERS.fetch(source, board_id=board.id, absent_since=now() - ABSENT_AFTER)


VIEWERS: Query[BoardViewer] = Query(
    select(User, Presence.since)
    .join(Presence, Presence.user_id == User.id)
    .where(
        Presence.board_id == bindparam("board_id"), Presence.seen_at >= bindparam("absent_since")
    )
    .order_by(Presence.since, User.id),
    BoardViewer._make,
)


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
            await cancel_task(self._task)

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
            except Exception as error:  # otherwise nobody would see open pages any more
                is_ours = not is_temporary_error(error)
                log.warning("The viewers of boards cannot be recorded: %s", error, exc_info=is_ours)

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
        for visit in due:  # first: a page that is opened now begins a visit
            del self._ended[visit]
        try:
            async with self._transaction() as session:
                await session.execute(_DELETE_VISITS, _notification_values(due))
        except Exception as error:
            if is_temporary_error(error):
                again = asyncio.get_running_loop().time()
                self._ended.update({visit: again for visit in due if visit not in self._counts})
            raise

    async def _record_or_read(self) -> None:
        time = asyncio.get_running_loop().time()
        is_due = self._must_record or time >= self._recorded_at + RECORD_INTERVAL
        if not self._counts or not (is_due or self._must_read):
            return
        self._must_read = False
        board_ids = list(self._by_board)
        if is_due:
            self._must_record, self._recorded_at = False, time
        async with self._transaction() as session:
            if is_due:
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
