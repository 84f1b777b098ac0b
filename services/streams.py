"""What the owners of open event streams may read.

A stream costs no statement while nothing happens. The database announces each change of rights,
sessions and tokens (`rights:` and the id of the user or agent), known expiries are timers, and the
streams concerned read their rights again at once. In case a notification was lost, one statement a
minute compares the rights of all streams of the process; streams also wait for it before they send
anything after LISTEN was interrupted.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener

_FINGERPRINTS = text("""
    select actor.id, md5(jsonb_build_array(
        (
            select jsonb_agg(session.id order by session.id) from sign_ins as session
            where session.user_id = actor.id and session.expires_at > now()
        ),
        (
            select jsonb_agg(token.id order by token.id) from api_tokens as token
            where token.user_id = actor.id
            and (token.expires_at is null or token.expires_at > now())
        ),
        (
            select jsonb_agg(
                jsonb_build_array(
                    member.id, member.role, member.all_boards_read, member.all_boards_write
                ) order by member.id
            ) from organization_members as member where member.user_id = actor.id
        ),
        (
            select jsonb_agg(
                jsonb_build_array(access.id, access.can_read, access.can_write) order by access.id
            ) from organization_board_access as access
            join organization_members as member on member.id = access.organization_member_id
            where member.user_id = actor.id
        ),
        (
            select jsonb_build_array(agent.board_id, agent.gateway_id, agent.agent_token_hash)
            from agents as agent where agent.id = actor.id
        ),
        (
            select jsonb_agg(token.id order by token.id) from agent_tokens as token
            where token.agent_id = actor.id and token.ended_at is null
            and (token.expires_at is null or token.expires_at > now())
        )
    )::text)
    from unnest(:ids) as actor (id)
