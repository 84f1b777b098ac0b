"""The state of the installation, for operators: outboxes, gateways and the last backup.

It has numbers of all organizations, and no names.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from sqlalchemy import bindparam, func, select

from core.clock import now
from core.db.engine import is_temporary_error
from core.db.reads import AnySelect, Query, ReadFactory, Source, choose_columns
from models import (
    Agent,
    AuditRecord,
    Board,
    DeliveryState,
    Gateway,
    Message,
    MessageState,
    NotificationDelivery,
    Organization,
    WebhookDelivery,
)
from services.audit import AuditAction
from services.gateway_status import GatewayStatus, compute_status

STATUS_LIFETIME = 10.0  # seconds for which a status is returned again
READ_TIMEOUT = 3.0  # seconds
MAX_COUNT = 10_000  # rows of an outbox, and gateways, that are counted
OUTBOXES = ("messages", "notifications", "webhooks")


@dataclass(frozen=True)
class OutboxStatus:
    """What an outbox has to send: at most MAX_COUNT, and for how long the oldest is due."""

    name: str
    count: int
    overdue_seconds: float


@dataclass(frozen=True)
class SystemStatus:
    """The state of an installation."""

    at: datetime
    outboxes: Sequence[OutboxStatus]
    gateways: Mapping[GatewayStatus, int]
    backup_at: datetime | None  # the last one that `./run backup` has written


class SystemStatusReader:
    """Reads the status at most once in ten seconds; concurrent callers share one read."""

    def __init__(self, open_read: ReadFactory, clock: Callable[[], float] = time.monotonic) -> None:
        self._open_read = open_read
        self._clock = clock
        self._expires_at = 0.0
        self._read: asyncio.Task[SystemStatus | None] | None = None

    async def get_status(self) -> SystemStatus | None:
        """Return the status, or None if the database does not answer."""
        if self._read is None or (self._read.done() and self._clock() >= self._expires_at):
            self._read = asyncio.create_task(self._read_status())
        return await asyncio.shield(self._read)

    async def _read_status(self) -> SystemStatus | None:
        try:
            async with asyncio.timeout(READ_TIMEOUT), self._open_read() as source:
                return await read_system_status(source)
        except Exception as error:
            if not is_temporary_error(error):
                raise
            return None
        finally:
            self._expires_at = self._clock() + STATUS_LIFETIME


async def read_system_status(source: Source) -> SystemStatus:
    """Read the status."""
    at = now()
    outboxes = []
    for name in OUTBOXES:
        [(count, oldest)] = await _OUTBOX_QUERIES[name].fetch(source)
        overdue = (at - oldest).total_seconds() if oldest else 0.0
        outboxes.append(OutboxStatus(name, min(count, MAX_COUNT), max(overdue, 0.0)))
    found = Counter(compute_status(one, at) for one in await _GATEWAYS.fetch(source))
    backup = await _LAST_BACKUP.first(source, action=AuditAction.BACKUP_CREATED.value)
    gateways = {status: found[status] for status in GatewayStatus}
    return SystemStatus(at, outboxes, gateways, backup[0] if backup else None)


def _select_count(due: AnySelect) -> Query[tuple[int, datetime | None]]:
    """Count the rows of an outbox, and return since when the oldest of them is due."""
    rows = due.limit(MAX_COUNT + 1).subquery()
    return Query(select(func.count(), func.min(rows.c.due_at)))


_OUTBOX_QUERIES = {
    # what is held for a reason, such as a paused board, waits rightly
    "messages": _select_count(
        select(
            func.coalesce(Message.next_attempt_at, Message.waiting_since, Message.created_at).label(
                "due_at"
            )
        )
        .join(Agent, Agent.id == Message.agent_id)
        .join(Organization, Organization.id == Message.organization_id)
        .outerjoin(Board, Board.id == Agent.board_id)
        .where(
            Message.state == MessageState.QUEUED,
            Agent.gateway_id.is_not(None),
            Agent.held_at.is_(None),
            Organization.stopped_at.is_(None),
            Board.paused_at.is_(None),
        )
    ),
    "notifications": _select_count(
        select(NotificationDelivery.next_attempt_at.label("due_at")).where(
            NotificationDelivery.state.in_((DeliveryState.QUEUED, DeliveryState.SENDING))
        )
    ),
    "webhooks": _select_count(
        select(WebhookDelivery.next_attempt_at.label("due_at")).where(
            WebhookDelivery.next_attempt_at.is_not(None)
        )
    ),
}
_GATEWAYS: Query[Gateway] = Query(
    choose_columns(
        select(Gateway).limit(MAX_COUNT),
        {Gateway: ("id", "checks", "checked_at", "lease_expires_at", "gateway_version")},
    ),
    itemgetter(0),
)
_LAST_BACKUP: Query[tuple[datetime]] = Query(
    select(AuditRecord.at)
    .where(AuditRecord.organization_id.is_(None), AuditRecord.action == bindparam("action"))
    .order_by(AuditRecord.sequence.desc())
    .limit(1)
)
