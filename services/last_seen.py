"""Record when agents, tokens and sessions were last used: collected, and written once per second.

A contact that changes the status of an agent is written at once, by `agents.touch_agent`.
"""

import asyncio
import logging
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import DateTime, Uuid, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from core.clock import now
from core.db.engine import TransactionFactory, is_temporary_error
from models import Agent, ApiToken, SignIn

FLUSH_INTERVAL = 1.0  # seconds between two statements

log = logging.getLogger(__name__)


UsedModel: TypeAlias = type[Agent] | type[ApiToken] | type[SignIn]


def _build_statement(model: UsedModel, name: str) -> Any:
    """Build the update of many rows. Rows that another transaction locks are skipped."""
    pairs = func.unnest(
        bindparam("ids", type_=ARRAY(Uuid())),
        bindparam("times", type_=ARRAY(DateTime(timezone=True))),
    )
    used = pairs.table_valued("id", "at", name="used").render_derived()
    column = getattr(model, name)
    is_older = or_(column.is_(None), column < used.c.at)
    rows = select(model.id, used.c.at).join(used, used.c.id == model.id).where(is_older)
    rows = rows.order_by(model.id).with_for_update(of=model, key_share=True, skip_locked=True)
    unlocked = rows.cte("unlocked")
    values = {name: unlocked.c.at}
    if model is Agent:
        values["updated_at"] = unlocked.c.at
    statement = update(model).where(model.id == unlocked.c.id).values(values)
    return statement.returning(model.id).execution_options(synchronize_session=False)


STATEMENTS: dict[UsedModel, Any] = {
    Agent: _build_statement(Agent, "last_seen_at"),
    ApiToken: _build_statement(ApiToken, "last_used_at"),
    SignIn: _build_statement(SignIn, "last_seen_at"),
}


class LastSeenBuffer:
    """The uses of this process that are not written yet. At rest it does nothing."""

    def __init__(self, transaction: TransactionFactory, *, interval: float | None = None) -> None:
        """Write `interval` seconds after the first use; None: only when `flush` is called."""
        self._transaction = transaction
        self._interval = interval
        self._times: dict[UsedModel, dict[UUID, datetime]] = {model: {} for model in STATEMENTS}
        self._skipped: dict[UsedModel, set[UUID]] = {model: set() for model in STATEMENTS}
        self._writing: asyncio.Task[None] | None = None

    def record(self, used: UsedModel, id: UUID) -> None:
        """Record a use of an agent, a token or a session."""
        self._times[used][id] = now()
        if self._interval is not None and self._writing is None:
            self._writing = asyncio.create_task(self._write_later(self._interval))

    async def flush(self) -> None:
        """Write what has been collected.

        A row that is locked is tried once more. Then its use is dropped: a later one is recorded.
        """
        if not any(self._times.values()):
            return
        written = {model: dict(times) for model, times in self._times.items() if times}
        found = {}
        async with self._transaction() as session:
            for model, times in written.items():
                parameters = {"ids": list(times), "times": list(times.values())}
                found[model] = set(await session.scalars(STATEMENTS[model], parameters))
        for model, times in written.items():
            skipped = times.keys() - found[model] - self._skipped[model]
            self._skipped[model] = skipped
            self._times[model] = {
                id: at
                for id, at in self._times[model].items()
                if times.get(id) != at or id in skipped
            }

    async def close(self) -> None:
        """Write the rest."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
        try:
            await self.flush()
        except Exception as error:
            is_ours = not is_temporary_error(error)
            log.warning(
                "The times of last use could not be stored, and are lost: %s",
                error,
                exc_info=is_ours,
            )

    async def _write_later(self, delay: float) -> None:
        """Write after a delay, again and again until everything is written."""
        try:
            while any(self._times.values()):
                await asyncio.sleep(delay)
                try:
                    await self.flush()
                except Exception as error:  # otherwise agents would seem to be offline
                    is_ours = not is_temporary_error(error)
                    log.warning(
                        "The times of last use cannot be stored yet: %s", error, exc_info=is_ours
                    )
        finally:
            self._writing = None