""").bindparams(bindparam("ids", type_=ARRAY(Uuid())))
"""The credentials that are valid, and the rights of their owners. The triggers `announce_rights`
notify of each change of these values, except of the expiry of a credential."""


async def load_fingerprints(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, str]:
    """Return a fingerprint of the rights and valid credentials of users and agents.

    Comparing them shows whose rights have changed, in one statement.
    """
    rows = await session.execute(_FINGERPRINTS, {"ids": list(ids)})
    return {id: fingerprint for id, fingerprint in rows}


TOPIC = "rights"
CHECK_INTERVAL = 60.0  # seconds between two comparisons of all rights
FIRST_CHECK_DELAY = 1.0  # seconds until the first comparison, so that it is one for many streams
MAX_LOADS = 4  # at once in a process, so that requests find a free database connection

Readable = frozenset[UUID | None] | None
"""Ids of what may be read, or None if the streams have to end."""


class RightsSource(Protocol):
    """Reads the rights of a user or an agent in a stream."""

    actor_id: UUID

    async def load_rights(self) -> Readable:
        """Return what may be read, or None if the streams have to end."""


log = logging.getLogger(__name__)


class SharedRights:
    """The rights of all streams with the same credential and address; they are read once."""

    def __init__(self, owner: "StreamRights", key: Hashable, source: Any) -> None:
        self.key = key
        self.source = source  # of the first stream; the others use it as well
        self.is_expired = False
        self.expiry: asyncio.TimerHandle | None = None
        self.wakes: set[Callable[[], None]] = set()  # of the streams
        self._owner = owner
        self._result: asyncio.Task[Readable] | None = None
        self._seq = 0  # events up to this number were committed before the rights were read

    def get_known(self, changed_by: int) -> Readable:
        """Return what `get` would return without waiting, or None if it has to read."""
        if (
            self._seq < changed_by
            or self._result is None
            or not self._result.done()
            or _has_failed(self._result)
            or self.is_expired
            or not self._owner.is_confirmed()
        ):
            return None
        return self._result.result()

    async def get(self, changed_by: int) -> Readable:
        """Return what may be read, after the event number `changed_by` and all known changes."""
        await self._owner.confirm()
        while not self.is_expired:
            if self._result is None or self._seq < changed_by or _has_failed(self._result):
                self._seq = max(self._seq, changed_by)
                self._result = asyncio.create_task(self._owner.load_in_turn(self.source))
                # An error is for the streams that wait. If all have ended, it concerns nobody.
                self._result.add_done_callback(_has_failed)
            result = self._result
            if not result.done():
                await asyncio.wait([result])
            if result is self._result and not self.is_expired:
                return result.result()
        return None

    def leave(self, wake: Callable[[], None]) -> None:
        """Remove a stream that has ended, which is woken by `wake`."""
        self.wakes.discard(wake)
        if not self.wakes:
            self._owner.remove(self)

    def invalidate(self) -> None:
        """Let the streams read their rights again."""
        self._result = None
        self.wake()

    def expire(self) -> None:
        """End the streams, because their credential has expired."""
        self.is_expired = True
        self.wake()

    def wake(self) -> None:
        """Let the streams continue."""
        for wake in tuple(self.wakes):
            wake()


def _has_failed(result: asyncio.Task[Readable]) -> bool:
    return result.done() and (result.cancelled() or result.exception() is not None)


class StreamRights:
    """The rights of all open streams of this process."""

    def __init__(self, transaction: TransactionFactory, listener: PostgresListener) -> None:
        self.openings = asyncio.Semaphore(MAX_LOADS)  # queries of streams that are being opened
        self._slots = asyncio.Semaphore(MAX_LOADS)
        self._transaction = transaction
        self._listener = listener
        self._shared: dict[Hashable, SharedRights] = {}
        self._by_actor: defaultdict[UUID, set[SharedRights]] = defaultdict(set)
        self._fingerprints: dict[UUID, str] = {}
        self._confirmed = 0  # the number of interruptions after which all rights were compared
        self._check: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        listener.add_handler(TOPIC, self._on_notification)

    def join(
        self,
        key: Hashable,
        source: RightsSource,
        *,
        expires_at: datetime | None,
        wake: Callable[[], None],
    ) -> SharedRights:
        """Return the rights of a stream; they are those of other streams with the same key.

        `wake` is called when they may have changed. Call this before the rights are read, and
        `leave` when the stream has ended. It is not a context manager, which would keep each
        `source`.
        """
        shared = self._shared.get(key)
        if shared is None or shared.is_expired:
            shared = self._shared[key] = SharedRights(self, key, source)
            self._by_actor[source.actor_id].add(shared)
            if expires_at is not None:
                seconds = max((expires_at - now()).total_seconds(), 0)
                shared.expiry = asyncio.get_running_loop().call_later(seconds, shared.expire)
            if source.actor_id not in self._fingerprints:
                self._schedule(FIRST_CHECK_DELAY)
        shared.wakes.add(wake)
        return shared

    def is_confirmed(self) -> bool:
        """Return whether no notification can have been lost since all rights were compared."""
        return self._confirmed == self._listener.interruptions

    async def confirm(self) -> None:
        """Compare all rights if LISTEN was interrupted since the last time."""
        while not self.is_confirmed():
            await asyncio.shield(self._start_check())

    async def load_in_turn(self, source: RightsSource) -> Readable:
        """Load rights when few others are being loaded."""
        async with self._slots:
            return await source.load_rights()

    def remove(self, shared: SharedRights) -> None:
        """Forget rights that no stream uses any more."""
        if shared.expiry is not None:
            shared.expiry.cancel()
        if self._shared.get(shared.key) is shared:
            del self._shared[shared.key]
        actor_id = shared.source.actor_id
        self._by_actor[actor_id].discard(shared)
        if not self._by_actor[actor_id]:
            del self._by_actor[actor_id]
            self._fingerprints.pop(actor_id, None)
        if not self._by_actor and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_notification(self, actor_id: str | None) -> None:
        if actor_id is None:
            for shared in self._shared.values():
                shared.wake()  # each waits for the comparison of all
            return
        changed = UUID(actor_id)
        self._fingerprints.pop(changed, None)
        self._invalidate(changed)
        if changed in self._by_actor:
            self._schedule(FIRST_CHECK_DELAY)

    def _invalidate(self, actor_id: UUID) -> None:
        for shared in self._by_actor.get(actor_id, ()):
            shared.invalidate()

    def _schedule(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None and self._timer.when() <= loop.time() + seconds:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._start_check)

    def _start_check(self) -> asyncio.Task[None]:
        if self._check is None or self._check.done():
            self._check = asyncio.create_task(self._compare())
            self._check.add_done_callback(_log_failure)
        return self._check

    async def _compare(self) -> None:
        """Compare all rights, and invalidate those that changed without a notification."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        interruptions, known = self._listener.interruptions, dict(self._fingerprints)
        try:
            async with self._transaction() as session:
                found = await load_fingerprints(session, list(self._by_actor))
        finally:
            if self._by_actor:
                self._schedule(CHECK_INTERVAL)
        was_interrupted = interruptions != self._confirmed
        self._confirmed = interruptions
        for actor_id in self._by_actor.keys() & found.keys():
            self._fingerprints[actor_id] = found[actor_id]
            # Rights that were read before the interruption and never compared may be outdated.
            if known.get(actor_id, None if was_interrupted else found[actor_id]) != found[actor_id]:
                self._invalidate(actor_id)


def _log_failure(check: asyncio.Task[None]) -> None:
    if not check.cancelled() and (error := check.exception()):
        log.warning("The rights of streams cannot be compared: %s", error)
