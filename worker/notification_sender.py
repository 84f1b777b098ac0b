"""Send notifications: plan the deliveries of new ones, and send what is due on each channel.

Messages are sent at the same time, so that a receiver that does not answer delays no other. An
attempt that is interrupted is repeated with the same id (docs/decisions/notifications.md).
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from core.clock import now
from core.db.engine import TransactionFactory, is_temporary_error
from core.db.reads import ReadFactory
from core.security.encryption import DecryptionError, SecretCipher
from services import audit, notifications
from services.channels import ChannelMessage, ChannelSender, decrypt_config
from services.notifications import (
    BATCH_SIZE,
    DELIVERY_TOPIC,
    DueDelivery,
    RunningMessages,
    SendOutcome,
    SendReason,
    SendResult,
)
from worker.scheduler import PeriodicTask

REPEAT_DELAY = timedelta(seconds=0.2)  # until more are sent, or what another worker has locked

Renderer: TypeAlias = Callable[[DueDelivery], ChannelMessage]
"""Renders a delivery in the language of its user."""

log = logging.getLogger(__name__)


class NotificationSender:
    """Sends the notifications of all users. There may be several at the same time."""

    def __init__(
        self,
        transaction: TransactionFactory,
        open_read: ReadFactory,
        cipher: SecretCipher,
        sender: ChannelSender,
        render: Renderer,
    ) -> None:
        self._transaction, self._open_read = transaction, open_read
        self._cipher, self._sender, self._render = cipher, sender, render
        self._running: dict[asyncio.Task[None], DueDelivery] = {}

    @property
    def running_count(self) -> int:
        """The number of messages that are being sent."""
        return len(self._running)

    def schedule(self, interval: float) -> PeriodicTask:
        """Return the task that sends what is due; new notifications wake it."""
        return PeriodicTask("notifications", interval, self.run_due, topic=DELIVERY_TOPIC)

    async def run_due(self) -> datetime | None:
        """Plan and send what is due, and return when more is due. It does not wait for results."""
        next_at = await self._find_next()
        if next_at is None or next_at > now():
            return next_at
        await self._plan()
        room = 64 - len(self._running)  # messages at the same time
        if room <= 0:
            return now() + REPEAT_DELAY
        running = RunningMessages(self._running.values())
        async with self._transaction() as session:
            claimed = await notifications.claim_due(session, room, running)
            first_id = await audit.find_first_organization_id(session) if claimed else None
        for due in claimed:
            task = asyncio.create_task(self._send(due, first_id))
            self._running[task] = due
            task.add_done_callback(self._running.pop)
        next_at = await self._find_next()
        return max(next_at, now() + REPEAT_DELAY) if next_at else None

    async def close(self) -> None:
        """Cancel what is being sent; another process repeats it."""
        tasks = [*self._running]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _plan(self) -> None:
        count = BATCH_SIZE
        while count == BATCH_SIZE:
            async with self._transaction() as session:
                count = await notifications.escalate(session)
        count = BATCH_SIZE
        while count == BATCH_SIZE:
            async with self._transaction() as session:
                count = await notifications.plan_deliveries(session)

    async def _find_next(self) -> datetime | None:
        async with self._open_read() as source:
            return await notifications.find_next_due_time(source)

    async def _send(self, due: DueDelivery, first_organization_id: UUID | None) -> None:
        is_first = due.channel.organization_id == first_organization_id
        try:
            result = await self._attempt(due, allows_private=is_first and due.is_of_admin)
        except Exception:
            log.exception("The delivery %s could not be sent.", due.id)
            result = SendResult(SendOutcome.RETRY, SendReason.SERVER_ERROR)
        try:
            async with self._transaction() as session:
                await notifications.record_result(session, due, result)
        except (OSError, SQLAlchemyError) as error:
            log.warning(
                "The result of delivery %s could not be recorded: %s",
                due.id,
                error,
                exc_info=not is_temporary_error(error),
            )

    async def _attempt(self, due: DueDelivery, *, allows_private: bool) -> SendResult:
        try:
            config = decrypt_config(self._cipher, due.channel)
        except DecryptionError:
            return SendResult(SendOutcome.FAILED, SendReason.CONFIG_UNREADABLE)
        kind, message = due.channel.kind.value, self._render(due)
        return await self._sender.send(kind, config, message, allows_private=allows_private)
