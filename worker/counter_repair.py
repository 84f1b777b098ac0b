"""The repair of counters and hourly roll-ups, soon after the start and every night.

Triggers maintain the counters with what they count, so the repair should find nothing. It finds
what a migration or a person changed without the triggers.
"""

import logging
from datetime import UTC, datetime, timedelta

from core.clock import now
from core.db.engine import TransactionFactory
from services import counters

INTERVAL = 3600.0  # seconds between two looks, after which a failed repair is repeated
HOUR = 3  # of the day in UTC, at which it is due
FIRST_DELAY = timedelta(minutes=10)  # after the start of a worker, which may never run at HOUR
MAX_LOGGED = 100  # differences of one repair

log = logging.getLogger(__name__)


class CounterRepair:
    """Compares the counters with a recount soon after the start and every night."""

    def __init__(self, transaction: TransactionFactory) -> None:
        self._transaction = transaction
        self._due_at = min(next_repair(now()), now() + FIRST_DELAY)

    async def run_if_due(self) -> datetime:
        """Repair the counters if it is time, and return when that is due next."""
        if now() >= self._due_at:
            await self.run()
            self._due_at = next_repair(now())
        return self._due_at

    async def run(self) -> None:
        """Repair the counters that differ from a recount, and log a warning for each."""
        async with self._transaction() as session:
            found = await counters.repair_counters(session)
        for one in found[:MAX_LOGGED]:
            log.warning("The counter %s (%s) was wrong by %s.", one.table, one.key, one.added)
        if len(found) > MAX_LOGGED:
            log.warning("%d more counters were wrong.", len(found) - MAX_LOGGED)


def next_repair(at: datetime) -> datetime:
    """Return the next time after a moment at which the repair is due."""
    today = at.astimezone(UTC).replace(hour=HOUR, minute=0, second=0, microsecond=0)
    return today if today > at else today + timedelta(days=1)
